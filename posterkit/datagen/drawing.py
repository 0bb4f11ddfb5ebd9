"""Draws several posters for each prompt by one model."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.prompts import without_text_sentences
from posterkit.datagen.requests import SetRequest
from posterkit.generate.draw import at_size, draw
from posterkit.generate.maker import open_pipeline
from posterkit.llm.open_model import opened_once
from posterkit.pipelines.registry import resolve
from posterkit.pipelines.revision import revision_of
from posterkit.prompts import PosterBrief, words_for
from posterkit.schema import DrawnText
from posterkit.sizing import Size, fit_area
from posterkit.tasks import TEXT

_DRAWING = threading.Lock()
_KEPT = 8  # results of a step, for further rows of the same request


class Once:
    """Results by key, each made once however many threads ask for it; the last few are kept, errors too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: OrderedDict[Any, Future] = OrderedDict()

    def __call__(self, key: object, make: Callable[[], Any]) -> Any:
        with self._lock:
            known = self._made.get(key)
            future = self._made.setdefault(key, Future())
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        if known is None:
            try:
                future.set_result(make())
            except Exception as error:
                future.set_exception(error)
        return future.result()

    def __reduce__(self) -> tuple[type[Once], tuple[()]]:
        return Once, ()  # another process begins with none


@dataclass(frozen=True)
class ModelAt:
    """A pipeline by its address, see `posterkit.pipelines.presets.load_pipeline`; each process loads its own."""

    source: str  # a folder, a hub id, or `mini:postercraft` and `mini:posteromni`
    transformer: str | None = None  # goes in instead of the model's own
    loras: tuple[str, ...] = ()  # `=0.8` behind one is its weight
    preset: str | None = None
    device: str | None = None
    dtype: str | None = None

    def settings(self) -> dict[str, Any]:
        """What decides what it draws, for a set's settings: names, and the state of each part."""
        source = resolve(self.source) if self.source.startswith("mini:") else self.source
        parts = [source, *([self.transformer] if self.transformer else []), *self.loras]
        return {
            "model": self.source, "transformer": self.transformer, "loras": list(self.loras), "preset": self.preset,
            "dtype": self.dtype, "revision": "+".join(revision_of(part) for part in parts),
        }  # fmt: skip


@opened_once(1)
def open_model(model: ModelAt) -> Any:
    """The pipeline, loaded once a process; ValueError where it cannot be."""
    return open_pipeline(
        model.source, transformer=model.transformer, lora=model.loras, preset=model.preset, device=model.device,
        dtype=model.dtype,
    )  # fmt: skip


@dataclass(frozen=True)
class DrawnPosters:
    """Posters for one request, RGB, the seed of each, and the texts that were set over each."""

    request: SetRequest
    images: tuple[Image.Image, ...]
    seeds: tuple[int, ...]
    texts: tuple[tuple[DrawnText, ...], ...] = ()


@dataclass(frozen=True)
class Draw:
    """A step: `count` posters for each prompt. One call of the model at a time, whatever the number of threads.

    A poster follows from the seed, the row's id and its own number alone, not from workers or from other rows.
    Posters that are drawn together differ from those drawn alone by rounding (`batch` is part of a set's settings).
    """

    model: ModelAt
    count: int
    seed: int
    size: Size | None = None  # that the model draws; None: its own area in the shape of what the row shows
    steps: int | None = None
    guidance: float | None = None
    typeset: bool = False  # the request's texts are set over posters that are drawn without
    batch: int = 8  # posters in one call of the model
    finish: Size | None = None  # posters of text prompts are enlarged to it before texts are set
    once: Once = field(default_factory=Once, compare=False, repr=False)

    def __call__(self, request: SetRequest) -> DrawnPosters | Drop:
        drawn = self.once(request.id, lambda: self._draw(request))
        return drawn if isinstance(drawn, Drop) else replace(drawn, request=replace(drawn.request, turn=request.turn))

    def settings(self) -> dict[str, Any]:
        """What decides what comes out, for a set's settings."""
        return {
            **self.model.settings(), "candidates": self.count, "seed": self.seed, "batch": self.batch,
            "size": self.size and str(self.size), "steps": self.steps, "guidance": self.guidance,
            "typeset": self.typeset, "finish": self.finish and str(self.finish),
        }  # fmt: skip

    def _draw(self, request: SetRequest) -> DrawnPosters | Drop:
        seeds = tuple(seed_of(self.seed, request.id, number) for number in range(self.count))
        brief = PosterBrief.from_prompt(request.prompt, request.texts or ())
        words = request.prompt
        if self.typeset and words:
            words = words_for(request.task, without_text_sentences(words) or words, brief.texts, False)
        images: list[Image.Image] = []
        with _DRAWING:
            pipe = open_model(self.model)
            shape = request.size or self.finish
            size = self.size or (fit_area(shape, pipe.config.native_area) if shape else None)
            request = at_size(request, size) if size else request
            drawn = replace(request, prompt=words, steps=self.steps, guidance=self.guidance)
            for start in range(0, self.count, self.batch):
                images += draw(pipe, [drawn], seeds[start : start + self.batch]).images
        if self.finish and request.task == TEXT:
            images = [image.resize(self.finish, Image.Resampling.LANCZOS) for image in images]
        if not (self.typeset and brief.texts):
            return DrawnPosters(request, tuple(image.convert("RGB") for image in images), seeds, ((),) * len(images))
        from posterkit.typeset.poster import typeset

        try:
            made = [typeset(image, brief) for image in images]
        except ValueError as fault:
            return Drop("texts do not fit", str(fault), images[0])
        texts = (
            tuple(DrawnText(text.text, text.box.pixels(one.image.size), text.color, text.font) for text in one.boxes)
            for one in made
        )
        return DrawnPosters(request, tuple(one.image.convert("RGB") for one in made), seeds, tuple(texts))


def seed_of(seed: int, name: str, number: int) -> int:
    """The seed of candidate `number` of a row, in [0, 2^31)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {number}".encode()).digest()[:4], "big") >> 1
