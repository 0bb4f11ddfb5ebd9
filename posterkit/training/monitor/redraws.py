"""Pictures of stage 4 on the way: held-out drafts, and what the model makes of them and their feedback."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.fidelity import appearance_distance
from posterkit.prompts import quoted_texts
from posterkit.schema import DrawnText, PosterSample
from posterkit.sizing import Size
from posterkit.training.adapters import Adapter
from posterkit.training.loading.fitting import fit_sample, target_size
from posterkit.training.loading.sets import PosterSet
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.protocols import RunView

_COUNT = 8
_LINES = 9  # of feedback under a column


class Redraws(SampleSheet):
    """A column for each held-out reflection: target, draft, what the model makes of draft and feedback; the feedback.

    Beside the sheet lies `<step>.json` with `heldout`: for each how far draft and redraw look from the target
    (`draft_distance`, `redraw_distance`, see `appearance_distance`), and whether the redraw is `nearer` (1 or 0). A
    draft has most of its target right: a redraw is nearer where it mends more than it spoils.

    Args:
        posters: of `open_reflected`.
    """

    def __init__(self, model: Adapter, run: RunView, posters: PosterSet) -> None:
        super().__init__(model, run, posters, watch=self.compare)

    def __call__(self) -> Image.Image:
        sheet, font = super().__call__(), ImageFont.load_default(13)
        made = Image.new("RGB", (sheet.width, sheet.height + 17 * _LINES), "white")
        made.paste(sheet)
        width = sheet.width // len(self.feedback)
        for number, feedback in enumerate(self.feedback):
            lines = textwrap.wrap(feedback, 36, max_lines=_LINES, placeholder=" …")
            ImageDraw.Draw(made).multiline_text((number * width + 2, sheet.height), "\n".join(lines), "black", font)
        return made

    @cached_property
    def samples(self) -> list[PosterSample]:
        """The targets, at the size that the model draws them at, each with its draft as reference."""
        found = []
        for number in self._numbers:
            target, draft = self.posters[number], self.posters[number + 1]
            height, width = target.target.shape[:2]
            size = target_size(Size(width, height), self.model.defaults["native_area"])
            texts = [DrawnText(text) for text in quoted_texts(target.caption)]
            found.append(replace(fit_sample(target, size), references=[fit_sample(draft, size).target], texts=texts))
        return found

    @property
    def feedback(self) -> list[str]:
        """The feedback on each draft."""
        return [self.posters.rows[number + 1]["caption"] for number in self._numbers]

    @cached_property
    def _numbers(self) -> list[int]:
        rows = self.posters.rows
        return [number for number in range(0, len(rows), 2) if rows[number + 1]["caption"]][:_COUNT]

    def compare(self, samples: Sequence[PosterSample], pictures: Sequence[np.ndarray]) -> dict[str, list[float]]:
        """How far drafts and redraws look from their targets."""
        far = {
            "draft_distance": [appearance_distance(one.references[0], one.target) for one in samples],
            "redraw_distance": [
                appearance_distance(picture, one.target) for one, picture in zip(samples, pictures, strict=True)
            ],
        }
        pairs = list(zip(*far.values(), strict=True))
        nearer = [float(redraw < draft) for draft, redraw in pairs]
        self.run.print(
            f"step {self.run.step}: {sum(nearer):.0f} of {len(nearer)} redraws look nearer to their targets than the "
            f"drafts do (mean distance {mean(far['draft_distance']):.3f}, then {mean(far['redraw_distance']):.3f})"
        )
        return {**far, "nearer": nearer}

    def options(self, number: int) -> dict[str, Any]:
        draft = Image.fromarray(self.samples[number].references[0])
        return {**super().options(number), "draft_image": [draft], "feedback": [[self.feedback[number]]]}
