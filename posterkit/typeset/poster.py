"""`typeset` sets the texts of a brief on a picture: choose faces, plan, fit, colour, draw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from posterkit.image_io import as_rgb, written_whole
from posterkit.layout import Box, Layout, LayoutRequest, Obstacle
from posterkit.layout import plan as archetype_plan
from posterkit.layout.planners.planner_names import open_planner
from posterkit.llm.principle import Principle
from posterkit.paper import Sheet
from posterkit.prompts import PosterBrief
from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.exporters import ENDINGS, ending_of, export
from posterkit.typeset.graphics import GraphicWish, PlacedGraphic, draw_graphics, spots
from posterkit.typeset.painting import covered_by, painted
from posterkit.typeset.placed_text import Composition, PlacedText
from posterkit.typeset.setting import set_text
from posterkit.typeset.texts import TypeJob, clean_texts, settle
from posterkit.typeset.visible_mark import with_mark
from posterkit.typeset.xmp import NOTHING, FileNotes

RASTER = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


class TypesetPoster(Composition):
    """A picture with its texts set, as pixels (`image`), SVG, PDF and PSD."""

    def svg(self, notes: FileNotes = NOTHING, *, whole_fonts: bool = False) -> str:
        """An SVG of the same size in pixels: the background embedded as PNG, the texts live, their fonts embedded.

        Args:
            whole_fonts: every character of the fonts; else all letters but Han and Hangul, and those set.
        """
        return export(self, ".svg", ExportOptions(whole_fonts=whole_fonts, notes=notes)).decode()

    def pdf(
        self,
        dpi: int | None = None,
        notes: FileNotes = NOTHING,
        *,
        profile: str | Path | None = None,
        marks: bool = False,
    ) -> bytes:
        """A PDF page with selectable text in embedded fonts over the background.

        Args:
            dpi: pixels an inch; by default its sheet's, or those at which the picture is a paper format, else 300 for
                large pictures and 96 for small ones.
            profile: the ICC profile of a press: the page is a PDF/X-4 in its inks.
            marks: crop marks around the page.

        Raises:
            ValueError: the profile is none of a press, or pikepdf is not installed for it.
        """
        return export(self, ".pdf", ExportOptions(dpi, Path(profile) if profile else None, marks, notes=notes))

    def psd(self, dpi: int | None = None, notes: FileNotes = NOTHING) -> bytes:
        """A Photoshop document in layers: the picture, underlays, rules, buttons and live texts.

        Args:
            dpi: pixels an inch, by default as of a PDF.

        Raises:
            ValueError: psd-tools is not installed.
        """
        return export(self, ".psd", ExportOptions(dpi, notes=notes))

    def save(self, path: str | Path, dpi: int | None = None, **how: Any) -> Path:
        """Write the poster; the suffix decides: one of `RASTER` or of `posterkit.typeset.exporters.ENDINGS`.

        Args:
            how: other fields of `posterkit.typeset.export_options.ExportOptions`: `profile`, `marks`, `whole_fonts`.

        Raises:
            ValueError: another suffix, or a package that the form needs is not installed.
        """
        file = Path(path)
        ending = ending_of(file)
        if ending not in (*RASTER, *ENDINGS):
            raise ValueError(f"{file}: cannot save a poster as {ending or 'a file without suffix'}; "
                             f"use .png, .jpg, .webp, .tif, {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")  # fmt: skip
        content = export(self, ending, ExportOptions(dpi, **how)) if ending in ENDINGS else None
        with written_whole(file) as temporary:
            if content is not None:
                temporary.write_bytes(content)
            elif ending in (".jpg", ".jpeg", ".webp"):
                self.image.save(temporary, quality=95)
            else:
                self.image.save(temporary)
        return file


def typeset(
    image: Image.Image,
    brief: PosterBrief,
    *,
    style: str | None = None,
    fonts: Sequence[str | Path] = (),
    roles: Sequence[str] | None = None,
    boxes: Sequence[tuple[float, ...]] | None = None,
    align: str | None = None,
    archetype: str | None = None,
    colors: Sequence[str] = (),
    avoid: Sequence[Obstacle] = (),
    planner: str | None = None,
    principle: Principle | None = None,
    plan: Layout | None = None,
    sheet: Sheet | None = None,
    graphics: Sequence[GraphicWish] = (),
    margin: float = 0.0,
    visible_mark: str | None = None,
) -> TypesetPoster:
    """Set the brief's texts on a picture with real fonts.

    Args:
        image: the picture, read as `posterkit.image_io.as_rgb` does: alpha on white, turned by its EXIF.
        brief: `texts` are set letter for letter; `colors` may colour the title where they read; `style`, `mood` and
            `theme` choose the pairing of faces where `style` is not given.
        style: a pairing, one of `posterkit.lettering.STYLES`.
        fonts: the user's own font files, tried before the shipped ones, or families of shipped ones.
        roles: title, subtitle, body, cta or auto, one per text; inferred where not given.
        boxes: `x0, y0, x1, y1` in pixels, one per text; placed by the planner where not given.
        align: left, center or right; the arrangement's own where not given, center for `boxes`.
        archetype: take this arrangement instead of the best.
        colors: names or `#rrggbb` that are used whatever the picture: of the title, of the other texts, of the
            button. Large type takes 3:1 of contrast, the rest 4.5:1; what does not read gets an underlay.
        avoid: what the texts must not cover, see `posterkit.generate.obstacles.find_obstacles`. Where nothing is
            free, a warning says so and the texts get a solid underlay.
        planner: what places the texts, see `posterkit.layout.planners.planner_names.open_planner`; the grammar where
            not given.
        principle: what the answers of a planner's local model are steered by.
        plan: of these texts: they stand where it says, on a picture of any size.
        sheet: how it is printed: the picture reaches beyond the cut edge by the sheet's bleed, texts keep inside its
            safe area. Boxes and plan are those of the poster once it is cut.
        graphics: a logo, a QR code; with one of them there need be no texts.
        margin: pixels that texts, logo and code keep free at every edge.
        visible_mark: a small line in a corner, beside the texts or alone.

    Raises:
        ValueError: no place is free for a logo or code, a box or plan leaves the sheet's safe area, no texts, an empty
            text, a control character, a character that no font has, a text that does not fit at a legible size, a
            picture under 48 pixels, or an option that is unknown.
    """
    picture = as_rgb(image)
    area = trimmed(picture.size, sheet)
    cut = picture.crop(area.pixels(picture.size)) if sheet else picture
    job = settle(brief, cut.size, style=style, fonts=fonts, roles=roles, boxes=boxes, align=align,
                 archetype=archetype, colors=colors, plan=plan, graphics=graphics, margin=margin,
                 visible_mark=visible_mark)  # fmt: skip
    seen = [replace(thing, box=thing.box.moved(-area.x0, -area.y0)) for thing in avoid]
    place = partial(_laid_out, planner=planner, principle=principle)
    arranged = _Arranger(cut, job, place, _safe(job, sheet), free=boxes is not None)
    layout, placed, laid = arranged.with_graphics(graphics, seen)
    placed = [text.moved(area.x0, area.y0) for text in placed]
    laid = tuple(one.moved(area.x0, area.y0) for one in laid)
    avoid = [thing for thing in avoid if thing.kind != "subject"]  # it counts in placing alone
    hidden = covered_by(placed, avoid)
    if hidden:
        warnings.warn(
            f"no place is free for the texts: they lie on {hidden}, on an underlay of their own", stacklevel=2
        )
    shown = layout.framed(*picture.size, area.x0, area.y0)
    canvas, ground, texts, rules, underlays = painted(picture, placed, shown, job.brief.colors, colors, avoid)
    draw_graphics(canvas, laid)
    poster = TypesetPoster(canvas, ground, texts, rules, layout, job.style, picture, underlays, sheet, graphics=laid)
    return with_mark(poster, clean_texts([visible_mark])[0], area) if visible_mark else poster


def trimmed(size: tuple[int, int], sheet: Sheet | None) -> Box:
    """The part of a picture that is left once its sheet is cut; ValueError where nothing is."""
    if sheet is None:
        return Box(0.0, 0.0, *map(float, size))
    width, height = sheet.trim(size)
    edge = float(sheet.bleed_pixels)
    return Box(edge, edge, edge + width, edge + height)


@dataclass(frozen=True)
class _Arranger:
    """Finds places for texts, logos and codes on a poster once it is cut, `safe` pixels from every edge."""

    picture: Image.Image
    job: TypeJob
    place: Callable[..., Layout]  # texts on a picture, see `_laid_out`
    safe: int
    free: bool  # the texts' boxes are the user's

    def with_graphics(
        self, wishes: Sequence[GraphicWish], avoid: Sequence[Obstacle]
    ) -> tuple[Layout, list[PlacedText], tuple[PlacedGraphic, ...]]:
        """The layout, its texts, and the logos and codes that stand free of them.

        Raises:
            ValueError: there is no such place, or the user's own places lie on each other.
        """
        laid: list[PlacedGraphic] = []
        layout, placed = self.texts(avoid)
        for wish in sorted(wishes, key=lambda wish: wish.at is None):
            around = [one.box for one in avoid if one.kind != "subject"] + [one.area for one in laid]
            free = [spot for spot in spots(wish, self.picture, self.safe) if self._is_free(spot, around)]
            spot = next((spot for spot in free if self._is_free(spot, _boxes(layout, placed))), None)
            for other in free if spot is None else ():
                taken = [Obstacle(one.area, "graphic") for one in (*laid, other)]
                layout, placed = self.texts([*avoid, *taken])
                if all(self._is_free(one, _boxes(layout, placed)) for one in (*laid, other)):
                    spot = other
                    break
            if spot is None:
                name = "QR code" if wish.role == "qr" else wish.role
                raise ValueError(
                    f"no place is free for the {name}: the texts or what the picture shows stand there; say one with "
                    f"--{wish.role}-at, or take fewer or shorter texts"
                )
            laid.append(spot)
        return layout, placed, tuple(laid)

    def texts(self, avoid: Sequence[Obstacle]) -> tuple[Layout, list[PlacedText]]:
        """The layout and its texts."""
        width, height = self.picture.size
        if not self.job.brief.texts:
            return Layout(width, height, ()), []
        for inset in (0, self.safe, round(1.5 * self.safe)):
            part = self.picture.crop((inset, inset, width - inset, height - inset)) if inset else self.picture
            seen = [replace(thing, box=thing.box.moved(-float(inset), -float(inset))) for thing in avoid]
            planned = self.job.given or self.place(part, self.job, seen)
            layout = planned if self.job.given else planned.framed(width, height, float(inset), float(inset))
            placed = [
                set_text(one, self.job.style, self.job.extra, free=self.free, size=(width, height))
                for one in layout.texts
            ]
            outside = _outside(layout, placed, self.safe)
            if outside is None:
                return layout, placed
            if self.job.given:
                break
        raise ValueError(_reaches_out(outside, self.safe, (width, height)))

    def _is_free(self, spot: PlacedGraphic, taken: Sequence[Box]) -> bool:
        inside = Box(0.0, 0.0, *map(float, self.picture.size)).grown(-float(self.safe))
        return inside.holds(spot.box) and not any(spot.area.overlaps(box) for box in taken)


def _boxes(layout: Layout, placed: Sequence[PlacedText]) -> list[Box]:
    """What texts and rules take of a poster."""
    lines = [box for text in placed for box in ([text.button] if text.button else text.line_boxes())]
    return [*layout.rules, *lines]


def check_safe_area(job: TypeJob, size: tuple[int, int], sheet: Sheet | None, free: bool) -> None:
    """Refuse boxes and plans of the user's whose texts reach out of the safe area of a poster of this size."""
    safe = _safe(job, sheet)
    if not safe or job.given is None:
        return
    placed = [set_text(one, job.style, job.extra, free=free, size=size) for one in job.given.texts]
    if outside := _outside(job.given, placed, safe):
        raise ValueError(_reaches_out(outside, safe, size))


def _safe(job: TypeJob, sheet: Sheet | None) -> int:
    """Pixels that stay free at every edge."""
    return max(sheet.safe_pixels if sheet else 0, round(job.margin))


def _outside(layout: Layout, placed: Sequence[PlacedText], safe: int) -> Box | None:
    """The first thing that lies less than `safe` pixels from an edge."""
    inside = Box(0.0, 0.0, float(layout.width), float(layout.height)).grown(-float(safe))
    things = (*layout.rules, *(text.button or text.box for text in placed)) if safe else ()
    return next((box for box in things if not inside.holds(box)), None)


def _reaches_out(box: Box, safe: int, size: tuple[int, int]) -> str:
    found = ", ".join(f"{side:.0f}" for side in box)
    return (
        f"a text or rule at ({found}) reaches out of the safe area, which begins {safe} pixels inside the cut edge of "
        f"the {size[0]}x{size[1]} poster; move it in, or make the safe area smaller"
    )


def _laid_out(
    picture: Image.Image, job: TypeJob, avoid: Sequence[Obstacle], planner: str | None, principle: Principle | None
) -> Layout:
    """Where a planner has the texts stand; the grammar where none is named."""
    measurer = job.measurer(picture.size)
    if job.archetype or planner == "archetypes":
        return archetype_plan(
            picture, job.brief, measurer=measurer, roles=job.roles, archetype=job.archetype, align=job.align,
            avoid=avoid,
        )  # fmt: skip
    request = LayoutRequest.of_texts(
        picture.size, job.brief.texts, job.roles, picture=picture, avoid=tuple(avoid), align=job.align,
        description=" ".join(filter(None, (job.brief.theme, job.brief.style, *job.brief.mood))),
    )  # fmt: skip
    return open_planner(planner or "grammar", principle=principle).plan(request, measurer)
