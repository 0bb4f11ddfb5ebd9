"""The interface of all rewards: what a poster was asked to be, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from posterkit.metrics.text import words
from posterkit.prompts import quoted_texts
from posterkit.schema import Box, PosterSample, Region
from posterkit.sizing import Size
from posterkit.tasks import TASKS, place

VISIBLE = 0.8  # of a text's box; from so much of it in the kept pixels on, the words can be read there


@dataclass(frozen=True)
class PosterRequest:
    """What a poster was asked to be: all that a reward may look at. The finished poster of a set is no part of it.

    Attributes:
        task: "text" or a name in `posterkit.tasks.TASKS`.
        prompt: the words that the model was told; the whole instruction where there are references.
        texts: what the poster must say; () where it may say nothing; None where nobody knows, and then what the
            prompt quotes counts (see `wording`).
        references: input pictures, uint8 `(h, w, 3)` RGB each.
        mask: uint8 `(H, W)`, 255 = to be made, 0 = kept; None for tasks that keep no pixels.
        placed: where reference 0 lies on the poster, in pixels, half open.
        regions: boxes of texts that are asked for, in pixels.
        size: width and height that mask, placed and regions are measured on; None where there are none of them.
        caption: what the poster shows in words, for who compares picture and text; the prompt where it is empty.
        spare: how many words more than `texts` it may bear; prompts ask for "a small line" and do not dictate it.
        id: names the row in errors.
    """

    task: str
    prompt: str
    texts: tuple[str, ...] | None = None
    references: tuple[np.ndarray, ...] = ()
    mask: np.ndarray | None = None
    placed: Box | None = None
    regions: tuple[Region, ...] = ()
    size: Size | None = None
    caption: str = ""
    spare: int = 0
    id: str = ""

    @classmethod
    def of(cls, sample: PosterSample) -> PosterRequest:
        """What a sample of a set asks for.

        Its texts are those that its model can know: quoted in the instruction, or to be seen in the pictures that go
        in. The words of the others are spare.
        """
        quoted = {tuple(words(text)) for text in quoted_texts(sample.instruction)}
        told = [
            text for text in sample.texts
            if tuple(words(text.text)) in quoted or sample.task == "rescaling" or _is_kept(sample, text.box)
        ]  # fmt: skip
        height, width = sample.target.shape[:2]
        return cls(
            sample.task, sample.instruction, tuple(text.text for text in told), tuple(sample.references), sample.mask,
            sample.placed, tuple(sample.regions), Size(width, height), sample.caption,
            sum(len(words(text.text)) for text in sample.texts if text not in told), sample.id,
        )  # fmt: skip

    def wording(self) -> tuple[str, ...] | None:
        """The texts that must stand on the poster: the row's, else the prompt's quotes; None where it has neither."""
        return tuple(quoted_texts(self.prompt)) or None if self.texts is None else self.texts

    def inputs(self) -> list[Image.Image]:
        """The pictures that go in, RGB; for filling the part to be made is blank, whatever a set keeps there."""
        pictures = [Image.fromarray(reference) for reference in self.references]
        if self.task != "filling" or self.mask is None:
            return pictures
        return place(TASKS["filling"], pictures, Size(*pictures[0].size), Image.fromarray(self.mask))[0]


@dataclass(frozen=True)
class RewardResult:
    """One poster's reward, larger is better.

    Attributes:
        value: in [0, 1].
        parts: what it is made of, by name; each in [0, 1].
        why: one line for people: what is wrong with it.
    """

    value: float
    parts: dict[str, float] = field(default_factory=dict)
    why: str = ""


class Reward(Protocol):
    """Says what posters are worth. The same posters and rows always get the same answer."""

    @property
    def name(self) -> str:
        """What records and caches call it; it changes with everything that decides the answer."""
        ...

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        """One worth for each poster (RGB) and what it was asked to be.

        Raises:
            ValueError: as many rows are not there.
        """
        ...


def _is_kept(sample: PosterSample, box: Box | None) -> bool:
    if sample.mask is None or box is None:
        return False
    x0, y0, x1, y1 = box
    return float((sample.mask[y0:y1, x0:x1] == 0).mean()) >= VISIBLE if x1 > x0 and y1 > y0 else False
