"""Drawing: load a model once, take planned posters together through it, finish each one. Knows no engine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posterkit.generate.compose import enlarge, paste_kept
from posterkit.generate.metadata import source_depth, write_png
from posterkit.generate.plan import Checkpoint, Plan, Settings, find_checkpoint, kind_of, make_plan, native_box
from posterkit.generate.record import record_of, with_relative_paths
from posterkit.generate.request import TEXT, Job
from posterkit.image_io import read_image, read_mask, written_whole
from posterkit.layout import Layout
from posterkit.sizing import Size
from posterkit.tasks import TASKS, place
from posterkit.typeset.poster import TypesetPoster, typeset

REFERENCE = (2048, 2048)  # pixels; no model looks at a reference any closer
_SMALL = 256 * 256  # native pixels up to which several posters at once pay; from about 1 MP they gain next to nothing
_AT_ONCE = 8


@dataclass
class Inputs:
    """The pictures of one plan, read.

    Attributes:
        references: what goes to the pipeline, RGB; reference 0 at the native scale where it lies on the poster.
        mask: what goes to the pipeline.
        anchor: native pixels.
        canvas, region: at the finished size, for tasks that keep pixels.
        depth: how many times posterkit has drawn the sources already.
        notes: warnings of the reading.
        draft, feedback: a poster to be redrawn as the model drew it, and what shall change in it.
    """

    references: list[Image.Image] = field(default_factory=list)
    mask: Image.Image | None = None
    anchor: tuple[int, int] | str = "center"
    canvas: Image.Image | None = None
    region: Image.Image | None = None
    depth: int = 0
    notes: list[str] = field(default_factory=list)
    draft: Image.Image | None = None
    feedback: tuple[str, ...] = ()


@dataclass
class Drawn:
    """A finished poster.

    Attributes:
        image: RGB at the finished size, texts and all.
        record: what its file says about it.
        lettered: the typeset poster, for SVG and PDF; None where no text was asked for.
        notes: warnings that came up.
        drawing: what the model drew, at its own size.
        seed: what it was drawn from.
    """

    image: Image.Image
    record: dict[str, Any]
    lettered: Any
    notes: list[str]
    drawing: Image.Image
    seed: int

    def save(self, path: str | Path) -> None:
        """Write a PNG with its record, an SVG or a PDF, by the name's ending.

        Raises:
            ValueError: another ending.
        """
        path = Path(path)
        if path.suffix.lower() == ".png":
            write_png(self.image, path, with_relative_paths(self.record, path.parent))
        else:
            _save_vector(self, path)


class Worker:
    """Makes posters with one set of settings; holds one pipeline at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._checkpoints: dict[str, Checkpoint] = {}
        self._loaded: tuple[str, Any] | None = None

    def checkpoint(self, kind: str) -> Checkpoint:
        """The checkpoint of a kind, looked up once; ValueError as `find_checkpoint`."""
        if kind not in self._checkpoints:
            self._checkpoints[kind] = find_checkpoint(self.settings, kind)
        return self._checkpoints[kind]

    def plan(self, job: Job, seed: int = 0) -> Plan:
        """Settle a job; ValueError as `make_plan`."""
        return make_plan(job, self.settings, self.checkpoint(kind_of(job.task)), seed)

    def pipeline(self, kind: str) -> Any:
        """The loaded pipeline of a kind; another kind's is let go first, two big models rarely fit."""
        if self._loaded is None or self._loaded[0] != kind:
            from posterkit.pipelines.loading import quiet_bars
            from posterkit.pipelines.presets import load_pipeline

            quiet_bars()
            self._loaded = None
            s = self.settings
            pipe = load_pipeline(
                self.checkpoint(kind).source,
                transformer=s.transformer, lora=s.lora, preset=s.preset, device=s.device, dtype=s.dtype,
            )  # fmt: skip
            pipe.set_progress_bar_config(disable=True)
            self._loaded = (kind, pipe)
        return self._loaded[1]

    def read(self, plan: Plan) -> Inputs:
        """Read a plan's pictures.

        Raises:
            ValueError: one of them is damaged, or the mask does not fit.
        """
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            inputs = _read_inputs(plan)
        inputs.notes = [str(warning.message) for warning in caught]
        return inputs

    def draw(
        self, work: Sequence[tuple[Plan, Inputs]], on_step: Callable[[int], None] | None = None
    ) -> list[Drawn | Exception]:
        """Draw plans that `together` says go together, and finish each.

        Args:
            on_step: called after each denoising step with the steps done so far.

        Returns:
            For each plan its poster, or why it could not be finished.
        """
        first = work[0][0]
        pipe = self.pipeline(kind_of(first.job.task))
        with _row_lora(pipe, first.job.lora, self.settings.lora):
            output = pipe(**_call(work, on_step))
        parameters = output.parameters or [{}] * len(work)
        drawn: list[Drawn | Exception] = []
        for (plan, inputs), image, made in zip(work, output.images, parameters, strict=True):
            try:
                drawn.append(_finish(plan, inputs, image, made))
            except Exception as error:  # costs only its own row: the others are drawn
                drawn.append(error)
        return drawn


def together(plan: Plan) -> tuple[Any, ...]:
    """Plans with equal keys can be drawn in one call."""
    job = plan.job
    return (job.task, plan.native, plan.steps, plan.guidance, job.negative_prompt is None, job.lora, plan.best_of)


def posters_at_once(plan: Plan) -> int:
    """How many posters of a plan's size one call of the pipeline draws."""
    return _AT_ONCE if plan.native.area <= _SMALL else 1


def _anchor(plan: Plan) -> tuple[int, int] | str:
    """Where the photograph's corner lies on the native drawing; a picture with a mask covers all of it."""
    if plan.box is None or plan.job.mask is not None:
        return "center"
    return native_box(plan.box, plan.finished, plan.native)[:2]


def _read_inputs(plan: Plan) -> Inputs:
    job = plan.job
    depth = max((source_depth(path) for path in job.images), default=0)
    if depth >= 2:
        warnings.warn(
            f"{job.images[0]}: posterkit has drawn this {depth} times; start from the original", stacklevel=2
        )
    images = [read_image(path) for path in job.images]
    mask = read_mask(job.mask, images[0].size) if job.mask else None
    if plan.box is None:
        for image in images:
            image.thumbnail(REFERENCE, Image.Resampling.LANCZOS)
        return Inputs(images, depth=depth)
    placed, region = place(TASKS[job.task], images, plan.finished, mask, job.anchor or "center")
    if region is None or region.getbbox() is None:
        raise ValueError(f"{job.where}: nothing is left to make; mask something, or ask for a larger poster")
    photo, hole = _at_native_scale(plan, images[0], mask)
    return Inputs([photo], hole, _anchor(plan), placed[0], region, depth)


def _at_native_scale(
    plan: Plan, photo: Image.Image, mask: Image.Image | None
) -> tuple[Image.Image, Image.Image | None]:
    """The photograph (and its mask) as they lie on the native drawing, resampled onto its pixel grid."""
    assert plan.box is not None
    x0, y0, x1, y1 = plan.box
    small = native_box(plan.box, plan.finished, plan.native)
    # native pixels back to the finished poster, from there to the photograph
    to_x, to_y = plan.finished.width / plan.native.width, plan.finished.height / plan.native.height
    scale_x, scale_y = photo.width / (x1 - x0), photo.height / (y1 - y0)
    source = (
        max(0.0, (small[0] * to_x - x0) * scale_x), max(0.0, (small[1] * to_y - y0) * scale_y),
        min(float(photo.width), (small[2] * to_x - x0) * scale_x),
        min(float(photo.height), (small[3] * to_y - y0) * scale_y),
    )  # fmt: skip
    size = Size(small[2] - small[0], small[3] - small[1])
    if size == photo.size:
        return photo, mask
    reduced = photo.resize(size, Image.Resampling.LANCZOS, box=source)
    if mask is None:
        return reduced, None
    hole = np.asarray(mask.resize(size, Image.Resampling.BOX, box=source)) > 0
    return reduced, Image.fromarray(np.where(hole, 255, 0).astype(np.uint8))


def _call(work: Sequence[tuple[Plan, Inputs]], on_step: Callable[[int], None] | None) -> dict[str, Any]:
    """The arguments of the pipeline's call."""
    import torch

    first = work[0][0]
    # seeds give the same noise wherever the model runs
    generators = [torch.Generator("cpu").manual_seed(plan.seed) for plan, _ in work]
    call: dict[str, Any] = {
        "prompt": [plan.words for plan, _ in work], "width": first.native.width, "height": first.native.height,
        "num_inference_steps": first.steps, "generator": generators,
    }  # fmt: skip
    if first.job.negative_prompt is not None:
        call["negative_prompt"] = [plan.job.negative_prompt for plan, _ in work]
    if first.job.task == TEXT and first.job.negative_prompt is not None:
        # FLUX.1 steers by one forward, which has no negative side: true guidance takes its place
        call |= {"true_cfg_scale": max(first.guidance, 1.01), "guidance_scale": 1.0}
    elif first.job.task == TEXT:
        call["guidance_scale"] = first.guidance
    else:
        call |= {"task": first.job.task, "image": [inputs.references for _, inputs in work]}
        call["true_cfg_scale"] = first.guidance
        if work[0][1].mask is not None:
            call["mask_image"] = [inputs.mask for _, inputs in work]
        if TASKS[first.job.task].keeps_pixels:
            # kept pixels go back at the finished size, where they have all their detail
            call["preserve"] = False
        if first.job.task == "extending":
            call["anchor"] = [inputs.anchor for _, inputs in work]
    if work[0][1].draft is not None:
        call |= {"draft_image": [inputs.draft for _, inputs in work]}
        call["feedback"] = [list(inputs.feedback) for _, inputs in work]
    if on_step is not None:
        call["callback_on_step_end"] = lambda _pipe, step, _time, tensors: on_step(step + 1) or tensors
    return call


def _finish(plan: Plan, inputs: Inputs, drawn: Image.Image, made: dict[str, Any]) -> Drawn:
    """Enlarge, put kept pixels back, set the texts."""
    image, resampler = enlarge(drawn, plan.finished)
    if inputs.canvas is not None and inputs.region is not None:
        image = paste_kept(image, inputs.canvas, inputs.region)
    lettered, notes = None, list(inputs.notes)
    if plan.brief is not None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lettered = typeset(image, plan.brief)
        notes += [str(warning.message) for warning in caught]
        image = lettered.image.convert("RGB")
    boxes = None if lettered is None else lettered.boxes
    record = record_of(plan, drawn.size, resampler, made, boxes, inputs.depth)
    return Drawn(image, record, lettered, notes, drawn, plan.seed)


def _save_vector(drawn: Drawn, path: Path) -> None:
    image = drawn.image
    lettered = drawn.lettered or TypesetPoster(image, image, [], [], Layout(*image.size, ()), "modern")
    ending = path.suffix.lower()
    if ending not in (".svg", ".pdf"):
        raise ValueError(f"{path}: a poster is written as .png, .svg or .pdf")
    content = lettered.svg() if ending == ".svg" else lettered.pdf()
    with written_whole(path) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def _row_lora(pipe: Any, own: str | None, shared: str | None) -> Iterator[None]:
    """A row's own LoRA beside the run's, for one call; ValueError where it does not fit the model."""
    if own is None:
        yield
        return
    from posterkit.pipelines.loading import add_loras

    if shared:
        pipe.unload_lora_weights()
    try:
        add_loras(pipe, [shared, own] if shared else [own])
        yield
    finally:
        pipe.unload_lora_weights()
        if shared:
            add_loras(pipe, shared)
