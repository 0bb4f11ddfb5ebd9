"""Several posters for each prompt by one model, and what a judge says of each."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

from PIL import Image

from posterkit.brief import PosterBrief, words_for
from posterkit.data.flow import Drop
from posterkit.data.hq_posters import ClipAt
from posterkit.data.poster_scan import JudgeAt
from posterkit.data.prompts import without_text_sentences
from posterkit.data.wanted import TEXT, Wanted
from posterkit.judges.chat import AnswerError
from posterkit.judges.judge import Score
from posterkit.sizing import Size, fit_area
from posterkit.tasks import TASKS

_LOADING, _DRAWING = threading.Lock(), threading.Lock()


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
        with _LOADING:  # lru_cache alone would load a model twice for two threads
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


@lru_cache(1)
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
    """Posters for one prompt, RGB, and the seed of each."""

    wanted: Wanted
    images: tuple[Image.Image, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Draw:
    """A step: `count` posters for each prompt. One call of the model at a time, whatever the number of threads.

    A poster follows from the seed, the row's id and its own number alone, not from workers or from other rows.
    Posters that are drawn together differ from those drawn alone by rounding (`batch` is part of a set's settings).

    Attributes:
        size: of the posters; None takes the checkpoint's own area in the shape of what the row shows.
        steps, guidance: None takes the checkpoint's own; for image tasks the guidance is `true_cfg_scale`.
        typeset: the model draws no text, and the quoted texts are set over its posters.
        batch: posters in one call of the model.
    """

    model: ModelAt
    count: int
    seed: int
    size: Size | None = None
    steps: int | None = None
    guidance: float | None = None
    typeset: bool = False
    batch: int = 8
    once: Once = field(default_factory=Once, compare=False, repr=False)

    def __call__(self, wanted: Wanted) -> Drawn:
        drawn = self.once(wanted.id, lambda: self._draw(wanted))
        return replace(drawn, wanted=replace(drawn.wanted, turn=wanted.turn))

    def _draw(self, wanted: Wanted) -> Drawn:
        import torch

        seeds = tuple(seed_of(self.seed, wanted.id, number) for number in range(self.count))
        brief = PosterBrief.from_prompt(wanted.words or "")
        images: list[Image.Image] = []
        with _DRAWING:
            pipe = self.model.open()
            size = self.size or (fit_area(wanted.size, pipe.config.native_area) if wanted.size else None)
            wanted = fitted(wanted, size) if size else wanted
            call = self._call(wanted, size, brief.texts)
            for start in range(0, self.count, self.batch):
                part = seeds[start : start + self.batch]
                generators = [torch.Generator().manual_seed(seed) for seed in part]
                images += pipe(**call, generator=generators, num_images_per_prompt=len(part)).images
        if self.typeset and brief.texts:
            from posterkit.typeset.compose import typeset

            images = [typeset(image, brief).image for image in images]
        return Drawn(wanted, tuple(image.convert("RGB") for image in images), seeds)

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


@dataclass(frozen=True)
class Candidate:
    """A poster and what it is worth; `worth` is what candidates are ranked by."""

    number: int
    image: Image.Image
    seed: int
    score: Score
    worth: float

    def row(self) -> dict[str, Any]:
        """For a set's row, rounded to what a score means."""
        score = {key: round(v, 4) if isinstance(v, float) else v for key, v in asdict(self.score).items()}
        return {"number": self.number, "seed": self.seed, "worth": round(self.worth, 4), **score}


@dataclass(frozen=True)
class Ranked:
    """All candidates for a prompt, the best one first, and who judged and who ranked them."""

    wanted: Wanted
    candidates: tuple[Candidate, ...]
    judge: str
    ranker: str

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    @property
    def worst(self) -> Candidate:
        return self.candidates[-1]


@dataclass(frozen=True)
class Appraise:
    """A step: every candidate of a prompt before the judge; where it has no answer for one, the row is lost.

    Attributes:
        ranker: ranks by how well picture and prompt agree, as HPSv2 does; None leaves that to the judge.
        whole: without a ranker the judge's aesthetics, text and content count alike; else its aesthetics alone.
    """

    judge: JudgeAt
    ranker: ClipAt | None = None
    whole: bool = False
    once: Once = field(default_factory=Once, compare=False, repr=False)

    def __call__(self, drawn: Drawn) -> Ranked | Drop:
        try:
            candidates, judge, ranker = self.once(drawn.wanted.id, lambda: self._appraise(drawn))
        except AnswerError as error:
            return Drop("judge failed", str(error), side_by_side(*drawn.images), fault=True)
        return Ranked(drawn.wanted, candidates, judge, ranker)

    def _appraise(self, drawn: Drawn) -> tuple[tuple[Candidate, ...], str, str]:
        judge = self.judge.open()
        prompt = drawn.wanted.prompt
        scores = [judge.score(image, prompt) for image in drawn.images]
        ranker = judge.name
        if self.ranker is not None:
            model = self.ranker.open()
            worth = model.score(drawn.images, [prompt] * len(drawn.images))
            ranker = model.name
        elif self.whole:
            worth = [(score.aesthetics + score.text + score.content) / 3 for score in scores]
        else:
            worth = [score.aesthetics for score in scores]
        found = zip(range(len(scores)), drawn.images, drawn.seeds, scores, worth, strict=True)
        # of equals the first drawn comes first
        ranked = sorted((Candidate(*one) for one in found), key=lambda one: (-one.worth, one.number))
        return tuple(ranked), judge.name, ranker


def side_by_side(*images: Image.Image) -> Image.Image:
    """Pictures in a row on white, each 320 pixels high, for a thumbnail."""
    shown = [image.resize((max(1, round(320 * image.width / image.height)), 320)) for image in images]
    sheet = Image.new("RGB", (sum(image.width + 8 for image in shown) - 8, 320), "white")
    left = 0
    for image in shown:
        sheet.paste(image, (left, 0))
        left += image.width + 8
    return sheet
