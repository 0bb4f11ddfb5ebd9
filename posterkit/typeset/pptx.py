"""PowerPoint files: a slide of the poster's size, its picture, and a text box for each text."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from typing import Any

from fontTools.ttLib import TTFont
from PIL import Image

from posterkit.layout import Box
from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.fonts import Face
from posterkit.typeset.pdf import dots_per_inch
from posterkit.typeset.placed_text import Composition, PlacedText
from posterkit.typeset.psd_type import TypeColumn, type_columns
from posterkit.typeset.raster import CORNER
from posterkit.typeset.xmp import packet

EMU = 914400  # PowerPoint's units an inch
SIDES = (1.0, 56.0)  # inches of a slide's side that PowerPoint takes
RECORD = "docProps/posterkit.xml"
_DATE = (1980, 1, 1, 0, 0, 0)  # of every part, so that the same poster has the same bytes
_ALIGN = {"left": "l", "center": "ctr", "right": "r"}
DESCENT = 0.2  # em that a line of exact height keeps below its baseline, whatever its font
_BLANK = 6  # the template's layout without place holders


def to_pptx(poster: Composition, options: ExportOptions) -> bytes:
    """One slide: the background, then rules, buttons and texts as shapes that can be moved and edited.

    The slide has the poster's size on paper, as far as PowerPoint's limits let it.

    Args:
        options: its notes go into a part of the file that PowerPoint passes over.
    """
    from pptx import Presentation
    from pptx.util import Emu

    deck = Presentation()
    scale = _scale(poster, options)
    width, height = poster.image.size
    deck.slide_width, deck.slide_height = Emu(round(width * scale)), Emu(round(height * scale))
    slide = deck.slides.add_slide(deck.slide_layouts[_BLANK])
    _picture(slide, poster.background, Box(0.0, 0.0, float(width), float(height)), scale, "picture")
    for one in poster.graphics:
        _picture(slide, one.image(), one.box, scale, f"{one.role}: {one.says}"[:60])
    for rule, color in poster.rules:
        _rectangle(slide, rule, color, scale, "rule")
    for placed in poster.boxes:
        words = " ".join(placed.text.split())[:60]
        if placed.button is not None:
            _rectangle(slide, placed.button, placed.button_color, scale, f"button: {words}", rounded=True)
        for column in type_columns(placed):
            add_text(slide, placed, column, scale, f"{placed.role}: {words}")
    said = deck.core_properties
    said.title = poster.boxes[0].text.replace("\n", " ") if poster.boxes else "poster"
    said.author, said.comments = "", options.notes.alt
    stream = io.BytesIO()
    deck.save(stream)
    record = packet(options.notes, poster.image) if options.notes else b""
    return rewritten(stream.getvalue(), record)


def _scale(poster: Composition, options: ExportOptions) -> float:
    """EMU a pixel."""
    inches = [side / dots_per_inch(poster, options) for side in poster.image.size]
    fitted = min(1.0, SIDES[1] / max(inches))
    return EMU / dots_per_inch(poster, options) * max(fitted, SIDES[0] / min(inches))


def _picture(slide: Any, image: Image.Image, box: Box, scale: float, name: str) -> None:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    shape = slide.shapes.add_picture(stream, *_place(box, scale))
    shape.name = name


def _rectangle(
    slide: Any, box: Box, color: tuple[int, int, int], scale: float, name: str, rounded: bool = False
) -> None:
    from pptx.dml.color import RGBColor
    from pptx.enum.shapes import MSO_SHAPE

    kind = MSO_SHAPE.ROUNDED_RECTANGLE if rounded else MSO_SHAPE.RECTANGLE
    shape = slide.shapes.add_shape(kind, *_place(box, scale))
    shape.name = name
    if rounded:
        shape.adjustments[0] = min(0.5, CORNER * box.height / min(box.width, box.height))
    shape.fill.solid()
    shape.fill.fore_color.rgb = RGBColor(*color)
    shape.line.fill.background()
    shape.shadow.inherit = False


def _place(box: Box, scale: float) -> tuple[Any, ...]:
    from pptx.util import Emu

    return tuple(Emu(round(side * scale)) for side in (box.x0, box.y0, box.width, box.height))


def add_text(slide: Any, placed: PlacedText, column: TypeColumn, scale: float, name: str) -> Any:
    """A text box whose first baseline and whose left, middle or right stand where the column's do."""
    from pptx.enum.text import MSO_ANCHOR, MSO_AUTO_SIZE

    lines = [at for at in column.lines if at is not None]
    wide = max(at.line.width for at in lines) * placed.size
    left = column.x - {"left": 0.0, "center": 0.5, "right": 1.0}[column.align] * wide
    spacing = column.leading
    top = column.baseline - (spacing - DESCENT * placed.size)
    box = Box(left, top, left + wide, top + spacing * len(column.lines))
    shape = slide.shapes.add_textbox(*_place(box, scale))
    shape.name = name
    frame = shape.text_frame
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    frame.word_wrap, frame.auto_size, frame.vertical_anchor = False, MSO_AUTO_SIZE.NONE, MSO_ANCHOR.TOP
    fill_text(frame, placed, column, scale)
    return shape


def fill_text(frame: Any, placed: PlacedText, column: TypeColumn, scale: float) -> None:
    """Put a column's words, a line each, into an empty text frame."""
    from pptx.dml.color import RGBColor
    from pptx.util import Emu

    paragraph = frame.paragraphs[0]
    rtl = next(at for at in column.lines if at is not None).line.rtl
    look = paragraph._p.get_or_add_pPr()
    look.set("algn", _ALIGN[column.align])
    if rtl:
        look.set("rtl", "1")
    paragraph.line_spacing = Emu(round(column.leading * scale))
    for number, at in enumerate(column.lines):
        if number:
            paragraph.add_line_break()
        for run in sorted(at.line.runs, key=lambda run: run.start) if at else []:
            words = paragraph.add_run()
            words.text = run.text
            font = words.font
            font.size = Emu(round(placed.size * scale))
            font.color.rgb = RGBColor(*placed.color)
            family, bold = family_name(run.face)
            font.name, font.bold = family, bold
            properties = words._r.get_or_add_rPr()
            if run.language:
                properties.set("lang", run.language)
            if run.tracking:
                properties.set("spc", str(round(100 * run.tracking * placed.size * scale / 12700)))
            for script in ("ea", "cs"):  # Han, and Arabic, Hebrew, Thai and Devanagari take fonts of their own
                properties.append(_typeface(script, family))


def _typeface(script: str, family: str) -> Any:
    from pptx.oxml.ns import qn
    from pptx.oxml.xmlchemy import OxmlElement

    element = OxmlElement(f"a:{script}")
    element.set("typeface", family)
    assert element.tag == qn(f"a:{script}")
    return element


@lru_cache(maxsize=64)
def family_name(face: Face) -> tuple[str, bool]:
    """The family by which office programs find an installed font, and whether the face is its bold."""
    font: Any = TTFont(str(face.path), lazy=True)
    names = font["name"]
    return names.getDebugName(1) or face.family, names.getDebugName(2) in ("Bold", "Bold Italic")


def rewritten(content: bytes, record: bytes) -> bytes:
    """The file with parts of one date, and with its record where any program finds it: uncompressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w") as target:  # noqa: TID251
        for name in source.namelist():
            packed = zipfile.ZIP_STORED if name.endswith((".png", ".jpeg")) else zipfile.ZIP_DEFLATED
            target.writestr(zipfile.ZipInfo(name, _DATE), source.read(name), packed)
        if record:
            target.writestr(zipfile.ZipInfo(RECORD, _DATE), record)
    return out.getvalue()
