"""The contact sheet: many posters on one page."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from posterkit.batch.index import SHEET, RowIndex
from posterkit.batch.ledger import Ledger, LedgerEntry
from posterkit.generate.metadata import is_foreign, read_poster, read_record
from posterkit.generate.record import write_png
from posterkit.schema import PosterRequest
from posterkit.typeset.fonts import for_text, grapheme_clusters
from posterkit.typeset.raster import draw_line
from posterkit.typeset.shaping import ShapedLine, shape

PAPER, INK, GREY, LINE = (247, 245, 241), (34, 34, 38), (128, 126, 122), (222, 218, 210)
ON_SHEET = 400  # posters; more become stamps
MAX_AREA = 24 * 2**20  # pixels of the whole sheet; more posters mean smaller ones


@dataclass(frozen=True)
class Frame:
    """One poster on the sheet: a picture or its file, a title under it, and the pictures that it was made from."""

    picture: Image.Image | Path
    title: str
    note: str = ""
    sources: Sequence[Image.Image | Path] = ()


def write_sheet(index: RowIndex, ledger: Ledger, out: Path) -> Path | None:
    """Write the sheet of a batch's posters; None where there are none, or where a file of the user's has its name."""
    frames = [
        Frame(out / entry.out, Path(entry.out).stem, _under(entry, row, out), row.files()[: len(row.images)])
        for number, entry in ledger.posters(ON_SHEET)
        if entry.out and isinstance(row := index[number], PosterRequest)
    ]
    if not frames:
        return None
    if index.is_input(out / SHEET) or is_foreign(out / SHEET):
        warnings.warn(f"{out / SHEET} is a file of yours; no contact sheet is written", stacklevel=2)
        return None
    write_png(contact_sheet(frames), out / SHEET)
    return out / SHEET


def _under(entry: LedgerEntry, row: PosterRequest, out: Path) -> str:
    """What stands under a poster's name: its task, and what it was painted over."""
    said = (entry.task or "").replace("_", " ")
    if Path(entry.out or "").suffix == ".png":
        strength = read_record(out / str(entry.out)).get("row", {}).get("strength")
        said += f", {100 * strength:g} % over a draft" if strength else ", from noise"
    return said if entry.value is None else f"{said}, best of {row.best_of}: {entry.value:.2f}"


def contact_sheet(frames: Sequence[Frame], columns: int | None = None, cell: int = 380) -> Image.Image:
    """Lay posters out in rows with their titles.

    Args:
        columns: posters a row; None chooses so that the sheet is about as wide as a screen.
        cell: width of a poster's cell in pixels; fewer where the sheet would pass 24 megapixels.

    Returns:
        Mode RGB.

    Raises:
        ValueError: there are no frames.
    """
    if not frames:
        raise ValueError("a contact sheet needs at least one poster")
    if columns is None:
        about = math.ceil(math.sqrt(len(frames) * 1.9))
        near = range(max(3, about - 1), about + 2)
        columns = min(len(frames), min(near, key=lambda count: (-len(frames) % count, abs(count - about))))
    rows = math.ceil(len(frames) / columns)
    cell = max(48, min(cell, int(math.sqrt(MAX_AREA / (columns * rows * 1.7)))))
    gap, tall = max(6, cell // 10), round(cell * 1.47)
    title, small = (max(8, cell // part) for part in (20, 26))
    caption = round(cell * (0.22 if any(frame.note or frame.sources for frame in frames) else 0.12))
    size = (gap + columns * (cell + gap), gap + rows * (tall + caption + gap))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, frame in enumerate(frames):
        x = gap + index % columns * (cell + gap)
        y = gap + index // columns * (tall + caption + gap)
        if poster := _fit(frame.picture, (cell, tall)):
            left, top = x + (cell - poster.width) // 2, y + tall - poster.height
            sheet.paste(poster, (left, top))
            draw.rectangle((left - 1, top - 1, left + poster.width, top + poster.height), outline=LINE)
        room = cell - _paste_sources(sheet, frame.sources, (x + cell, y + tall + gap // 3), caption - gap // 3)
        top = y + tall + gap // 3
        draw_line(sheet, _shortened(frame.title, title, room), (x, top + title), title, INK)
        if frame.note:
            draw_line(sheet, _shortened(frame.note, small, room), (x, top + cell // 14 + small), small, GREY)
    return sheet


def _fit(picture: Image.Image | Path, box: tuple[int, int]) -> Image.Image | None:
    """The picture in a box; None for a file that cannot be read any more."""
    try:
        image = read_poster(picture) if isinstance(picture, Path) else picture
    except ValueError:
        return None
    return ImageOps.contain(image, box, Image.Resampling.LANCZOS)


def _paste_sources(
    sheet: Image.Image, sources: Sequence[Image.Image | Path], corner: tuple[int, int], height: int
) -> int:
    """Small pictures from the right edge leftwards; the width that they take."""
    right, top = corner
    for source in reversed(sources):
        if (small := _fit(source, (height * 3 // 2, height))) is None:
            continue
        right -= small.width
        sheet.paste(small, (right, top))
        right -= max(2, height // 12)
    return corner[0] - right


def _shortened(text: str, size: int, room: float) -> ShapedLine:
    """The text, its middle left out where it is too long: names differ at both ends."""
    text = "".join(cluster if _has_glyphs(cluster) else "?" for cluster in grapheme_clusters(text))
    line = _shaped(text)
    for keep in range(len(text) - 1, 0, -1):
        if line.width * size <= room:
            break
        line = _shaped(text[: (keep + 1) // 2] + "..." + text[len(text) - keep // 2 :])
    return line


def _shaped(text: str) -> ShapedLine:
    return shape(text, for_text(text)) if text.strip() else shape("", ())


def _has_glyphs(cluster: str) -> bool:
    with suppress(ValueError):
        return bool(for_text(cluster))
    return False
