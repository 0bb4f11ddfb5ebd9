"""From a job to a plan: every size, word and number of a poster settled before a model is loaded."""

from __future__ import annotations

import inspect
import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import posterkit
from posterkit import mini
from posterkit.batch.manifest import MAX_SIDE, TEXT, Job
from posterkit.batch.metadata import content_id, file_hash, folder_revision
from posterkit.batch.reading import read_size
from posterkit.brief import PosterBrief
from posterkit.sizing import Size, fit_area
from posterkit.tasks import POSTER, TASKS, Box

FINISHED = Size(832, 1216)  # a poster's size when nobody asks for another
GRID = 16
# a model that draws fewer pixels than this cannot spell; its texts are typeset unless asked otherwise
SPELLS_FROM = 512 * 512
_MINI = {"text": "postercraft", "image": "posteromni"}
_KINDS = {"Flux": "text", "PosterCraft": "text", "Qwen": "image", "PosterOmni": "image"}
# words before a quoted text that make no sense once the quote is gone
_LEAD = (
    r"(?:\b(?:titled|entitled|called|saying|says|that says|which says|reading|that reads"
    r"|with the (?:title|text|words|headline|slogan))\s*:?\s*)?"
)


@dataclass(frozen=True)
class Settings:
    """What holds for every row of a run: the model and how its drawings become posters.

    Attributes:
        model: a folder, a hub id, or None for the shipped checkpoint of the row's kind.
        transformer: a folder or hub id whose transformer replaces the model's.
        native: the poster keeps the size that the model draws at.
        draw_text: texts are drawn by the diffusion model instead of typeset; None leaves it to the checkpoint.
    """

    model: str | None = None
    transformer: str | None = None
    lora: str | None = None
    preset: str | None = None
    device: str | None = None
    dtype: str | None = None
    native: bool = False
    draw_text: bool | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What planning needs to know of a model.

    Attributes:
        name: what to write into records: "mini:posteromni", a folder or a hub id.
        source: what to load: a folder or a hub id.
        kind: "text" (FLUX.1) or "image" (Qwen-Image-Edit).
        revision: a content hash of the folder, or the hub's commit.
    """

    name: str
    source: str
    kind: str
    revision: str
    native_area: int
    steps: int
    guidance: float


@dataclass(frozen=True)
class Plan:
    """One poster, settled.

    Attributes:
        id: the row id that its file will carry.
        finished: the poster's size in pixels.
        native: what the model draws.
        box: where the photograph lies on the finished poster, for tasks that keep pixels.
        words: the prompt as the pipeline gets it.
        typeset: texts to set over the drawing.
        row: the resolved row, JSON-able.
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
    typeset: tuple[str, ...]
    seed: int
    steps: int
    guidance: float


def kind_of(task: str) -> str:
    """Which kind of model makes a task: "text" or "image"."""
    return "text" if task == TEXT else "image"


def find_checkpoint(settings: Settings, kind: str) -> Checkpoint:
    """The checkpoint that rows of a kind are made with.

    Raises:
        ValueError: no such model, or one of the other kind.
    """
    model = settings.model or "mini"
    if model == "mini" or model.startswith("mini:"):
        name = _MINI[kind] if model == "mini" else model.removeprefix("mini:")
        try:
            folder = Path(mini.path(name))
        except FileNotFoundError as error:
            raise ValueError(str(error)) from None
        model, name = str(folder), f"mini:{name}"
    else:
        folder, name = Path(model), model
    if folder.is_dir():
        index, revision = folder / "model_index.json", folder_revision(folder)
        if not index.is_file():
            raise ValueError(f"{model}: no model_index.json in this folder; a diffusers pipeline folder has one")
    else:
        index = _from_hub(model)
        revision = index.parent.name
    config = json.loads(index.read_text(encoding="utf-8"))
    found = str(config.get("_class_name"))
    kinds = {value for key, value in _KINDS.items() if key in found}
    if kinds != {kind}:
        needed = "FLUX.1 (FluxPipeline)" if kind == "text" else "Qwen-Image-Edit (QwenImageEditPlusPipeline)"
        raise ValueError(f"{model}: is a {found}; {'text posters' if kind == 'text' else 'image tasks'} need {needed}")
    own = _class_defaults(kind) | {key: value for key, value in config.items() if value is not None}
    for part, prefix in ((settings.transformer, "+t"), (settings.lora, "+l")):
        if part:
            revision += prefix + (folder_revision(part) if Path(part).exists() else part)
    guidance = own["guidance_scale" if kind == "text" else "true_cfg_scale"]
    return Checkpoint(name, model, kind, revision, own["native_area"], own["num_inference_steps"], guidance)


def make_plan(job: Job, settings: Settings, checkpoint: Checkpoint, seed: int = 0) -> Plan:
    """Settle a job.

    Args:
        seed: for a job without its own; its result's name is mixed in, so that equal rows give different posters.

    Raises:
        ValueError: a file is missing or unreadable, or the sizes, the anchor and the task contradict each other.
    """
    photo = read_size(job.images[0]) if job.images else None
    finished = finished_size(job, photo)
    native = fit_area(finished, min(checkpoint.native_area, finished.area), GRID)
    if settings.native:
        finished = native
    box = None
    if photo is not None and (canvas := TASKS[job.task].canvas) is not None:
        box = canvas(photo, finished, job.anchor or "center")
    brief = PosterBrief.from_prompt(job.prompt)
    texts = [*job.texts, *(text for text in brief.texts if text not in job.texts)]
    drawn = settings.draw_text
    if drawn is None:
        drawn = checkpoint.native_area >= SPELLS_FROM
    prompt = job.expanded or job.prompt
    words = _with_texts(prompt, texts) if drawn else without_texts(prompt, brief.texts)
    if job.seed is not None:
        seed = job.seed
    elif job.out:
        seed = (seed + zlib.crc32(job.out.encode())) % 2**31
    steps = job.steps or checkpoint.steps
    guidance = checkpoint.guidance if job.guidance is None else job.guidance
    row = {
        "task": job.task, "prompt": job.prompt, "texts": texts,
        "images": [{"path": str(path), "sha256": file_hash(path)} for path in job.images],
        "mask": {"path": str(job.mask), "sha256": file_hash(job.mask)} if job.mask else None,
        "anchor": list(job.anchor) if isinstance(job.anchor, tuple) else job.anchor,
        "width": finished.width, "height": finished.height, "seed": seed, "steps": steps, "guidance": guidance,
        "negative_prompt": job.negative_prompt, "lora": job.lora, "expanded": job.expanded,
        "native": settings.native, "draw_text": drawn, "dtype": settings.dtype, "preset": settings.preset,
    }  # fmt: skip
    revision = checkpoint.revision
    if job.lora and Path(job.lora).exists():
        revision += "+l" + folder_revision(job.lora)
    return Plan(
        job, content_id(row, revision, posterkit.__version__), row, checkpoint, settings, finished, native, box,
        words, () if drawn else tuple(texts), seed, steps, guidance,
    )  # fmt: skip


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
    return size


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


def without_texts(prompt: str, texts: Sequence[str]) -> str:
    """The prompt for a drawing that other hands will letter: quoted texts and the words that announce them go."""
    for text in texts:
        quoted = _LEAD + r"""(?:["'“”„‟«»‹›「『《〈‘’])\s*""" + re.escape(text) + r"""\s*(?:["'“”„‟«»‹›」』》〉‘’])"""
        prompt = re.sub(quoted, " ", prompt, flags=re.IGNORECASE)
    prompt = re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", prompt))
    return re.sub(r"([,;:])(?:\s*[,;:])+", r"\1", prompt).strip(" ,;:")


def _with_texts(prompt: str, texts: Sequence[str]) -> str:
    """The prompt for a model that letters by itself: texts that it does not hold yet are added in quotes."""
    missing = [f'"{text}"' for text in texts if text not in prompt]
    return f"{prompt.rstrip()} With the text {', '.join(missing)}.".strip() if missing else prompt


def _class_defaults(kind: str) -> dict[str, Any]:
    """The pipeline's own defaults, for folders that say nothing (a stock FLUX.1 or Qwen-Image-Edit)."""
    pipeline = posterkit.PosterCraftPipeline if kind == "text" else posterkit.PosterOmniPipeline
    parameters = inspect.signature(pipeline.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def _from_hub(model: str) -> Path:
    """A hub model's index; only this small file is fetched."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(hf_hub_download(model, "model_index.json"))
    except HFValidationError:
        raise ValueError(f"{model}: there is no such folder, and it is no hub id (owner/name)") from None
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{model}: no such folder, and not to be had from the hub ({reason})") from None
