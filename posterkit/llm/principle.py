"""A principle that steers a local model while it answers, see `posterkit.llm.coca`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from posterkit.documents import read_text

DEFAULT_ALPHA = 1.0  # how far it may go differs from model to model; 4 is published, and can cost usefulness
MOST = 8000  # letters of a principle


@dataclass(frozen=True)
class Principle:
    """What a model shall heed, in plain words: a safety rule, or a brand's style guide.


    Raises:
        ValueError: there are no words or too many, or alpha lies below -1.
    """

    words: str  # they stand before the question, in the same turn
    alpha: float = DEFAULT_ALPHA  # how far their effect is amplified; 0 states them alone, -1 takes them away
    first_n: int | None = None  # only so many tokens are steered; None for all

    def __post_init__(self) -> None:
        if not self.words.strip() or len(self.words) > MOST:
            raise ValueError(f"a principle has 1 to {MOST} letters, found {len(self.words)}")
        if not (math.isfinite(self.alpha) and self.alpha >= -1):
            raise ValueError(f"alpha must be a number of at least -1, got {self.alpha}")

    @property
    def name(self) -> str:
        """Tells it from others in records and caches."""
        first = "" if self.first_n is None else f", first {self.first_n} tokens"
        return f"principle {sha256(self.words.encode()).hexdigest()[:8]}, alpha {self.alpha:g}{first}"

    def before(self, question: str) -> str:
        """The question with the principle before it."""
        return f"{self.words}\n\n{question}"


def read_principle(path: str | Path, alpha: float = DEFAULT_ALPHA) -> Principle:
    """A principle from a text file; ValueError where it holds none, OSError where it cannot be read."""
    try:
        return Principle(read_text(path, most=4 * MOST).strip(), alpha)
    except ValueError as fault:
        raise ValueError(str(fault) if str(fault).startswith(str(path)) else f"{path}: {fault}") from None
