"""Drawing: a request's pictures as the model takes them, and the one place that calls a pipeline with requests."""

# pyright: standard
from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from posterkit.generate.draft import with_draft
from posterkit.generate.metadata import source_depth
from posterkit.generate.poster_plan import PosterPlan, native_box
from posterkit.image_io import reduced
from posterkit.messages import caught_warnings
from posterkit.safety.decision import GateDecision
from posterkit.safety.provenance import has_credentials
from posterkit.schema import Box, PosterRequest, picture_of
from posterkit.sizing import Size
from posterkit.tasks import TASKS, TEXT, place

Request = TypeVar("Request", bound=PosterRequest)

REFERENCE = 2048  # pixels a side; no model takes a larger reference


def draw(pipe: Any, requests: Sequence[PosterRequest], seeds: Sequence[int] | None = None, **options: Any) -> Any:
    """Draw requests in one call of a pipeline.

    Args:
        pipe: PosterCraftPipeline for the task "text", PosterOmniPipeline for image tasks.
        requests: of one task, size, number of steps and guidance, at the size that the model draws; where they have
            none, the pipeline chooses. Where the first image lies on the poster, `placed` or `anchor` says.
        seeds: several posters of the one request, in place of its own seed.
        options: more arguments of the pipeline; they take precedence.

    Returns:
        `PosterPipelineOutput`.
    """
    return pipe(**(pipeline_call(requests, seeds) | options))


def pipeline_call(requests: Sequence[PosterRequest], seeds: Sequence[int] | None = None) -> dict[str, Any]:
    """The arguments of a pipeline's call; see `draw`."""
    import torch

    first = requests[0]
    drawn_from = seeds or [request.seed for request in requests]
    call: dict[str, Any] = {"prompt": [request.expanded or request.prompt for request in requests]}
    if None not in drawn_from:
        # on the CPU, so that a seed gives the same noise wherever the model runs
        call["generator"] = [torch.Generator("cpu").manual_seed(seed) for seed in drawn_from if seed is not None]
    if seeds:
        call["num_images_per_prompt"] = len(seeds)
    if first.size is not None:
        call |= {"width": first.size.width, "height": first.size.height}
    if first.steps is not None:
        call["num_inference_steps"] = first.steps
    if first.negative_prompt is not None:
        call["negative_prompt"] = [request.negative_prompt for request in requests]
    if not isinstance(first.draft, str | None):
        call["image" if first.task == TEXT else "draft"] = [picture_of(request.draft) for request in requests]  # type: ignore[arg-type]
        call["strength"] = first.strength
    return call | (_text_guidance(first) if first.task == TEXT else _image_arguments(requests))


def _text_guidance(request: PosterRequest) -> dict[str, Any]:
    if request.negative_prompt is not None and request.guidance is not None:
        # FLUX.1 steers by one forward, which has no negative side: true guidance takes its place
        return {"true_cfg_scale": max(request.guidance, 1.01), "guidance_scale": 1.0}
    return {} if request.guidance is None else {"guidance_scale": request.guidance}


def _image_arguments(requests: Sequence[PosterRequest]) -> dict[str, Any]:
    first = requests[0]
    call: dict[str, Any] = {"task": first.task, "image": [request.pictures() for request in requests]}
    if first.guidance is not None:
        call["true_cfg_scale"] = first.guidance
    if first.task == "filling":
        call["mask_image"] = [request.mask_picture() for request in requests]
    if first.task == "extending":
        placed = [request.placed[:2] if request.placed else "center" for request in requests]
        call["anchor"] = [request.anchor or at for request, at in zip(requests, placed, strict=True)]
    return call


def at_size(request: Request, size: Size) -> Request:
    """The same request for a poster of another size; an image that lies on the poster is scaled with it."""
    if request.size in (None, size) or not request.images or not TASKS[request.task].keeps_pixels:
        return replace(request, size=size)
    assert request.size is not None
    x, y = size.width / request.size.width, size.height / request.size.height
    x0, y0, x1, y1 = request.placed or (0, 0, *request.size)
    left, top = round(x0 * x), round(y0 * y)
    box: Box = left, top, max(left + 1, round(x1 * x)), max(top + 1, round(y1 * y))
    pictures, mask = request.pictures(), request.mask_picture()
    pictures[0] = pictures[0].resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.LANCZOS)
    hole, placed = mask and _hole(mask, size), box if request.placed else None
    return replace(request, size=size, images=pictures, mask=hole, placed=placed)


def _hole(mask: Image.Image, size: Size, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    """A mask at another size: a pixel that it touches at all is to be made."""
    return mask.resize(size, Image.Resampling.BOX, box=box).point([0] + [255] * 255)


@dataclass(frozen=True)
class PreparedPoster:
    """A plan with its pictures read."""

    plan: PosterPlan
    request: PosterRequest  # as the model takes it, at its own size
    canvas: Image.Image | None = None  # RGB: the kept image at the finished size, for tasks that keep pixels
    region: Image.Image | None = None  # mode L: what is made
    shadows: Image.Image | None = None  # mode RGBA: of the things, as they lie on the finished poster
    things: Image.Image | None = None  # mode RGBA: subjects that keep their pixels, at their places on it
    depth: int = 0  # how many times posterkit has drawn the sources already
    notes: list[str] = field(default_factory=list)  # warnings of the reading
    draft: Image.Image | None = None  # as the model drew it; the request's `feedback` has what shall change in it
    decisions: Sequence[GateDecision] = ()  # of the safety gate about its pictures


def prepare(plan: PosterPlan) -> PreparedPoster:
    """Read a plan's pictures; ValueError where one is damaged, or the mask does not fit."""
    with caught_warnings() as notes:
        prepared = replace(_prepared(plan.design or plan), plan=plan)
    return replace(prepared, notes=[*plan.notes, *notes])


def _prepared(plan: PosterPlan) -> PreparedPoster:
    request = plan.request
    native = replace(
        request, prompt=plan.words, expanded=None, size=plan.native, feedback=(), draft=None, strength=None
    )
    if not request.images:
        return PreparedPoster(plan, native)
    files = [image for image in request.images if isinstance(image, str | Path)]
    depth = max((source_depth(path) for path in files), default=0)
    for path in filter(has_credentials, files):
        warnings.warn(
            f"{path}: carries content credentials; a poster that is signed (--c2pa) carries them on, no other does",
            stacklevel=2,
        )
    if depth >= 2:
        warnings.warn(f"{files[0]}: posterkit has drawn this {depth} times; start from the original", stacklevel=2)
    if plan.preserve:
        return _in_studio(plan, native, depth)
    images, mask = request.pictures(), request.mask_picture()
    if plan.box is None:
        images = [reduced(image, REFERENCE) for image in images]
        return PreparedPoster(plan, replace(native, images=images), depth=depth)
    x0, y0, x1, y1 = plan.box
    if request.task == "extending" and x1 - x0 > images[0].width:  # see `enlarged_photo`
        images[0] = images[0].resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS)
    if mask is not None and mask.size != images[0].size:
        mask = _hole(mask, Size(*images[0].size))
    placed, region = place(TASKS[request.task], images, plan.finished, mask, request.anchor or "center")
    if region is None or region.getbbox() is None:
        name = request.id or request.task
        raise ValueError(f"{name}: nothing is left to make; mask something, or ask for a larger poster")
    # a picture with a mask covers all of the poster
    anchor = native_box(plan.box, plan.finished, plan.native)[:2] if mask is None else None
    photo, hole = _at_native_scale(plan, images[0], mask)
    ready = replace(native, images=[photo], mask=hole, anchor=anchor)
    kept = (placed[0], region) if request.preserve is not False else (None, None)
    return PreparedPoster(plan, ready, *kept, depth=depth)


def _in_studio(plan: PosterPlan, native: PosterRequest, depth: int) -> PreparedPoster:
    """Subjects that keep their pixels, and a request to fill the poster around them."""
    from posterkit.generate.preserve import studio_of

    studio = studio_of(plan.request, plan.finished, plan.settings.segmenter or "rules")
    around = studio.things.getchannel("A").point([255] * 128 + [0] * 128)
    # without the shadows, which a drawing as small as the model's would smear; they are laid over it with the subjects
    shown = Image.alpha_composite(studio.ground.convert("RGBA"), studio.things).convert("RGB")
    small = shown.resize(plan.native, Image.Resampling.LANCZOS)
    request = replace(native, task="filling", images=[small], mask=_hole(around, plan.native))
    if plan.draft and plan.draft.sketch is None:
        request = replace(request, draft=small, strength=plan.draft.strength)
    return PreparedPoster(plan, request, shadows=studio.shadows, things=studio.things, depth=depth)


def _at_native_scale(
    plan: PosterPlan, photo: Image.Image, mask: Image.Image | None
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
    return reduced, mask and _hole(mask, size, source)


def draw_prepared(
    pipe: Any, posters: Sequence[PreparedPoster], shared_lora: str | None, on_step: Any = None
) -> list[tuple[Image.Image, dict[str, Any]]]:
    """Draw posters whose plans go together: each picture at its native size, and what the pipeline says it used."""
    first = posters[0]
    options: dict[str, Any] = {}
    if first.request.task in ("extending", "filling"):
        options["preserve"] = False  # kept pixels go back at the finished size, where they have all their detail
    if first.draft is not None:
        options["draft_image"] = [poster.draft for poster in posters]
        options["feedback"] = [list(poster.request.feedback[-1]) for poster in posters]
    if first.plan.regions:
        from posterkit.pipelines.regional_prompts import RegionPrompt

        options["regions"] = [RegionPrompt(*region) for region in first.plan.regions]
    if on_step is not None:
        options["callback_on_step_end"] = lambda _pipe, step, _time, tensors: on_step(step + 1) or tensors
    requests = [
        with_draft(poster.request, poster.plan.draft, (poster.plan.design or poster.plan).request)
        if poster.plan.draft is not None and poster.draft is None and poster.request.draft is None
        else poster.request
        for poster in posters
    ]
    with _own_lora(pipe, first.request.lora, shared_lora):
        output = draw(pipe, requests, **options)
    return list(zip(output.images, output.parameters or [{}] * len(posters), strict=True))


@contextmanager
def _own_lora(pipe: Any, own: str | None, shared: str | None) -> Iterator[None]:
    """A request's own LoRA beside the maker's, for one call; ValueError where it does not fit the model."""
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
