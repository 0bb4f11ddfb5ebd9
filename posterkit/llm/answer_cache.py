"""Answers on disk, so that no question about the same picture is asked twice."""

from __future__ import annotations

import functools
import json
from hashlib import sha256
from pathlib import Path

from PIL import Image

from posterkit.image_io import written_whole
from posterkit.llm.answers import read_answer
from posterkit.llm.client import AnswerError, Images, LanguageModel, Schema


class FolderCache:
    """Answers in a folder, one file each: of language models, of OCR, of rewards; the first answer makes the folder.

    Safe for any number of threads and processes on one folder; a damaged file counts as missing.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get(self, question: str) -> str | None:
        """The answer to a question; None where there is none."""
        try:
            answer = json.loads(self._path(question).read_bytes())["answer"]
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return answer if isinstance(answer, str) else None

    def put(self, question: str, answer: str, *, by: str, user: str) -> None:
        """Keep an answer.

        Args:
            question: everything that decides the answer; only its hash is kept.
            by, user: who answered, and a line about the question: for people who open the file.

        Raises:
            OSError: the folder cannot be written.
        """
        with written_whole(self._path(question)) as temporary:
            entry = {"by": by, "user": user, "answer": answer}
            temporary.write_text(json.dumps(entry, ensure_ascii=False), encoding="utf-8")

    def _path(self, question: str) -> Path:
        key = sha256(question.encode()).hexdigest()
        return self.folder / key[:2] / f"{key}.json"


@functools.cache
def code_version(*folders: Path) -> str:
    """A hash of the code and the tables in some folders, for questions whose answers they compute.

    So an answer of other code is not found again, whoever changed it, without a number that somebody must raise.
    """
    digest = sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".py", ".yaml", ".txt"):
                digest.update(f"{file.relative_to(folder)} ".encode() + sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


class CachedClient:
    """A language model whose answers are kept in the folder of a `FolderCache`.

    A question is everything that decides the answer: the model's name and temperature, both prompts, the pictures'
    pixels and the schema. Errors are not kept, nor are answers that do not fit their schema.
    """

    def __init__(self, model: LanguageModel, folder: str | Path) -> None:
        self.model, self._cache = model, FolderCache(folder)

    @property
    def name(self) -> str:
        return self.model.name

    def ask(self, system: str, user: str, images: Images = (), schema: Schema | None = None) -> str:
        """The answer, from the folder if it is there; AnswerError as the model raises it.

        Raises:
            OSError: the folder cannot be written.
        """
        pixels = [pixel_hash(image) for image in images]
        kept = self._cache.get(self._question(system, user, pixels, schema))
        if kept is not None:
            return kept
        answer = self.model.ask(system, user, images, schema)
        if schema is not None:
            try:
                read_answer(answer, schema, self.name)
            except AnswerError:
                return answer  # the caller finds out that it does not fit
        # an endpoint may learn its model's name only by asking; the answer is kept under that name
        self._cache.put(self._question(system, user, pixels, schema), answer, by=self.name, user=user)
        return answer

    def _question(self, system: str, user: str, pixels: list[str], schema: Schema | None) -> str:
        temperature = getattr(self.model, "temperature", None)
        return json.dumps([self.name, temperature, system, user, pixels, schema], sort_keys=True)


def pixel_hash(image: Image.Image) -> str:
    """The size and a hash of the pixels of an image."""
    picture = image.convert("RGB")
    return f"{picture.width}x{picture.height} {sha256(picture.tobytes()).hexdigest()}"
