"""One picture in several sizes: it is cut, and its edges go on, until it has the shape of each."""

# pyright: standard
from __future__ import annotations

from dataclasses import replace

from PIL import Image

from posterkit.generate.checkpoint import Checkpoint, Settings
from posterkit.generate.obstacles import find_obstacles, find_subject
from posterkit.generate.poster_plan import PosterPlan, id_of, make_plan, resolved_row
from posterkit.generate.reshape import continued, window_of
from posterkit.schema import PosterRequest
from posterkit.sizing import Size
from posterkit.typeset.poster import check_safe_area
from posterkit.typeset.texts import SMALLEST, settle, type_options

_SAME = 0.02  # shapes that differ by less are one
_EDGE = 0.015  # of a drawing's shorter side


def plan_of(request: PosterRequest, settings: Settings, checkpoint: Checkpoint, seed: int = 0) -> PosterPlan:
    """Settle a request, see `make_plan`; one that shows another poster's picture (`PosterRequest.design`) too.

    Where the images' own pixels stand on the poster, it is a poster of its own: they are kept in every size.
    """
    if request.design is None:
        return make_plan(request, settings, checkpoint, seed)
    size, sheet = request.design
    design = make_plan(replace(request, size=size, sheet=sheet, design=None), settings, checkpoint, seed)
    if design.box is not None or design.preserve or (request.size, request.sheet) == request.design:
        return make_plan(replace(request, design=None, seed=design.request.seed), settings, checkpoint, seed)
    if request.size is None or None in request.size:
        raise ValueError("a poster that shows another one's picture needs a size of its own")
    if settings.native:
        raise ValueError(
            "native keeps the size that the model draws; leave it out where one picture has several sizes"
        )
    trim = request.sheet.trim(request.size) if request.sheet else request.size
    own = replace(design.request, size=request.size, sheet=request.sheet, design=request.design)
    row = resolved_row(own, settings, design.row["texts"], design.row["draw_text"])
    row |= {key: value for key, value in design.row.items() if key not in row and key != "sheet"}
    options = type_options(own.lettering, design.row["texts"], design.brief.texts if design.brief else (), trim)
    if design.brief is not None:
        if min(trim) < SMALLEST:
            raise ValueError(f"the poster would be {trim}; text needs at least {SMALLEST} pixels a side")
        free = options.get("boxes") is not None
        check_safe_area(settle(design.brief, trim, **options), trim, own.sheet, free=free)
    options |= {"sheet": own.sheet} if own.sheet else {}
    name = id_of(row, own, checkpoint)
    return replace(design, request=own, id=name, row=row, finished=request.size, type=options, design=design)


def relaid(drawing: Image.Image, size: Size, lettered: bool) -> Image.Image:
    """A drawing in the shape of `size`, at its own scale; what it shows stays whole.

    Args:
        lettered: it has lettering, which stays whole too.

    Returns:
        Mode RGB, of another size; nothing in it is resampled.
    """
    blocks = [one.box for one in (*find_subject(drawing), *(find_obstacles(drawing) if lettered else ()))]
    middle = drawing.width // 2, drawing.height // 2
    window = window_of(drawing.size, size.aspect, [tuple(map(round, box)) for box in blocks] or [middle * 2])
    part = drawing.crop(window)
    if abs(part.width / part.height / size.aspect - 1) > _SAME:  # its edges will go on, the outermost are often darker
        edge = round(_EDGE * min(part.size))
        part = part.crop((edge, edge, part.width - edge, part.height - edge))
    whole = max(part.width, round(part.height * size.aspect)), max(part.height, round(part.width / size.aspect))
    return continued(part, Size(*whole))
