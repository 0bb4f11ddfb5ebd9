"""Several posters for each prompt by one model, whichever it is."""

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
from posterkit.datagen.requests import TEXT, Wanted
from posterkit.llm.once import opened_once
from posterkit.prompts import PosterBrief, words_for
from posterkit.schema import DrawnText
from posterkit.sizing import Size, fit_area
from posterkit.tasks import TASKS

_DRAWING = threading.Lock()


class Once:
    """Results by key, each made once however many threads ask for it; the last few are kept, errors too."""

    def __init__(self, kept: int = 8) -> None:
        self.kept = kept
        self._lock = threading.Lock()
        self._made: OrderedDict[Any, Future] = OrderedDict()

    def __call__(self, key: Any, make: Callable[[], Any]) -> Any:
        with self._lock:
            known = self._made.get(key)
            future = self._made.setdefault(key, Future())
            if len(self._made) > self.kept:
                self._made.popitem(last=False)
        if known is None:
            try:
                future.set_result(make())
            except Exception as error:
                future.set_exception(error)
        return future.result()

    def __reduce__(self) -> tuple[type[Once], tuple[int]]:
        return Once, (self.kept,)  # another process begins with none


@dataclass(frozen=True)
class ModelAt:
    """A pipeline by its address; each process loads its own.

    Attributes:
        source: a folder, a hub id, or `mini:postercraft` and `mini:posteromni`.
        transformer: goes in instead of the model's own.
        loras: `=0.8` behind one is its weight.
        preset, device, dtype: as `posterkit.pipelines.presets.load_pipeline` takes them.
    """

    source: str
    transformer: str | None = None
    loras: tuple[str, ...] = ()
    preset: str | None = None
    device: str | None = None
    dtype: str | None = None

    def open(self) -> Any:
        """PosterCraftPipeline or PosterOmniPipeline; ValueError where it cannot be loaded."""
        return _pipeline(self)

    def family(self) -> str:
        """ "postercraft" draws text to poster, "posteromni" the six image tasks; ValueError where neither opens it."""
        from posterkit import mini
        from posterkit.pipelines.loading import family_of, read_index

        name = self.source
        try:
            source = mini.path(name.removeprefix("mini:")) if name.startswith("mini:") else name
        except FileNotFoundError as error:
            raise ValueError(str(error)) from None
        return family_of(name, read_index(source))

    def settings(self) -> dict[str, Any]:
        """What decides what it draws, for a set's settings: names, and the state of each part."""
        from posterkit import mini
        from posterkit.pipelines.revision import revision_of

        name = self.source
        source = mini.path(name.removeprefix("mini:")) if name.startswith("mini:") else name
        parts = [source, *([self.transformer] if self.transformer else []), *self.loras]
        return {
            "model": name, "transformer": self.transformer, "loras": list(self.loras), "preset": self.preset,
            "dtype": self.dtype, "revision": "+".join(revision_of(part) for part in parts),
        }  # fmt: skip


@opened_once(1)
def _pipeline(model: ModelAt) -> Any:
    from posterkit.pipelines.loading import quiet_bars
    from posterkit.pipelines.presets import load_pipeline

    quiet_bars()
    pipe = load_pipeline(
        model.source, transformer=model.transformer, lora=model.loras, preset=model.preset, device=model.device,
        dtype=model.dtype,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    return pipe


@dataclass(frozen=True)
class Drawn:
    """Posters for one prompt, RGB, the seed of each, and the texts that were set over each."""

    wanted: Wanted
    images: tuple[Image.Image, ...]
    seeds: tuple[int, ...]
    texts: tuple[tuple[DrawnText, ...], ...] = ()


@dataclass(frozen=True)
class Draw:
    """A step: `count` posters for each prompt. One call of the model at a time, whatever the number of threads.

    A poster follows from the seed, the row's id and its own number alone, not from workers or from other rows.
    Posters that are drawn together differ from those drawn alone by rounding (`batch` is part of a set's settings).

    Attributes:
        size: that the model draws; None takes the checkpoint's own area in the shape of what the row shows.
        steps, guidance: None takes the checkpoint's own; for image tasks the guidance is `true_cfg_scale`.
        typeset: the model draws no text, and the asked texts are set over its posters.
        batch: posters in one call of the model.
        finish: posters of text prompts are enlarged to it before texts are set; None leaves them as they were drawn.
    """

    model: ModelAt
    count: int
    seed: int
    size: Size | None = None
    steps: int | None = None
    guidance: float | None = None
    typeset: bool = False
    batch: int = 8
    finish: Size | None = None
    once: Once = field(default_factory=Once, compare=False, repr=False)

    def __call__(self, wanted: Wanted) -> Drawn | Drop:
        drawn = self.once(wanted.id, lambda: self._draw(wanted))
        return drawn if isinstance(drawn, Drop) else replace(drawn, wanted=replace(drawn.wanted, turn=wanted.turn))

    def settings(self) -> dict[str, Any]:
        """What decides what comes out, for a set's settings."""
        return {
            **self.model.settings(), "candidates": self.count, "seed": self.seed, "batch": self.batch,
            "size": self.size and str(self.size), "steps": self.steps, "guidance": self.guidance,
            "typeset": self.typeset, "finish": self.finish and str(self.finish),
        }  # fmt: skip

    def _draw(self, wanted: Wanted) -> Drawn | Drop:
        import torch

        seeds = tuple(seed_of(self.seed, wanted.id, number) for number in range(self.count))
        brief = PosterBrief.from_prompt(wanted.words or "", wanted.texts or ())
        images: list[Image.Image] = []
        with _DRAWING:
            pipe = self.model.open()
            shape = wanted.size or self.finish
            size = self.size or (fit_area(shape, pipe.config.native_area) if shape else None)
            wanted = fitted(wanted, size) if size else wanted
            call = self._call(wanted, size, brief.texts)
            for start in range(0, self.count, self.batch):
                part = seeds[start : start + self.batch]
                generators = [torch.Generator().manual_seed(seed) for seed in part]
                images += pipe(**call, generator=generators, num_images_per_prompt=len(part)).images
        if self.finish and wanted.task == TEXT:
            images = [image.resize(self.finish, Image.Resampling.LANCZOS) for image in images]
        if not (self.typeset and brief.texts):
            return Drawn(wanted, tuple(image.convert("RGB") for image in images), seeds, ((),) * len(images))
        from posterkit.typeset.poster import typeset

        try:
            made = [typeset(image, brief) for image in images]
        except ValueError as fault:
            return Drop("texts do not fit", str(fault), images[0])
        texts = (
            tuple(DrawnText(text.text, text.box.pixels(one.image.size), text.color, text.font) for text in one.boxes)
            for one in made
        )
        return Drawn(wanted, tuple(one.image.convert("RGB") for one in made), seeds, tuple(texts))

    def _call(self, wanted: Wanted, size: Size | None, texts: list[str]) -> dict[str, Any]:
        """What the pipeline is asked for all posters of a prompt."""
        words = wanted.words
        if self.typeset and words is not None:
            words = words_for(wanted.task, without_text_sentences(words) or words, texts, False)
        call: dict[str, Any] = {"prompt": words, "num_inference_steps": self.steps}
        if size:
            call |= {"width": size.width, "height": size.height}
        if wanted.task == TEXT:
            return {**call, "guidance_scale": self.guidance}
        if wanted.task == "extending" and wanted.placed:
            call["anchor"] = wanted.placed[:2]
        if wanted.task == "filling":
            call["mask_image"] = wanted.mask
        return {**call, "task": wanted.task, "image": list(wanted.references), "true_cfg_scale": self.guidance}


def fitted(wanted: Wanted, size: Size) -> Wanted:
    """The same wish for a poster of another size: where reference 0 lies on the poster, it is scaled with it."""
    if wanted.size in (None, size) or not wanted.references or not TASKS[wanted.task].keeps_pixels:
        return replace(wanted, size=size)
    assert wanted.size is not None
    x, y = size.width / wanted.size.width, size.height / wanted.size.height
    x0, y0, x1, y1 = wanted.placed or (0, 0, *wanted.size)
    box = round(x0 * x), round(y0 * y), max(round(x0 * x) + 1, round(x1 * x)), max(round(y0 * y) + 1, round(y1 * y))
    first = wanted.references[0].resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
    mask = wanted.mask
    if mask is not None:
        # a pixel that the mask touches at all is to be made
        mask = mask.resize(size, Image.Resampling.BOX).point([0] + [255] * 255)
    placed = box if wanted.placed else None
    return replace(wanted, size=size, references=(first, *wanted.references[1:]), mask=mask, placed=placed)


def seed_of(seed: int, name: str, number: int) -> int:
    """The seed of candidate `number` of a row, in [0, 2^31)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {number}".encode()).digest()[:4], "big") >> 1
