"""`typeset` sets the texts of a brief on a picture: choose faces, plan, fit, colour, draw."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from PIL import Image

from posterkit.image_io import as_rgb, written_whole
from posterkit.layout import PILL, Box, Element, Layout, LayoutRequest, Obstacle, Role, legible_size
from posterkit.layout import plan as archetype_plan
from posterkit.layout.planners.planner_names import open_planner
from posterkit.prompts import PosterBrief
from posterkit.typeset.fonts import Face
from posterkit.typeset.line_breaking import COLUMN, Block, TextStyle, fit, text_style
from posterkit.typeset.painting import covered_by, painted
from posterkit.typeset.placed_text import Composition, PlacedLine, PlacedText
from posterkit.typeset.shaping import ShapedLine, shape
from posterkit.typeset.texts import TypeJob, settle
from posterkit.typeset.xmp import NOTHING, FileNotes

RASTER = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
DOCUMENTS = (".svg", ".pdf", ".psd")


class TypesetPoster(Composition):
    """A picture with its texts set, as pixels (`image`), SVG, PDF and PSD."""

    def svg(self, notes: FileNotes = NOTHING) -> str:
        """An SVG of the same size in pixels: the background embedded as PNG, the texts live, their fonts embedded."""
        from posterkit.typeset.svg import to_svg

        return to_svg(self, notes)

    def pdf(self, dpi: int | None = None, notes: FileNotes = NOTHING) -> bytes:
        """A PDF page with selectable text in embedded fonts over the background.

        Args:
            dpi: pixels an inch; by default those at which the picture is a paper format, else 300 for large pictures
                and 96 for small ones.
        """
        from posterkit.typeset.pdf import to_pdf

        return to_pdf(self, dpi, notes)

    def psd(self, dpi: int | None = None, notes: FileNotes = NOTHING) -> bytes:
        """A Photoshop document in layers of pixels: the picture, underlays, rules, buttons and texts.

        Args:
            dpi: pixels an inch, by default as of a PDF.

        Raises:
            ValueError: psd-tools is not installed.
        """
        from posterkit.typeset.psd import to_psd

        return to_psd(self, dpi, notes)

    def document(self, ending: str, dpi: int | None = None, notes: FileNotes = NOTHING) -> bytes:
        """The poster as one of `DOCUMENTS`; ValueError as `psd`."""
        if ending == ".svg":
            return self.svg(notes).encode("utf-8")
        return self.pdf(dpi, notes) if ending == ".pdf" else self.psd(dpi, notes)

    def save(self, path: str | Path, dpi: int | None = None) -> Path:
        """Write the poster; the suffix decides: .png, .jpg, .webp, .tif, .svg, .pdf or .psd.

        Raises:
            ValueError: another suffix, or psd-tools is not installed for .psd.
        """
        file = Path(path)
        suffix = file.suffix.lower()
        if suffix not in (*RASTER, *DOCUMENTS):
            raise ValueError(f"{file}: cannot save a poster as {suffix or 'a file without suffix'}; "
                             "use .png, .jpg, .webp, .tif, .svg, .pdf or .psd")  # fmt: skip
        with written_whole(file) as temporary:
            if suffix in DOCUMENTS:
                temporary.write_bytes(self.document(suffix, dpi))
            elif suffix in (".jpg", ".jpeg", ".webp"):
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
    plan: Layout | None = None,
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
        planner: what places the texts, see `posterkit.layout.planners.planner_names.open_planner`; the archetypes
            where not given.
        plan: of these texts: they stand where it says, on a picture of any size.

    Raises:
        ValueError: no texts, an empty text, a control character, a character that no font has, a text that does not
            fit at a legible size, a picture under 48 pixels, or an option that is unknown.
    """
    picture = as_rgb(image)
    job = settle(brief, picture.size, style=style, fonts=fonts, roles=roles, boxes=boxes, align=align,
                 archetype=archetype, colors=colors, plan=plan)  # fmt: skip
    layout = job.given or _laid_out(picture, job, planner, avoid)
    free = boxes is not None
    placed = [_set(element, job.style, job.extra, free=free, size=picture.size) for element in layout.texts]
    avoid = [thing for thing in avoid if thing.kind != "subject"]  # it counts in placing alone
    hidden = covered_by(placed, avoid)
    if hidden:
        warnings.warn(
            f"no place is free for the texts: they lie on {hidden}, on an underlay of their own", stacklevel=2
        )
    canvas, ground, texts, rules, underlays = painted(picture, placed, layout, job.brief.colors, colors, avoid)
    return TypesetPoster(canvas, ground, texts, rules, layout, job.style, picture, underlays)


def _laid_out(picture: Image.Image, job: TypeJob, planner: str | None, avoid: Sequence[Obstacle]) -> Layout:
    """Where a planner has the texts stand."""
    measurer = job.measurer(picture.size)
    if planner is None:
        return archetype_plan(
            picture, job.brief, measurer=measurer, roles=job.roles, archetype=job.archetype, align=job.align,
            avoid=avoid,
        )  # fmt: skip
    request = LayoutRequest.of_texts(
        picture.size, job.brief.texts, job.roles, picture=picture, avoid=tuple(avoid), align=job.align,
        description=" ".join(filter(None, (job.brief.theme, job.brief.style, *job.brief.mood))),
    )  # fmt: skip
    return open_planner(planner).plan(request, measurer)


def _set(element: Element, style: str, extra: tuple[Face, ...], free: bool, size: tuple[int, int]) -> PlacedText:
    """Fit a text into its box: the planner's boxes are as large as the text, a user's (`free`) may be larger."""
    how = text_style(element.text, cast(Role, element.role), style, extra)
    box = element.box
    least = 0.5 * min(legible_size(*size), element.size)
    if free and element.role == "cta":
        block = _fit_in_button(element, how)
    else:
        loose = 0.0 if free else 0.02 * element.size
        block = fit(element.text, how, box.width + loose, box.height + loose, element.size, least)
    if block is None or block.size < min(legible_size(*size), element.size) * 0.999:
        raise ValueError(_does_not_fit(element, block, size))
    pad = PILL[0] * block.size if free and element.role == "cta" else 0.0
    y = box.y0 + (box.height - block.height) / 2
    lines = []
    for number, line in enumerate(block.lines):
        if "\t" in element.text and COLUMN in line.text:
            lines += _in_columns(line, how, element, block, y + block.baseline(number))
            continue
        slack = box.width - line.ink * block.size
        # the ink, not the advance box, stands on the margin
        offset = {"left": pad, "center": slack / 2, "right": slack - pad}[element.align]
        x = box.x0 + offset - line.left * block.size
        lines.append(PlacedLine(line, x, y + block.baseline(number)))
    return _placed(element, block, tuple(lines), y)


def _in_columns(
    line: ShapedLine, how: TextStyle, element: Element, block: Block, baseline: float
) -> Iterator[PlacedLine]:
    """A dish at the left edge of its block and its price at the right one."""
    slack = element.box.width - block.width
    x0 = element.box.x0 + {"left": 0.0, "center": slack / 2, "right": slack}[element.align]
    dish, price = (shape(part, how.faces, how.tracking) for part in line.text.rsplit(COLUMN, 1))
    yield PlacedLine(dish, x0 - dish.left * block.size, baseline)
    yield PlacedLine(price, x0 + block.width - price.right * block.size, baseline)


def _fit_in_button(element: Element, how: TextStyle) -> Block | None:
    """The largest setting whose button, padding and all, lies in the box."""
    size = min(element.size, element.box.height / (0.8 + 2 * PILL[1]))
    for _ in range(30):
        block = fit(element.text, how, element.box.width - 2 * PILL[0] * size, element.box.height, size)
        if block is not None and block.size > 0.99 * size and block.height <= element.box.height - 2 * PILL[1] * size:
            return block
        size *= 0.92
    return None


def _placed(element: Element, block: Block, lines: tuple[PlacedLine, ...], y: float) -> PlacedText:
    x0 = min(at.x + at.line.left * block.size for at in lines)
    x1 = max(at.x + at.line.right * block.size for at in lines)
    ink = Box(x0, y, x1, y + block.height)
    families: Counter[str] = Counter()
    for run in (run for at in lines for run in at.line.runs):
        families[run.face.family] += len(run.text)
    button = None
    if element.role == "cta":
        px, py = PILL[0] * block.size, PILL[1] * block.size
        # centred on the capitals, not on descenders, and on whole pixels so that every output agrees
        middle = (lines[0].baseline - 0.36 * block.size + lines[-1].baseline - 0.36 * block.size) / 2
        half = (lines[-1].baseline - lines[0].baseline + 0.72 * block.size) / 2 + py
        button = Box(*(float(round(side)) for side in (x0 - px, middle - half, x1 + px, middle + half)))
    return PlacedText(
        element.text, cast(Role, element.role), ink, families.most_common(1)[0][0], block.size,
        (0, 0, 0), tuple(at.line.text for at in lines), 0.0, lines, button, group=element.group,
    )  # fmt: skip


def _does_not_fit(element: Element, block: Block | None, size: tuple[int, int]) -> str:
    shown = element.text if len(element.text) <= 40 else element.text[:37] + "..."
    box = ", ".join(f"{side:.0f}" for side in element.box)
    reached = "" if block is None else f" (it would be {block.size:.1f} px)"
    return (
        f"text {element.index + 1} ({shown!r}, {len(element.text)} characters) does not fit its box ({box}) at the "
        f"smallest legible size, {legible_size(*size):.0f} px{reached}; shorten it or give it a larger box"
    )
