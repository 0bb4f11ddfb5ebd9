"""Stage 4, PosterCraft: redraw a draft by its feedback (PosterCraft section 3.4).

    accelerate launch train/stage4_reflect.py --config configs/mini/stage4_reflect.yaml

A LoRA on the model of stage 3 learns conditional flow matching: x_0 is the better poster, and the condition is
c = [prompt; feedback; draft]. T5 reads the feedback, a content and a style suggestion, apart from the prompt, and its
tokens stand behind the prompt's; the draft's latents stand behind the noisy ones, as in FLUX Kontext:

    L = E |v(x_t, t, c) - (noise - x_0)|^2,    x_t = (1 - t) x_0 + t noise

`data_tools/build_reflections.py` makes a set of the former stage's own posters; without one, synthetic posters are
drawn into the run folder, each once as it should be and once with something wrong that the feedback names.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import mean
from typing import Any, cast

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.fidelity import appearance_distance
from posterkit.prompts import quoted_texts
from posterkit.schema import DrawnText, PosterSample
from posterkit.sizing import Size
from posterkit.training.adapters import Adapter
from posterkit.training.adapters.flux import FluxAdapter
from posterkit.training.config import NotNegative, Share, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.loading.fitting import fit_sample, target_size
from posterkit.training.loading.paired import open_reflected, reflection_batches
from posterkit.training.loading.sets import PosterSet
from posterkit.training.lora import Trainable
from posterkit.training.losses import add_noise, flow_matching_loss, sample_time
from posterkit.training.monitor.sampling import SampleSheet
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig, open_stage
from posterkit.training.strategies import build_strategy

COUNT = 8  # reflections on a sample sheet
LINES = 9  # of feedback under a column


@dataclass
class ReflectConfig(StageConfig):
    """
    Attributes:
        guidance: the scale that the guidance-distilled transformer gets while it learns; at 1 its velocity is the
            plain one.
        drop_feedback: share of samples whose feedback is replaced by the empty text, as the negative forward of
            classifier-free guidance has it; apart from `drop_prompt`.
    """

    guidance: NotNegative = 1.0
    drop_feedback: Share = 0.0
    trainable: Trainable = field(default_factory=lambda: Trainable("lora", rank=128))


def main() -> None:
    config = parse_config(ReflectConfig)
    run = Run(config)
    with setting_up():
        model = cast(FluxAdapter, open_stage(config, "postercraft", lora="reflect"))
        reflections = open_reflected(config.data, run)
        batches = reflection_batches(reflections, model, run, config.data)
        strategy = build_strategy(config, model)
    sheet = Redraws(model, run, reflections)

    for batch in run.steps(model, batches, strategy, sheet):
        size = len(batch.ids)
        drop, drop_feedback = (
            (torch.rand(size, generator=run.generator) < share).to(run.device)
            for share in (config.drop_prompt, config.drop_feedback)
        )
        with run.autocast():
            x0, condition = model.encode(batch, drop, drop_feedback)
            shift = model.time_shift(x0, config.time_shift)
            t = sample_time(size, run.generator, config.time, shift).to(run.device)
            noise = run.noise_like(x0)
            v = strategy.velocity(add_noise(x0, noise, t), t, condition, torch.full_like(t, config.guidance))
        run.backward(flow_matching_loss(v, noise - x0))

    run.finish(model)


class Redraws(SampleSheet):
    """Sample sheets with a column for each held-out reflection: target, draft, the model's redraw; the feedback.

    Beside the sheet lies `<step>.json` with `heldout`: for each how far draft and redraw look from the target
    (`draft_distance`, `redraw_distance`, see `appearance_distance`), and whether the redraw is `nearer` (1 or 0). A
    draft has most of its target right: a redraw is nearer where it mends more than it spoils.

    Args:
        posters: of `open_reflected`.
    """

    def __init__(self, model: Adapter, run: Run, posters: PosterSet) -> None:
        super().__init__(model, run, posters, watch=self.compare)

    def captioned(self, sheet: Image.Image) -> Image.Image:
        font = ImageFont.load_default(13)
        made = Image.new("RGB", (sheet.width, sheet.height + 17 * LINES), "white")
        made.paste(sheet)
        width = sheet.width // len(self.feedback)
        for number, feedback in enumerate(self.feedback):
            lines = textwrap.wrap(feedback, 36, max_lines=LINES, placeholder=" …")
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
        return [number for number in range(0, len(rows), 2) if rows[number + 1]["caption"]][:COUNT]

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


if __name__ == "__main__":
    main()
