"""A language model that answers from a file: recorded answers, one JSON line each, so that a run can be repeated."""

from __future__ import annotations

import threading
from pathlib import Path

from posterkit.documents import read_json, read_lines
from posterkit.llm.client import AnswerError, Images, Schema


class ReplayModel:
    """Answers the n-th question with the n-th answer of a file.

    Args:
        path: JSON lines, a string each, or objects with an "answer".

    Raises:
        ValueError: a line is neither.
        OSError: the file cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = f"replay {Path(path).name}"
        self._lock = threading.Lock()
        self._answers: list[str] = []
        for number, line in read_lines(path):
            said = read_json(line, f"{path}:{number}")
            answer = said.get("answer") if isinstance(said, dict) else said
            if not isinstance(answer, str):
                raise ValueError(f'{path}:{number}: is neither a string nor an object with an "answer"')
            self._answers.append(answer)
        self.asked: list[str] = []

    def ask(self, system: str, user: str, images: Images = (), schema: Schema | None = None) -> str:
        """The next answer; AnswerError where the file has no more."""
        with self._lock:
            self.asked.append(user)
            if len(self.asked) > len(self._answers):
                raise AnswerError(f"{self.name}: has {len(self._answers)} answers, and this is another question")
            return self._answers[len(self.asked) - 1]
