"""Sample sheets: the same held-out posters from the same noise each time, and how much of their text OCR reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from statistics import mean
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from diffusers import DiffusionPipeline
from PIL import Image, ImageOps

from posterkit.generate.draw import draw
from posterkit.image_io import written_whole
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.metrics.ocr import TextReader, text_accuracy
from posterkit.schema import PosterSample
from posterkit.sizing import Size
from posterkit.training.adapters import Adapter
from posterkit.training.loading.encoding import encoders_on, reading_in_turn
from posterkit.training.loading.fitting import fit_sample, target_size
from posterkit.training.loading.sets import PosterSet
from posterkit.training.protocols import RunView

_COUNT = 8
_TILE = 256  # pixels, the larger side of a picture on the sheet
_READABLE = 512  # pixels; smaller posters are enlarged to this for the reader


Watch = Callable[[Sequence[PosterSample], Sequence[np.ndarray]], dict[str, list[float]]]


class SampleSheet:
    """Makes a sheet of held-out posters, with the model's poster under each; `Run.steps` calls it.

    For tasks with references the first of them is between the two. Beside the sheet, `<step>.json` has how many of the
    texts' words an OCR model reads on the model's posters (mean recall and F-score, share of texts that are whole),
    and on the held-out posters, the most that it can read at that size.

    Processes that train together draw a part each.
    """

    divided = True

    def __init__(self, model: Adapter, run: RunView, posters: PosterSet, watch: Watch | None = None) -> None:
        self.model, self.run, self.watch = model, run, watch
        shown = posters.heldout if posters.heldout.rows else posters.train
        if not posters.heldout.rows and run.config.sample_every:
            run.print(f"{shown.index}: holds nothing out; the sample sheets show posters that the run learns from")
        self.posters = shown
        self._said: dict[tuple[int, int], list[Any]] = {}  # by sample and call, of frozen text encoders

    def __call__(self) -> Image.Image | None:
        drawn = self._draw()
        if not self.run.accelerator.is_main_process:
            return None
        made = [drawn[number] for number in range(len(self.samples))]
        pairs = list(zip(self.samples, made, strict=True))
        found: dict[str, Any] = {"made": self._read(pairs), "posters": self._readable}
        if self.watch:
            found["heldout"] = self.watch(self.samples, made)
        with written_whole(self.run.folder / "samples" / f"{self.run.step:07d}.json") as path:
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if found["made"]:
            self.run.print(
                f"step {self.run.step}: {found['made']['recall']:.0%} of the texts' words are read on the samples, "
                f"{found['posters']['recall']:.0%} on the posters themselves"
            )
        columns = []
        for sample, picture in pairs:
            shown = [Image.fromarray(one) for one in (sample.target, *sample.references[:1], picture)]
            tiles = [ImageOps.pad(one, (_TILE, _TILE), Image.Resampling.LANCZOS, "white", (0.5, 0)) for one in shown]
            columns.append(np.concatenate([np.asarray(tile) for tile in tiles]))
        height = max(len(column) for column in columns)
        padded = [np.pad(c, ((0, height - len(c)), (0, 4), (0, 0)), constant_values=255) for c in columns]
        return self.captioned(Image.fromarray(np.concatenate(padded, 1)))

    def _draw(self) -> dict[int, np.ndarray]:
        """The model's posters by the samples' numbers; every process draws some of them, and all get all."""
        config: Any = self.run.config
        count, processes = len(self.samples), self.run.accelerator.num_processes
        first = self.run.accelerator.process_index
        # as many in every process: those that share weights draw in step
        mine = {(first + turn * processes) % count for turn in range(-(-count // processes))}
        made = []
        with encoders_on(self.model, self.run.device, readers=not self.model.frozen_text):
            pipe: Any = self.model.pipeline()
            pipe.set_progress_bar_config(disable=True)
            for number in sorted(mine):
                if self.model.frozen_text:
                    pipe.encode_prompt = self._remembering(type(pipe).encode_prompt, pipe, number)
                options = self.options(number)
                poster = draw_sample(pipe, self.samples[number], number, config.sample_steps, **options)
                made.append((number, np.asarray(poster)))
        return dict(gather_object(made))

    def _remembering(self, encode: Callable[..., Any], pipe: Any, number: int) -> Callable[..., Any]:
        """A pipeline's `encode_prompt` for the sample of a number, whose words frozen encoders read but once."""
        calls = iter(range(1000))

        def encode_once(*args: Any, **named: Any) -> Any:
            key = number, next(calls)
            if key not in self._said:
                with reading_in_turn(self.model, self.run.device):
                    said = encode(pipe, *args, **named)
                self._said[key] = [one if one is None else one.cpu() for one in said]
            return tuple(one if one is None else one.to(self.run.device) for one in self._said[key])

        return encode_once

    def captioned(self, sheet: Image.Image) -> Image.Image:
        """The sheet with what a recipe writes on it."""
        return sheet

    def options(self, number: int) -> dict[str, Any]:
        """More arguments of the pipeline's call for the sample of a number."""
        config: Any = self.run.config
        return {} if config.sample_guidance is None else {"guidance_scale": config.sample_guidance}

    @cached_property
    def samples(self) -> list[PosterSample]:
        """The posters of the sheet, at the size that the model draws them at."""
        area, found = self.model.defaults["native_area"], []
        for number in range(min(_COUNT, len(self.posters))):
            sample = self.posters[number]
            height, width = sample.target.shape[:2]
            found.append(fit_sample(sample, target_size(Size(width, height), area)))
        return found

    @cached_property
    def _readable(self) -> dict[str, float]:
        return self._read([(sample, sample.target) for sample in self.samples])

    def _read(self, pairs: list[tuple[PosterSample, np.ndarray]]) -> dict[str, float]:
        """Word accuracy of pictures against their posters' texts; empty where no poster has one."""
        found = [
            text_accuracy([text.text for text in sample.texts], [line.text for line in self._reader(picture)])
            for sample, picture in pairs
            if sample.texts
        ]
        return {name: mean(getattr(one, name) for one in found) for name in ("recall", "f_score", "exact") if found}

    @cached_property
    def _reader(self) -> TextReader:
        return TextReader(enlarge_to=_READABLE)


def draw_sample(
    pipe: DiffusionPipeline, sample: PosterSample, seed: int, steps: int | None, **options: Any
) -> Image.Image:
    """A model's poster for a sample's words, references and mask, at the sample's size; RGB.

    Args:
        options: more arguments of the pipeline.
    """
    request = replace(request_from_sample(sample), seed=seed, steps=steps)
    return draw(pipe, [request], **options).images[0].convert("RGB")
