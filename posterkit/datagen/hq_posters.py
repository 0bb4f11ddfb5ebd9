"""HQ-Poster: the posters of a folder that are worth learning from (PosterCraft, stage 2's data), step by step.

What shows only across the whole folder is known by then, see `posterkit.datagen.poster_scan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.poster_scan import SMALL, JudgeAt, Settled, own_caption, read_own_caption
from posterkit.image_io import read_image_and_kind
from posterkit.llm.client import AnswerError
from posterkit.llm.once import opened_once
from posterkit.metrics.lettering import SeenText
from posterkit.schema import DrawnText, PosterSample, Region, encode_sample

if TYPE_CHECKING:
    from posterkit.critic.rules import RulesCritic
    from posterkit.rewards.models.image_text import ImageTextModel


@dataclass(frozen=True)
class Poster:
    """A poster on its way through the steps.

    Attributes:
        path: its file.
        kind: the suffix under which the file itself can stand in the set, see `read_image_and_kind`.
    """

    number: int
    name: str
    path: Path
    image: Image.Image
    kind: str | None
    caption: str = ""
    texts: tuple[SeenText, ...] = ()
    judged: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    def hearing(self, question: str, by: str, said: Any, **found: Any) -> Poster:
        """The same poster with an answer on record."""
        return replace(self, judged={**self.judged, question: {"by": by, "said": said}}, **found)


@dataclass(frozen=True)
class Posters:
    """The posters of a folder by number; those that are to be dropped are read at thumbnail size only."""

    folder: Path
    names: tuple[str, ...]
    settled: Settled

    def __getitem__(self, number: int) -> Poster | Drop:
        why = self.settled.unread.get(number)
        if why and why.fault:
            return why
        lost = why or any(number in numbers for numbers in self.settled.lost.values())
        path = self.folder / self.names[number]
        image, kind = read_image_and_kind(path, least=SMALL if lost else None)
        return replace(why, picture=image) if why else Poster(number, self.names[number], path, image, kind)


@dataclass(frozen=True)
class DropKnown:
    """The steps whose answer the scan knows.

    Attributes:
        lost: why a poster goes no further, by its number.
        by: who looked for blemishes; empty for the other steps.
    """

    lost: Mapping[int, Drop]
    by: frozenset[str] = frozenset()

    def __call__(self, poster: Poster) -> Poster | Drop:
        why = self.lost.get(poster.number)
        if why:
            return replace(why, picture=poster.image)
        return poster.hearing("blemishes", ", ".join(sorted(self.by)), []) if self.by else poster


@dataclass(frozen=True)
class Caption:
    """A poster's own NAME.txt, else the judge's words."""

    judge: JudgeAt

    def __call__(self, poster: Poster) -> Poster | Drop:
        try:
            words = read_own_caption(poster.path)
        except (OSError, ValueError) as error:
            return Drop("unreadable caption", str(error), poster.image, fault=True)
        if words:
            return poster.hearing("caption", own_caption(poster.path).name, words, caption=words)
        try:
            judge = self.judge.open()
            words = judge.caption(poster.image)
        except AnswerError as error:
            return Drop("no answer", str(error), poster.image, fault=True)
        return poster.hearing("caption", judge.name, words, caption=words)


@dataclass(frozen=True)
class LooksOf:
    """The rules' aesthetic score by itself: what `Critic.score` says of it, without the time for content and text."""

    judge: JudgeAt  # rules

    def aesthetics(self, poster: Image.Image, caption: str) -> tuple[str, float, str]:
        """Who scores, the score in [0, 1], and why; the caption does not matter."""
        judge = cast("RulesCritic", self.judge.open())
        looks = judge.looks(poster)
        part, value = min(looks.parts().items(), key=lambda part: part[1])
        return judge.name, looks.aesthetics, f"weakest in {part} ({value:.2f})"


@dataclass(frozen=True)
class ClipAt:
    """A CLIP-like folder by its address."""

    source: str
    device: str = "cpu"

    def open(self) -> ImageTextModel:
        return _clip(self.source, self.device)

    def aesthetics(self, poster: Image.Image, caption: str) -> tuple[str, float, str]:
        """Who scores, the cosine in [-1, 1] between poster and caption, and why: the model does not say."""
        model = self.open()
        return model.name, model.score([poster], [caption])[0], ""


@opened_once(1)
def _clip(source: str, device: str) -> ImageTextModel:
    from posterkit.rewards.models.image_text import ImageTextModel  # torch takes seconds, and rules do without

    return ImageTextModel(source, device)


@dataclass(frozen=True)
class Aesthetics:
    """The aesthetic score: by rules, or the cosine between poster and caption of HPSv2 and its like."""

    scorer: LooksOf | ClipAt
    least: float

    def __call__(self, poster: Poster) -> Poster | Drop:
        try:
            name, score, why = self.scorer.aesthetics(poster.image, poster.caption)
        except AnswerError as error:
            return Drop("no answer", str(error), poster.image, fault=True)
        if score < self.least:
            detail = f"{name}: {score:.3f}, at least {self.least:g}{'; ' + why if why else ''}"
            return Drop("low score", detail, poster.image)
        return poster.hearing("aesthetics", name, round(score, 4))


@dataclass(frozen=True)
class Regions:
    """Where major and minor texts stand."""

    judge: JudgeAt

    def __call__(self, poster: Poster) -> Poster | Drop:
        try:
            judge = self.judge.open()
            texts = judge.texts(poster.image)
        except AnswerError as error:
            return Drop("no answer", str(error), poster.image, fault=True)
        said = {role: sum(text.role == role for text in texts) for role in ("major", "minor")}
        return poster.hearing("texts", judge.name, said, texts=texts)


def leave(poster: Poster) -> Poster:
    """A step that is switched off; its name in the funnel says so."""
    return poster


@dataclass(frozen=True)
class EncodePoster:
    """A poster as a sample of task "text"; its target is the file itself wherever that shows the same pixels.

    Attributes:
        keep_files: False writes every target as PNG; tar shards need files of one kind.
        heldout: every so many posters one is held out; 0 for none.
    """

    licence: str
    keep_files: bool
    heldout: int

    def __call__(self, poster: Poster) -> tuple[dict[str, Any], dict[str, bytes]]:
        held = self.heldout and poster.number % self.heldout == self.heldout - 1
        sample = PosterSample(
            id=f"poster-{poster.number:08d}", task="text", target=np.asarray(poster.image),
            regions=[Region(text.box, text.role, text.text) for text in poster.texts],
            texts=[DrawnText(text.text, text.box) for text in poster.texts],
            caption=poster.caption, instruction=poster.caption, words=poster.caption, source=poster.name,
            licence=self.licence, split="heldout" if held else "train", judged=dict(poster.judged),
        )  # fmt: skip
        own = (poster.kind, poster.path.read_bytes()) if self.keep_files and poster.kind else None
        return encode_sample(sample, own)
