"""The interface of all judges: who looks at a poster and says something about it. Nobody asks them anything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from posterkit.metrics.lettering import SeenText


@dataclass(frozen=True)
class Score:
    """What a poster is worth for a prompt; each part in [0, 1], larger is better.

    Attributes:
        aesthetics: how it looks, whatever it should show.
        text: how rightly it writes what the prompt quotes; 1 where nothing is quoted and nothing is written.
        content: how well it shows what the prompt says.
        why: one line.
    """

    aesthetics: float
    text: float
    content: float
    why: str = ""


@dataclass(frozen=True)
class Suggestions:
    """What would make a poster better (PosterCraft stage 4); neither speaks of another picture."""

    content: str
    style: str


class Critic(Protocol):
    """Looks at posters (RGB) and answers; every method raises AnswerError where it has no answer."""

    @property
    def name(self) -> str:
        """What records call it: rules, a model at an endpoint, a folder."""
        ...

    def caption(self, poster: Image.Image) -> str:
        """What it shows: style, composition, and every text with its place and colour, in quotes letter for letter."""
        ...

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        """What makes it unfit to learn from ("credit block", "watermark"); empty where nothing does."""
        ...

    def texts(self, poster: Image.Image) -> tuple[SeenText, ...]:
        """The texts on it, top to bottom."""
        ...

    def score(self, poster: Image.Image, prompt: str) -> Score:
        """What it is worth for a prompt."""
        ...

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """How to improve it; `better` is a poster for the same prompt to compare with in silence."""
        ...
