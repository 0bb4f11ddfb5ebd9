"""Several posters for each prompt, filtered, the best kept (PosterOmni section 4: candidates and their filters)."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from posterkit.brief import PosterBrief, quoted_texts
from posterkit.brief.wording import words_for
from posterkit.data.dataset import read_rows
from posterkit.data.flow import Drop
from posterkit.data.hq_posters import ClipAt
from posterkit.data.omni.subjects import Box, open_segmenter
from posterkit.data.poster_scan import JudgeAt
from posterkit.data.prompts import language_of, without_text_sentences
from posterkit.data.schema import DrawnText, PosterSample, Region
from posterkit.data.synthetic import background_name
from posterkit.metrics.color import srgb_to_lab
from posterkit.metrics.text import text_accuracy
from posterkit.sizing import Size, fit_area
from posterkit.typeset.compose import typeset

BLANK = 3.0  # Lab units by which a picture's pixels differ on the mean, below which it is blank
NOISE = 0.55  # share of a picture's variation that is finer than 2 pixels, above which it has collapsed into noise
POSTER = Size(2, 3)


@dataclass(frozen=True)
class Candidate:
    """One poster for a prompt.

    Attributes:
        texts: where it was typeset; empty where the model drew them.
        scores: by question, larger is better.
    """

    picture: Image.Image
    texts: tuple[DrawnText, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawn:
    """A prompt and what is left of its candidates.

    Attributes:
        row: the prompt's, see `PosterPrompt`.
        lost: why candidates went no further, and how many.
        judged: who looked at them.
    """

    row: dict[str, Any]
    texts: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    lost: Counter[str] = field(default_factory=Counter)
    judged: dict[str, dict[str, Any]] = field(default_factory=dict)

    def sifted(self, kept: list[Candidate], lost: Counter[str]) -> Drawn | Drop:
        """What is left; where nothing is, the commonest reason, with the last candidate as thumbnail."""
        lost = self.lost + lost
        if kept:
            return replace(self, candidates=tuple(kept), lost=lost)
        said = ", ".join(f"{reason} {number}" for reason, number in sorted(lost.items()))
        return Drop(lost.most_common(1)[0][0], f"{self.row['id']}: {said}", self.candidates[-1].picture)


def read_prompts(path: Path) -> tuple[dict[str, Any], ...]:
    """Prompts as build_prompts.py writes them; any JSON lines with a prompt each will do.

    Raises:
        ValueError: there are none, or a line has no prompt.
        FileNotFoundError: there is no such file.
    """
    path = path / "prompts.jsonl" if path.is_dir() else path
    rows = []
    for number, row in read_rows(path):
        if not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
            raise ValueError(f'{path}:{number}: a prompt must be a text under "prompt", found {row.get("prompt")!r}')
        rows.append({"id": f"prompt-{number:08d}", **row})
    if not rows:
        raise ValueError(f"{path}: holds no prompt")
    return tuple(rows)


@dataclass(frozen=True)
class Prompts:
    """Prompts by number, each with the texts that it asks for."""

    rows: tuple[dict[str, Any], ...]

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()[:16]

    def __getitem__(self, number: int) -> Drawn:
        row = self.rows[number]
        return Drawn(row, tuple(row.get("texts") or quoted_texts(row["prompt"])), ())


@dataclass(frozen=True)
class Model:
    """A PosterCraft or FLUX.1 checkpoint by its name; each process opens its own."""

    source: str
    device: str | None = None

    def open(self) -> Any:
        """The pipeline.

        Raises:
            ValueError: it cannot be loaded, or makes no posters from words.
        """
        return _pipeline(self.source, self.device)


@lru_cache(1)
def _pipeline(source: str, device: str | None) -> Any:
    from diffusers.utils import logging

    from posterkit.pipelines.loading import family_of, read_index
    from posterkit.pipelines.presets import load_pipeline

    logging.disable_progress_bar()
    if source != "mini" and family_of(source, read_index(source)) != "postercraft":
        raise ValueError(f"{source}: makes posters from pictures; candidates need a PosterCraft or FLUX.1 checkpoint")
    pipe = load_pipeline("mini:postercraft" if source == "mini" else source, device=device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@dataclass(frozen=True)
class Draw:
    """The step that draws candidates at the checkpoint's native area, and sets their texts where it is told to.

    Args:
        size: of the finished posters; None for the native size.
        typeset: texts are set with real fonts; else the model draws them.
        steps: None takes the checkpoint's own.
    """

    model: Model
    seed: int
    count: int
    size: Size | None
    typeset: bool
    steps: int | None

    def __call__(self, item: Drawn) -> Drawn | Drop:
        import torch

        pipe = self.model.open()
        native = fit_area(self.size or POSTER, pipe.config.get("native_area") or 1024 * 1024)
        prompt = item.row["prompt"]
        if self.typeset:
            prompt = words_for("text", without_text_sentences(prompt) or prompt, item.texts, draws=False)
        seeds = [hashlib.sha256(f"{self.seed} {item.row['id']} {n}".encode()).digest() for n in range(self.count)]
        generators = [torch.Generator().manual_seed(int.from_bytes(seed[:7])) for seed in seeds]
        drawn = []
        for generator in generators:  # one by one: what a candidate looks like hangs on its own seed alone
            made = pipe(
                prompt=prompt, width=native.width, height=native.height, num_inference_steps=self.steps,
                generator=generator,
            )  # fmt: skip
            drawn.append(made.images[0])
        if self.size:
            drawn = [picture.resize(self.size, Image.Resampling.LANCZOS) for picture in drawn]
        if not (self.typeset and item.texts):
            return replace(item, candidates=tuple(Candidate(picture) for picture in drawn))
        return self._with_texts(item, drawn)

    def _with_texts(self, item: Drawn, drawn: list[Image.Image]) -> Drawn | Drop:
        brief = PosterBrief.from_prompt(item.row["prompt"], item.texts)
        lettered = []
        for picture in drawn:
            try:
                made = typeset(picture, brief)
            except ValueError as fault:
                return Drop("texts do not fit", f"{item.row['id']}: {fault}", picture)
            texts = tuple(DrawnText(t.text, t.box.pixels(picture.size), t.color, t.font) for t in made.boxes)
            lettered.append(Candidate(made.image, texts))
        return replace(item, candidates=tuple(lettered))


@dataclass(frozen=True)
class EarlyFilter:
    """The step that drops pictures which no model judge need look at: blank ones, noise, and those without a subject.

    Args:
        segmenter: who looks for a subject, see `posterkit.data.omni.subjects`.
    """

    segmenter: str = "rules"
    device: str | None = None

    def __call__(self, item: Drawn) -> Drawn | Drop:
        kept, lost = [], Counter[str]()
        for candidate in item.candidates:
            why = self.fault(candidate.picture, [text.box for text in candidate.texts if text.box])
            lost.update([why] if why else [])
            kept += [] if why else [candidate]
        return item.sifted(kept, lost)

    def fault(self, picture: Image.Image, texts: list[Box]) -> str | None:
        """Why a picture is no poster; None where it may be one."""
        lab = srgb_to_lab(np.asarray(picture))
        if float(np.linalg.norm(lab - np.median(lab, axis=(0, 1)), axis=2).mean()) < BLANK:
            return "blank"
        light = lab[..., 0]
        fine = light - ndimage.gaussian_filter(light, 2)
        if float(fine.var()) > NOISE * float(light.var()):
            return "noise"
        return None if open_segmenter(self.segmenter, self.device)(picture, texts) else "no subject"


@dataclass(frozen=True)
class TextFilter:
    """The step that reads each candidate and drops those that lack too much of the texts asked for."""

    judge: JudgeAt
    least: float

    def __call__(self, item: Drawn) -> Drawn | Drop:
        if not item.texts:
            return item
        judge, kept, lost = self.judge.open(), [], Counter[str]()
        for candidate in item.candidates:
            seen = judge.texts(candidate.picture)
            recall = text_recall(item.texts, [text.text for text in seen])
            if recall < self.least:
                lost["wrong text" if seen else "no text"] += 1
                continue
            texts = candidate.texts or tuple(DrawnText(text.text, text.box) for text in seen)
            kept.append(replace(candidate, texts=texts, scores={**candidate.scores, "text recall": round(recall, 4)}))
        return replace(item, judged={**item.judged, "text recall": {"by": judge.name}}).sifted(kept, lost)


def text_recall(asked: tuple[str, ...], read: list[str]) -> float:
    """How much of the texts was read, in [0, 1]: of words; of letters where they are Chinese, which has no blanks."""
    if language_of("".join(asked)) == "zh":
        asked, read = tuple(" ".join(text) for text in asked), [" ".join(text) for text in read]
    return text_accuracy(asked, read).recall


@dataclass(frozen=True)
class ImageTextFilter:
    """The step that compares each candidate with its prompt by a CLIP-like model."""

    scorer: ClipAt
    least: float

    def __call__(self, item: Drawn) -> Drawn | Drop:
        scorer, kept, lost = self.scorer.open(), [], Counter[str]()
        pictures = [candidate.picture for candidate in item.candidates]
        for candidate, score in zip(
            item.candidates, scorer.score(pictures, [item.row["prompt"]] * len(pictures)), strict=True
        ):
            if score < self.least:
                lost["does not fit its prompt"] += 1
            else:
                kept.append(replace(candidate, scores={**candidate.scores, "agreement": round(score, 4)}))
        return replace(item, judged={**item.judged, "agreement": {"by": scorer.name}}).sifted(kept, lost)


@dataclass(frozen=True)
class Best:
    """The step that keeps the best candidate as a finished poster: by agreement with its prompt, else by a judge.

    Args:
        made_by: the model's name, for the row's `source`.
    """

    judge: JudgeAt
    licence: str
    made_by: str

    def __call__(self, item: Drawn) -> PosterSample:
        judged, question = dict(item.judged), "agreement"
        candidates = list(item.candidates)
        if question not in judged:
            judge, question = self.judge.open(), "worth"
            judged[question] = {"by": judge.name}
            for n, candidate in enumerate(candidates):
                score = judge.score(candidate.picture, item.row["prompt"])
                worth = round((score.aesthetics + score.text + score.content) / 3, 4)
                candidates[n] = replace(candidate, scores={**candidate.scores, question: worth})
        chosen = max(candidates, key=lambda candidate: candidate.scores[question])
        judged = {asked: {**answer, "said": chosen.scores[asked]} for asked, answer in judged.items()}
        drawn = len(candidates) + item.lost.total()
        judged["candidates"] = {"by": self.made_by, "said": {"drawn": drawn, **dict(sorted(item.lost.items()))}}
        row, pixels = item.row, np.asarray(chosen.picture)
        title = item.texts[0] if item.texts else None
        return PosterSample(
            id=f"candidate-{row['id']}", task="text", target=pixels, texts=list(chosen.texts),
            regions=[Region(text.box, "major" if text.text == title else "minor", text.text)
                     for text in chosen.texts if text.box],
            caption=row["prompt"], instruction=row["prompt"], words=row["prompt"], theme=row.get("theme") or "",
            source=self.made_by, licence=self.licence, split=row.get("split") or "train",
            background=background_name(pixels), style=row.get("style"), judged=judged,
        )  # fmt: skip
