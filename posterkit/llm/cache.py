"""Answers on disk, so that no question about the same picture is paid for twice."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from posterkit.llm.answers import read_answer
from posterkit.llm.client import AnswerError, LanguageModel


class CachedClient:
    """A chat whose answers are kept in a folder, one file a question.

    The key is everything that decides the answer: the model's name and temperature, both prompts, the pictures' pixels
    and the schema. Safe for any number of threads and processes on one folder; a damaged file is asked for again.
    Errors are not kept, nor are answers that do not fit the schema they were asked with.

    Args:
        chat: who answers what is not there yet.
        folder: made where it is not there.
    """

    def __init__(self, chat: LanguageModel, folder: str | Path) -> None:
        self.chat, self.folder = chat, Path(folder)

    @property
    def name(self) -> str:
        return self.chat.name

    def ask(
        self,
        system: str,
        user: str,
        images: Sequence[Image.Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The answer, from the folder where it is there; AnswerError as the chat raises it.

        Raises:
            OSError: the folder cannot be written.
        """
        pixels = [digest(image) for image in images]
        path = self._path(system, user, pixels, schema)
        kept = read_entry(path)
        if kept is not None:
            return kept
        answer = self.chat.ask(system, user, images, schema)
        if schema is not None:
            try:
                read_answer(answer, schema, self.name)
            except AnswerError:
                return answer  # the caller sees for himself that it does not fit
        # an endpoint may learn its model's name only by asking; that name is the one to keep the answer under
        write_entry(self._path(system, user, pixels, schema), {"by": self.name, "user": user, "answer": answer})
        return answer

    def _path(self, system: str, user: str, pixels: list[str], schema: dict[str, Any] | None) -> Path:
        temperature = getattr(self.chat, "temperature", None)
        asked = json.dumps([self.name, temperature, system, user, pixels, schema], sort_keys=True)
        key = sha256(asked.encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.json"


def digest(image: Image.Image) -> str:
    """What a picture's pixels are known by."""
    picture = image.convert("RGB")
    return f"{picture.width}x{picture.height} {sha256(picture.tobytes()).hexdigest()}"


def read_entry(path: Path) -> str | None:
    """The answer in a file that `write_entry` wrote; None where there is none, or it is damaged."""
    try:
        answer = json.loads(path.read_bytes())["answer"]
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return answer if isinstance(answer, str) else None


def write_entry(path: Path, entry: dict[str, str]) -> None:
    """Write a file as a whole, whoever else writes it: `answer`, and what people want to know of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own for each writer; the rename is what makes it whole
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(entry, file, ensure_ascii=False)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
