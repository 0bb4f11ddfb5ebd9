"""The interface of all critics, which say in words what a poster shows and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from posterkit.metrics.text_regions import DetectedText


@dataclass(frozen=True)
class Suggestions:
    """What would make a poster better (PosterCraft stage 4); neither mentions another picture."""

    content: str
    style: str


class Critic(Protocol):
    """Describes posters (RGB) in words; every method raises AnswerError where there is no answer."""

    @property
    def name(self) -> str:
        """Its name in records: rules, a model at an endpoint, a folder."""
        ...

    def caption(self, poster: Image.Image) -> str:
        """What it shows: style, composition, and every text with its place and colour, in quotes letter for letter."""
        ...

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        """What makes it unfit for training: "credit block", "watermark"; empty where there is nothing."""
        ...

    def texts(self, poster: Image.Image) -> tuple[DetectedText, ...]:
        """The texts on it, top to bottom."""
        ...

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """How to improve it; `better` is a poster for the same prompt, compared with silently."""
        ...
