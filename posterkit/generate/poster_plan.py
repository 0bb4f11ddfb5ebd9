"""From a request to a plan: every size, word and number of a poster settled before a model is loaded."""

# pyright: standard
from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import posterkit
from posterkit.generate.checkpoint import Checkpoint, Settings, draws_texts
from posterkit.generate.draft import DraftPlan, drawn_after, plan_draft
from posterkit.generate.enlarge import OWN
from posterkit.generate.metadata import content_id, file_hash, from_anywhere, picture_hash
from posterkit.generate.plan_regions import Shares, plan_regions
from posterkit.image_io import MAX_PIXELS, read_size
from posterkit.layout import ElementRequest, Layout, LayoutRequest
from posterkit.layout.planners.planner_names import open_planner
from posterkit.llm.principle import Principle
from posterkit.pipelines.revision import revision_of
from posterkit.prompts import PosterBrief, unsupported_scripts, without_texts, words_for
from posterkit.prompts.scene import read_scene
from posterkit.safety.decision import GateDecision
from posterkit.schema import Box, ImageSource, PosterRequest, picture_of
from posterkit.sizing import MAX_SIDE, Size, fit_area
from posterkit.tasks import POSTER, TASKS, TEXT
from posterkit.typeset.fonts import shipped_face
from posterkit.typeset.poster import check_safe_area
from posterkit.typeset.texts import SMALLEST, TypeJob, settle, type_options

FINISHED = Size(832, 1216)  # a poster's size when nobody asks for another
GRID = 16
_ABOUT = 1.25  # times the native area; rounding to the grid stays below, down to two cells a side
_STAMP = 3.0  # times that a photo fits into the poster's width and height, from which it would be a stamp on it
RULES = "rules"  # the reward and the critic where none is named


@dataclass(frozen=True)
class PosterPlan:
    """One poster, settled."""

    request: PosterRequest  # with its size, seed, steps and guidance
    id: str  # of the row; the poster's file will carry it
    row: dict[str, Any]  # the resolved row, JSON-able
    checkpoint: Checkpoint
    settings: Settings
    finished: Size  # the poster's size in pixels
    native: Size  # what the model draws
    box: Box | None  # where the photograph lies on the finished poster, for tasks that keep pixels
    words: str  # the prompt as the pipeline gets it
    brief: PosterBrief | None  # what to set over the drawing; None where no text is, or the model draws it
    best_of: int = 1  # how many seeds are drawn, from the request's upwards
    draft: DraftPlan | None = None  # what the model paints over; None where it begins from noise
    regions: tuple[tuple[Shares, str], ...] = ()  # with prompts of their own while it is drawn
    preserve: bool = False  # the subjects of id_driven are cut out and keep their pixels
    notes: tuple[str, ...] = ()  # what of the prompt the model cannot draw, and what the safety gate found in it
    type: dict[str, Any] = field(default_factory=dict)  # how it is set: the options of `posterkit.typeset`
    decisions: tuple[GateDecision, ...] = ()  # of the safety gate about its words
    design: PosterPlan | None = None  # of the poster whose drawing this one shows

    @property
    def drawing(self) -> str:
        """Names what is drawn: posters of one design have it in common."""
        return (self.design or self).id

    @property
    def principle(self) -> Principle | None:
        """What steers the model that is still to place the texts; None where none is."""
        asked = self.type.get("planner") and self.request.lettering.asks_model
        return self.settings.principle if asked else None

    @property
    def upscaler(self) -> str | None:
        """The file of the network that enlarges the drawing; None where arithmetic does."""
        if self.settings.upscaler is not None:
            return None if self.settings.upscaler == "none" else self.settings.upscaler
        own = Path(self.checkpoint.source) / OWN
        return str(own) if own.is_file() else None

    @property
    def steps(self) -> int:
        """Denoising steps of one poster; a draft takes only the last part of them."""
        steps = self.request.steps or 0
        return steps - int(steps - steps * self.draft.strength) if self.draft else steps


def make_plan(request: PosterRequest, settings: Settings, checkpoint: Checkpoint, seed: int = 0) -> PosterPlan:
    """Settle a request.

    Args:
        seed: for a request without its own; its result's name is mixed in, so that equal rows give different posters.

    Raises:
        ValueError: a file is missing or unreadable, the sizes, the anchor and the task contradict each other, or a
            text cannot be set.
    """
    photo = None
    if request.images:
        first = request.images[0]
        photo = read_size(first) if isinstance(first, str | Path) else Size(*picture_of(first).size)
    finished = finished_size(request, photo)
    drawn = draws_texts(settings, checkpoint)
    preserve = request.task == "id_driven" and (
        checkpoint.draft is not None if request.preserve is None else request.preserve
    )
    draft = plan_draft(request, checkpoint.draft, drawn, preserve)
    native = native_size(request, finished, settings, checkpoint, draft)
    if settings.native:
        if request.sheet:
            raise ValueError("a sheet of paper has a size of its own; native keeps the size that the model draws")
        finished = native
    trim = request.sheet.trim(finished) if request.sheet else finished
    box, notes = None, ()
    if photo is not None and request.task == "extending" and (larger := enlarged_photo(photo, finished, request)):
        notes = (
            f"the photo is {photo} and the poster {finished}: it is enlarged {larger.width / photo.width:.1f} times "
            "and will look soft; give a larger photo, or an anchor in pixels to keep its size",
        )
        photo = larger
    if photo is not None and (canvas := TASKS[request.task].canvas) is not None:
        box = canvas(photo, finished, request.anchor or "center")
    brief, words, by_hand, undrawn = _read_prompt(request, checkpoint, drawn, finished)
    if request.seed is None and request.out:
        seed = (seed + zlib.crc32(request.out.encode("utf-8", "surrogatepass"))) % 2**31
    request = replace(
        request,
        size=finished,
        seed=seed if request.seed is None else request.seed,
        steps=request.steps or checkpoint.steps,
        guidance=checkpoint.guidance if request.guidance is None else request.guidance,
    )
    row = resolved_row(request, settings, brief.texts, drawn)
    if draft is not None:
        row |= {"draft": _named(draft.sketch) if draft.sketch is not None else "auto", "strength": draft.strength}
    if preserve or request.preserve is False:
        row |= {"preserve": preserve}
    if request.regional:
        row |= {"regional": True}
    if preserve and settings.segmenter:
        row |= {"segmenter": from_anywhere(settings.segmenter)}
    if settings.upscaler:
        row |= {"upscaler": from_anywhere(settings.upscaler)}
    name = id_of(row, request, checkpoint)
    options = type_options(request.lettering, brief.texts, by_hand, trim)
    regions: tuple[tuple[Shares, str], ...] = ()
    overlay = (
        replace(brief, texts=by_hand) if by_hand or options.get("graphics") or options.get("visible_mark") else None
    )
    if overlay is not None:  # what the typesetter would refuse once everything is drawn
        job = settle(overlay, trim, **options)
        check_safe_area(job, trim, request.sheet, free=options.get("boxes") is not None)
        follows = request.regional or (draft is not None and draft.sketch is None)
        if follows and (planned := _planned(request, job, options, trim, settings)):
            edge = (finished.width - trim.width) / 2
            placed = planned.scaled_to(*trim).framed(*finished, edge, edge)
            if draft is not None and draft.sketch is None:
                draft = replace(draft, layout=drawn_after(placed))
            if request.regional:
                regions = plan_regions(placed, request.expanded or request.prompt, checkpoint.prompts)
            if planned.trace:  # a language model's plan: it is asked once
                options |= {"plan": planned, "planner": None}
    if request.regional and not regions:
        why = "the model letters this poster itself" if drawn else "there are no texts to plan"
        raise ValueError(f"regional keeps room for typeset texts, and {why}")
    if request.sheet:
        options |= {"sheet": request.sheet}
    return PosterPlan(
        request, name, row, checkpoint, settings, finished, native, box, words, overlay, request.best_of or 1,
        draft, regions, preserve, (*notes, *undrawn), options,
    )  # fmt: skip


def id_of(row: dict[str, Any], request: PosterRequest, checkpoint: Checkpoint) -> str:
    """The id of a resolved row."""
    revision = checkpoint.revision + (f"+l{revision_of(request.lora)}" if request.lora else "")
    # a LoRA counts by what it holds, which its revision says, not by where it lies
    return content_id(row | {"lora": None}, revision, posterkit.__version__)


def _planned(
    request: PosterRequest, job: TypeJob, options: dict[str, Any], trim: Size, settings: Settings
) -> Layout | None:
    """The plan that a draft is drawn after: the user's, or a planner's that has seen no picture yet."""
    if options.get("plan") or not options.get("planner") or not job.brief.texts:
        return options.get("plan")
    if request.task != TEXT and not request.regional:
        return None
    wanted = LayoutRequest.of_texts(
        trim, job.brief.texts, job.roles, [ElementRequest("subject")], align=job.align, seed=request.seed or 0,
        description=without_texts(request.prompt),
    )  # fmt: skip
    principle = settings.principle if request.lettering.asks_model else None
    return open_planner(options["planner"], principle=principle).plan(wanted, job.measurer(trim))


def _read_prompt(
    request: PosterRequest, checkpoint: Checkpoint, drawn: bool, finished: Size
) -> tuple[PosterBrief, str, list[str], tuple[str, ...]]:
    """The brief, the prompt as the pipeline gets it, the texts to be set over the drawing, and what cannot be drawn.

    Raises:
        ValueError: the typesetter would refuse a text once everything is drawn.
    """
    brief = PosterBrief.from_prompt(request.prompt, request.texts or ())
    odd = unsupported_scripts(brief.texts, checkpoint.scripts) if drawn and checkpoint.scripts is not None else {}
    for text, names in odd.items():
        warnings.warn(f"{checkpoint.name} cannot draw {text!r} ({', '.join(names)}); it is typeset", stacklevel=2)
    by_hand = [text for text in brief.texts if not drawn or text in odd]
    if by_hand and min(finished) < SMALLEST:
        raise ValueError(f"the poster would be {finished}; text needs at least {SMALLEST} pixels a side")
    words, notes = request.expanded or request.prompt, ()
    if checkpoint.prompts and not drawn and request.task == TEXT:
        scene = read_scene(without_texts(words))
        words, notes = scene.caption(), scene.notes
    if checkpoint.prompts != "scene":
        words = words_for(request.task, words, brief.texts, drawn)
    if odd:
        left = [text for text in brief.texts if text not in odd]
        words = words_for(request.task, without_texts(words, odd), left, True)
    return brief, words, by_hand, notes


def resolved_row(request: PosterRequest, settings: Settings, texts: Sequence[str], drawn: bool) -> dict[str, Any]:
    """The resolved row; it decides the poster's id."""
    size = request.size or FINISHED
    row = {
        "task": request.task, "prompt": request.prompt, "texts": list(texts),
        "images": [_named(image) for image in request.images],
        "mask": None if request.mask is None else _named(request.mask),
        "anchor": list(request.anchor) if isinstance(request.anchor, tuple) else request.anchor,
        "width": size.width, "height": size.height, "seed": request.seed, "steps": request.steps,
        "guidance": request.guidance, "negative_prompt": request.negative_prompt,
        "lora": from_anywhere(request.lora), "expanded": request.expanded, "native": settings.native,
        "draw_text": drawn, "dtype": settings.dtype, "preset": settings.preset,
    }  # fmt: skip
    # keys of a row that is chosen from several, refined, or redrawn; others keep the ids that they had
    several = (request.best_of or 1) > 1
    if several:
        row["best_of"] = request.best_of
    if request.refine:
        row |= {"refine": request.refine, "critic": from_anywhere(settings.critic or RULES)}
    if settings.principle and (request.lettering.asks_model or (request.refine and settings.critic_principle)):
        row["principle"] = asdict(settings.principle)
    if several or request.refine:
        row["reward"] = from_anywhere(settings.reward or RULES)
    if request.sheet:
        row["sheet"] = request.sheet.given()
    if request.design:
        size, sheet = request.design
        row["design"] = {"width": size.width, "height": size.height} | ({"sheet": sheet.given()} if sheet else {})
    if request.feedback:
        row["feedback"] = [list(said) for said in request.feedback]
    if request.lettering:
        row["lettering"] = request.lettering.given()
        if request.lettering.fonts:
            row["lettering"]["fonts"] = [
                {"path": None, "family": font} if shipped_face(font) else _named(font)
                for font in request.lettering.fonts
            ]
        if request.lettering.logo:
            row["lettering"]["logo"] = _named(request.lettering.logo)
    return row


def _named(image: ImageSource) -> dict[str, Any]:
    """A picture in a row: its path, None for one in memory, and the hash of its content."""
    if isinstance(image, str | Path):
        return {"path": str(image), "sha256": file_hash(image)}
    return {"path": None, "sha256": picture_hash(picture_of(image))}


def enlarged_photo(photo: Size, finished: Size, request: PosterRequest) -> Size | None:
    """The size at which extending puts a photo that would be a stamp on the poster; None where it keeps its own.

    A photo of less than a third of the poster's width and height is enlarged until it reaches from side to side.
    """
    factor = min(finished.width / photo.width, finished.height / photo.height)
    if factor <= _STAMP or isinstance(request.anchor, tuple):
        return None
    return Size(min(finished.width, round(photo.width * factor)), min(finished.height, round(photo.height * factor)))


def finished_size(request: PosterRequest, photo: Size | None) -> Size:
    """The poster's size: the request's; with one side, the other by the task's shape; else the task's own.

    Filling keeps the photograph's own size. Other tasks make 832x1216, or another shape of about that area.
    """
    shape = FINISHED if photo is None else TASKS[request.task].shape(photo)
    if shape == POSTER:
        shape = FINISHED
    width, height = request.size or (None, None)
    if width and height:
        size = Size(width, height)
    elif width or height:
        width = width or round(height * shape.aspect)  # type: ignore[operator]
        size = Size(width, height or round(width / shape.aspect))
    elif request.task == "filling" and photo is not None:
        size = photo
    else:
        size = shape if shape == FINISHED else fit_area(shape, FINISHED.area, GRID)
    if min(size) < GRID or max(size) > MAX_SIDE:
        raise ValueError(f"the poster would be {size}; both sides must be {GRID} to {MAX_SIDE} pixels")
    if size.area > MAX_PIXELS:
        found = f"{size}, {size.area / 2**20:.0f} megapixels"
        raise ValueError(f"the poster would be {found}; the limit is {MAX_PIXELS / 2**20:g}")
    return size


def native_size(
    request: PosterRequest, finished: Size, settings: Settings, checkpoint: Checkpoint, draft: DraftPlan | None = None
) -> Size:
    """What the model draws: about its native area in the poster's shape, never more than the poster.

    A checkpoint may paint over a draft at a larger area than it draws from noise.

    A size given with `native` stays if it is on the grid and about that area, so that a poster made again from
    its record keeps its size.
    """
    on_grid = request.size is not None and None not in request.size and not any(side % GRID for side in finished)
    area = checkpoint.draft.area if draft and checkpoint.draft else checkpoint.native_area
    if settings.native and on_grid and finished.area <= _ABOUT * area:
        return finished
    return fit_area(finished, min(area, finished.area), GRID)


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
