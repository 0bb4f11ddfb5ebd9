"""The interface of all critics, which say in words what a poster shows and what is wrong with it; and their opener."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from posterkit.llm.once import opened_once
from posterkit.llm.opening import open_vision_language_model
from posterkit.metrics.text_regions import DetectedText

RULES, BLIND = "rules", "rules-blind"


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


def open_critic(
    source: str = RULES, *, model: str | None = None, device: str = "cpu", cache: str | Path | None = None
) -> Critic:
    """A critic by its address; the same one for the same arguments within a process, so that a model is loaded once.

    Args:
        source: "rules" (measures and OCR, no model), "rules-blind" (without OCR: fast, and without texts), the URL of
            an OpenAI-compatible endpoint with a vision-language model, or the folder or hub id of a local one.
        model: the model's name at the endpoint; None takes its first one.
        device: where a local model runs.
        cache: a folder that keeps a model's answers and the texts that the rules read.

    Raises:
        AnswerError: a local model cannot be loaded, or an endpoint does not answer.
        ValueError: there is no such critic, the URL is not one, or the model takes no images.
    """
    return _open(source.strip(), model, device, None if cache is None else str(cache))


@opened_once()
def _open(source: str, model: str | None, device: str, cache: str | None) -> Critic:
    if source in (RULES, BLIND):
        from posterkit.critic.rules import RulesCritic

        return RulesCritic(read_text=source == RULES, cache=cache)
    from posterkit.critic.model import ModelCritic
    from posterkit.llm.cache import CachedClient

    opened = open_vision_language_model(source, model, device)
    return ModelCritic(CachedClient(opened, cache) if cache else opened)
