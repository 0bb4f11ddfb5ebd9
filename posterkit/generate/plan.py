"""From a job to a plan: every size, word and number of a poster settled before a model is loaded."""

from __future__ import annotations

import inspect
import math
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import posterkit
from posterkit import mini
from posterkit.generate.metadata import content_id, file_hash, from_anywhere
from posterkit.generate.request import MAX_SIDE, TEXT, Job
from posterkit.image_io import MAX_PIXELS, read_size
from posterkit.pipelines.revision import revision_of
from posterkit.prompts import PosterBrief, unsupported_scripts, without_texts, words_for
from posterkit.sizing import Size, fit_area
from posterkit.tasks import POSTER, TASKS, Box
from posterkit.typeset.fonts import FACES, for_text
from posterkit.typeset.poster import SMALLEST, clean_texts

FINISHED = Size(832, 1216)  # a poster's size when nobody asks for another
GRID = 16
_ABOUT = 1.25  # times the native area; rounding to the grid stays below, down to two cells a side
# a model that draws fewer pixels than this cannot spell; its texts are typeset unless asked otherwise
SPELLS_FROM = 512 * 512
RULES = "rules"  # the reward and the critic where none is named
_MINI = {"text": "postercraft", "image": "posteromni"}
_KINDS = {"postercraft": "text", "posteromni": "image"}


@dataclass(frozen=True)
class Settings:
    """What holds for every row of a run: the model and how its drawings become posters.

    Attributes:
        model: a folder, a hub id, or None for the shipped checkpoint of the row's kind.
        transformer: a folder or hub id whose transformer replaces the model's.
        native: the poster keeps the size that the model draws at.
        draw_text: texts are drawn by the diffusion model instead of typeset; None leaves it to the checkpoint.
        reward: who says which poster is better, see `posterkit.rewards.open_reward`; None means the rules.
        critic: who says what would make one better, see `posterkit.critic.opening.open_critic`; None means the rules.
    """

    model: str | None = None
    transformer: str | None = None
    lora: str | None = None
    preset: str | None = None
    device: str | None = None
    dtype: str | None = None
    native: bool = False
    draw_text: bool | None = None
    reward: str | None = None
    critic: str | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What planning needs to know of a model.

    Attributes:
        name: what to write into records: "mini:posteromni", a folder or a hub id.
        source: what to load: a folder or a hub id.
        kind: "text" (FLUX.1) or "image" (Qwen-Image-Edit).
        revision: a content hash of the folder, or the hub's commit.
        scripts: those that it can draw, by its card; empty where it cannot spell, None where the card says nothing.
    """

    name: str
    source: str
    kind: str
    revision: str
    native_area: int
    steps: int
    guidance: float
    scripts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """One poster, settled.

    Attributes:
        id: the row id that its file will carry.
        finished: the poster's size in pixels.
        native: what the model draws.
        box: where the photograph lies on the finished poster, for tasks that keep pixels.
        words: the prompt as the pipeline gets it.
        brief: what to set over the drawing; None where no text is, or the model draws it.
        row: the resolved row, JSON-able.
        best_of: how many seeds are drawn, from `seed` upwards.
    """

    job: Job
    id: str
    row: dict[str, Any]
    checkpoint: Checkpoint
    settings: Settings
    finished: Size
    native: Size
    box: Box | None
    words: str
    brief: PosterBrief | None
    seed: int
    steps: int
    guidance: float
    best_of: int = 1


def kind_of(task: str) -> str:
    """Which kind of model makes a task: "text" or "image"."""
    return "text" if task == TEXT else "image"


def find_checkpoint(settings: Settings, kind: str) -> Checkpoint:
    """The checkpoint that rows of a kind are made with.

    Raises:
        ValueError: no such model, or one of the other kind.
    """
    from posterkit.pipelines.loading import card_scripts, family_of, read_index

    name = settings.model or "mini"
    name = f"mini:{_MINI[kind]}" if name == "mini" else name
    try:
        source = mini.path(name.removeprefix("mini:")) if name.startswith("mini:") else name
    except FileNotFoundError as error:
        raise ValueError(str(error)) from None
    index = read_index(source)
    if _KINDS[family_of(source, index)] != kind:
        needed = "FLUX.1 (FluxPipeline)" if kind == "text" else "Qwen-Image-Edit (QwenImageEditPlusPipeline)"
        made = "text posters" if kind == "text" else "image tasks"
        raise ValueError(f"{source}: is a {index['_class_name']}; {made} need {needed}")
    own = _class_defaults(kind) | {key: value for key, value in index.items() if value is not None}
    revision = revision_of(source)
    for part, mark in ((settings.transformer, "+t"), (settings.lora, "+l")):
        revision += f"{mark}{revision_of(part)}" if part else ""
    guidance = own["guidance_scale" if kind == "text" else "true_cfg_scale"]
    area, steps = own["native_area"], own["num_inference_steps"]
    return Checkpoint(name, source, kind, revision, area, steps, guidance, card_scripts(source))


def make_plan(job: Job, settings: Settings, checkpoint: Checkpoint, seed: int = 0) -> Plan:
    """Settle a job.

    Args:
        seed: for a job without its own; its result's name is mixed in, so that equal rows give different posters.

    Raises:
        ValueError: a file is missing or unreadable, the sizes, the anchor and the task contradict each other, or a
            text cannot be set.
    """
    photo = read_size(job.images[0]) if job.images else None
    finished = finished_size(job, photo)
    native = native_size(job, finished, settings, checkpoint)
    if settings.native:
        finished = native
    box = None
    if photo is not None and (canvas := TASKS[job.task].canvas) is not None:
        box = canvas(photo, finished, job.anchor or "center")
    brief = PosterBrief.from_prompt(job.prompt, job.texts)
    texts = brief.texts
    drawn = _draws_texts(settings, checkpoint)
    odd = unsupported_scripts(texts, checkpoint.scripts) if drawn and checkpoint.scripts is not None else {}
    for text, names in odd.items():
        warnings.warn(f"{checkpoint.name} cannot draw {text!r} ({', '.join(names)}); it is typeset", stacklevel=2)
    by_hand = [text for text in texts if not drawn or text in odd]
    if by_hand:
        _check_settable(by_hand, finished)
    words = words_for(job.task, job.expanded or job.prompt, texts, drawn)
    if odd:
        words = words_for(job.task, without_texts(words, odd), [text for text in texts if text not in odd], True)
    if job.seed is not None:
        seed = job.seed
    elif job.out:
        seed = (seed + zlib.crc32(job.out.encode("utf-8", "surrogatepass"))) % 2**31
    steps = job.steps or checkpoint.steps
    guidance = checkpoint.guidance if job.guidance is None else job.guidance
    row = {
        "task": job.task, "prompt": job.prompt, "texts": texts,
        "images": [{"path": str(path), "sha256": file_hash(path)} for path in job.images],
        "mask": {"path": str(job.mask), "sha256": file_hash(job.mask)} if job.mask else None,
        "anchor": list(job.anchor) if isinstance(job.anchor, tuple) else job.anchor,
        "width": finished.width, "height": finished.height, "seed": seed, "steps": steps, "guidance": guidance,
        "negative_prompt": job.negative_prompt, "lora": from_anywhere(job.lora), "expanded": job.expanded,
        "native": settings.native, "draw_text": drawn, "dtype": settings.dtype, "preset": settings.preset,
    }  # fmt: skip
    row |= _chosen_by(job, settings)
    revision = checkpoint.revision + (f"+l{revision_of(job.lora)}" if job.lora else "")
    # a LoRA counts by what it holds, which its revision says, not by where it lies
    return Plan(
        job, content_id(row | {"lora": None}, revision, posterkit.__version__), row, checkpoint, settings, finished,
        native, box, words, replace(brief, texts=by_hand) if by_hand else None, seed, steps, guidance,
        job.best_of or 1,
    )  # fmt: skip


def _chosen_by(job: Job, settings: Settings) -> dict[str, Any]:
    """The keys of a row that is chosen from several, refined, or redrawn; others keep the ids that they had."""
    several, keys = (job.best_of or 1) > 1, {}
    if several:
        keys["best_of"] = job.best_of
    if job.refine:
        keys |= {"refine": job.refine, "critic": from_anywhere(settings.critic or RULES)}
    if several or job.refine:
        keys["reward"] = from_anywhere(settings.reward or RULES)
    if job.feedback:
        keys["feedback"] = [list(said) for said in job.feedback]
    return keys


def finished_size(job: Job, photo: Size | None) -> Size:
    """The poster's size: as asked; one side asked, the other by the task's shape; else the task's own.

    Filling keeps the photograph's own size. Other tasks make 832x1216, or another shape of about that area.
    """
    shape = FINISHED if photo is None else TASKS[job.task].shape(photo)
    if shape == POSTER:
        shape = FINISHED
    if job.width and job.height:
        size = Size(job.width, job.height)
    elif job.width or job.height:
        width = job.width or round(job.height * shape.aspect)  # type: ignore[operator]
        size = Size(width, job.height or round(width / shape.aspect))
    elif job.task == "filling" and photo is not None:
        size = photo
    else:
        size = shape if shape == FINISHED else fit_area(shape, FINISHED.area, GRID)
    if min(size) < GRID or max(size) > MAX_SIDE:
        raise ValueError(f"the poster would be {size}; both sides must be {GRID} to {MAX_SIDE} pixels")
    if size.area > MAX_PIXELS:
        found = f"{size}, {size.area / 2**20:.0f} megapixels"
        raise ValueError(f"the poster would be {found}; the limit is {MAX_PIXELS / 2**20:g}")
    return size


def native_size(job: Job, finished: Size, settings: Settings, checkpoint: Checkpoint) -> Size:
    """What the model draws: about its native area in the poster's shape, never more than the poster.

    A size asked for with `native` stays if it is on the grid and about that area, so that a poster made again from
    its record keeps its size.
    """
    on_grid = job.width and job.height and finished.width % GRID == finished.height % GRID == 0
    if settings.native and on_grid and finished.area <= _ABOUT * checkpoint.native_area:
        return finished
    return fit_area(finished, min(checkpoint.native_area, finished.area), GRID)


def native_box(box: Box, finished: Size, native: Size) -> Box:
    """The whole native pixels that lie inside a box of the finished poster; at least one each way."""
    spans = []
    for low, high, full, small in (
        (box[0], box[2], finished.width, native.width),
        (box[1], box[3], finished.height, native.height),
    ):
        first, last = math.ceil(low * small / full), math.floor(high * small / full)
        first = min(first, small - 1)
        spans.append((first, max(last, first + 1)))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _check_settable(texts: Sequence[str], size: Size) -> None:
    """What the typesetter would refuse once everything is drawn, as far as it can be told before."""
    if min(size) < SMALLEST:
        raise ValueError(f"the poster would be {size}; text needs at least {SMALLEST} pixels a side")
    for text in clean_texts(texts):
        for_text(text, extra=FACES)


def _draws_texts(settings: Settings, checkpoint: Checkpoint) -> bool:
    """Whether the diffusion model letters: as asked, else as its card says, else by its size."""
    if settings.draw_text is not None:
        return settings.draw_text
    return bool(checkpoint.scripts) if checkpoint.scripts is not None else checkpoint.native_area >= SPELLS_FROM


def _class_defaults(kind: str) -> dict[str, Any]:
    """The pipeline's own defaults, for folders that say nothing (a stock FLUX.1 or Qwen-Image-Edit)."""
    pipeline = posterkit.PosterCraftPipeline if kind == "text" else posterkit.PosterOmniPipeline
    parameters = inspect.signature(pipeline.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
