"""PDF with live text: HarfBuzz's glyphs in embedded fonts, each with the Unicode text it stands for."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache
from typing import Any

from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfdoc
from reportlab.pdfgen.canvas import Canvas

from posterkit.layout import Box
from posterkit.paper import INCH, paper_of
from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.fonts import Face, hb, hb_face
from posterkit.typeset.pdfx import as_pdfx, pdfx_properties
from posterkit.typeset.placed_text import Composition
from posterkit.typeset.press import Press, open_press
from posterkit.typeset.raster import corner
from posterkit.typeset.shaping import GlyphRun
from posterkit.typeset.xmp import packet

SCREEN = 96  # pixels an inch, as CSS counts; the default of pictures that are no printed page
_PRINT = (300, 150, 200, 400, 600)  # pixels an inch, at which a picture may be a sheet of paper
_MARK, _GAP, _HAIR = (
    5.0,
    3.0,
    0.25,
)  # crop marks: their length and distance from the cut in millimetres, width in points
_LARGE = 2000  # pixels of the shorter side, from which a picture is meant for print whatever its shape


class GlyphFont:
    """A font in the PDF whose codes are numbers that we give out, one per glyph and text that it stands for.

    reportlab's own TrueType fonts are addressed by character, so they can neither show a ligature or an Arabic
    letter's joined form nor say what it stands for. A composite font (ISO 32000-1, 9.7) with its own map from code to
    glyph does both.
    """

    def __init__(self, face: Face, name: str) -> None:
        self.face = face
        self.name = name
        self.codes: dict[tuple[int, str], int] = {}

    def code(self, gid: int, text: str) -> int:
        return self.codes.setdefault((gid, text), len(self.codes) + 1)

    def advance(self, gid: int) -> float:
        """In thousandths of an em, rounded as it is written."""
        return round(1000 * hb.Font(hb_face(self.face)).get_glyph_h_advance(gid) / hb_face(self.face).upem, 2)

    def objects(self, document: pdfdoc.PDFDocument) -> pdfdoc.PDFDictionary:
        """The font dictionary with everything that it refers to."""
        data, new_gid = _truetype(self.face, tuple(gid for gid, _ in self.codes))
        label = f"POSTER+{self.face.name}"
        table = b"".join(new_gid[gid].to_bytes(2, "big") for gid, _ in [(0, ""), *self.codes])
        widths = pdfdoc.PDFArray([1, pdfdoc.PDFArray([self.advance(gid) for gid, _ in self.codes])])
        adobe, identity = pdfdoc.PDFString("Adobe"), pdfdoc.PDFString("Identity")
        descendant = _dictionary(
            "Font", Subtype="CIDFontType2", BaseFont=label,
            CIDSystemInfo=pdfdoc.PDFDictionary({"Registry": adobe, "Ordering": identity, "Supplement": 0}),
            FontDescriptor=document.Reference(self._descriptor(document, data, label)), DW=0, W=widths,
            CIDToGIDMap=document.Reference(_stream(table)),
        )  # fmt: skip
        return _dictionary(
            "Font", Subtype="Type0", BaseFont=label, Encoding="Identity-H",
            DescendantFonts=pdfdoc.PDFArray([document.Reference(descendant)]),
            ToUnicode=document.Reference(_stream(self._to_unicode())),
        )  # fmt: skip

    def _descriptor(self, document: pdfdoc.PDFDocument, data: bytes, label: str) -> pdfdoc.PDFDictionary:
        font: Any = TTFont(io.BytesIO(data), lazy=True)
        scale = 1000 / font["head"].unitsPerEm
        head, hhea = font["head"], font["hhea"]
        corners = [round(scale * side) for side in (head.xMin, head.yMin, head.xMax, head.yMax)]
        ascent, descent = round(scale * hhea.ascent), round(scale * hhea.descent)
        return _dictionary(
            "FontDescriptor", FontName=label, Flags=4, FontBBox=pdfdoc.PDFArray(corners), ItalicAngle=0,
            Ascent=ascent, Descent=descent, CapHeight=ascent, StemV=80,
            FontFile2=document.Reference(_stream(data, Length1=len(data))),
        )  # fmt: skip

    def _to_unicode(self) -> bytes:
        pairs = [
            f"<{code:04X}> <{text.encode('utf-16-be').hex().upper()}>"
            for (_, text), code in self.codes.items()
            if text
        ]
        blocks = [pairs[i : i + 100] for i in range(0, len(pairs), 100)]
        body = "\n".join(f"{len(block)} beginbfchar\n" + "\n".join(block) + "\nendbfchar" for block in blocks)
        return (
            "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
            "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
            f"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n{body}\n"
            "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
        ).encode("ascii")


def resolution(size: tuple[int, int]) -> int:
    """Pixels an inch of a poster's page: those at which it is a paper format.

    Else 300 where its shorter side has 2000 pixels or more, and 96 below that.
    """
    found = next((dpi for dpi in _PRINT if paper_of(size, dpi)), None)
    return found or (300 if min(size) >= _LARGE else SCREEN)


def dots_per_inch(poster: Composition, options: ExportOptions) -> int:
    """Pixels an inch of a poster's file: as asked, of its sheet, or by its size."""
    return options.dpi or (poster.sheet.dpi if poster.sheet else resolution(poster.image.size))


class Page:
    """A PDF page whose units are the picture's pixels from the top left; colours are RGB or a press's inks."""

    def __init__(self, poster: Composition, options: ExportOptions) -> None:
        width, height = poster.image.size
        self.points = 72 / dots_per_inch(poster, options)
        self.height = height
        self.press: Press | None = open_press(options.profile) if options.profile else None
        bleed = poster.sheet.bleed_pixels if poster.sheet else 0
        gap = max(bleed * self.points, _GAP * 72 / INCH)
        self.edge = gap + _MARK * 72 / INCH - bleed * self.points if options.marks else 0.0
        page = width * self.points + 2 * self.edge, height * self.points + 2 * self.edge
        self.stream = io.BytesIO()
        self.canvas = Canvas(self.stream, pagesize=page, pageCompression=1, invariant=1)
        self.canvas._preamble = ""  # which would choose a font  # pyright: ignore[reportAttributeAccessIssue]
        cut = self.edge + bleed * self.points
        trim = (cut, cut, page[0] - cut, page[1] - cut)
        self.canvas.setBleedBox((self.edge, self.edge, page[0] - self.edge, page[1] - self.edge))
        self.canvas.setTrimBox(trim)
        if options.marks:
            self._crop_marks(trim, gap)
        self.canvas.translate(self.edge, self.edge)

    def _crop_marks(self, trim: tuple[float, ...], gap: float) -> None:
        """Two hairlines at each corner, in all inks, that say where the sheet is cut."""
        self.canvas.setLineWidth(_HAIR)
        if self.press:
            self.canvas.setStrokeColorCMYK(1, 1, 1, 1)
        reach = gap + _MARK * 72 / INCH
        x0, y0, x1, y1 = trim
        for x, out in ((x0, -1), (x1, 1)):
            for y in (y0, y1):
                self.canvas.line(x + out * gap, y, x + out * reach, y)
        for y, out in ((y0, -1), (y1, 1)):
            for x in (x0, x1):
                self.canvas.line(x, y + out * gap, x, y + out * reach)

    def color(self, color: tuple[int, int, int]) -> None:
        if self.press:
            self.canvas.setFillColorCMYK(*self.press.color(color))
        else:
            self.canvas.setFillColorRGB(*(channel / 255 for channel in color))

    def picture(self, image: Image.Image, box: Box) -> None:
        """An opaque picture, lossless."""
        shown = self.press.picture(image) if self.press else image
        corners = (box.x0 * self.points, (self.height - box.y1) * self.points)
        self.canvas.drawImage(ImageReader(shown), *corners, box.width * self.points, box.height * self.points)

    def rectangle(self, box: Box, color: tuple[int, int, int], radius: float = 0.0) -> None:
        self.color(color)
        points = self.points
        corners = (box.x0 * points, (self.height - box.y1) * points, box.width * points, box.height * points)
        self.canvas.roundRect(*corners, radius * points, stroke=0, fill=1)

    def run(self, run: GlyphRun, font: GlyphFont, x: float, baseline: float, size: float) -> None:
        points = self.points
        self.canvas.addLiteral(_show(run, font, x * points, (self.height - baseline) * points, size * points))


def to_pdf(poster: Composition, options: ExportOptions) -> bytes:
    """One page: the background as a lossless image, then rules, buttons and texts as vectors.

    With a press's profile it is a PDF/X-4 in that press's inks.
    """
    page = Page(poster, options)
    canvas, notes = page.canvas, options.notes
    title = poster.boxes[0].text.replace("\n", " ") if poster.boxes else "poster"
    canvas.setTitle(title)
    if notes.alt:
        canvas.setSubject(notes.alt)
    page.picture(poster.background, Box(0.0, 0.0, *map(float, poster.image.size)))
    for graphic in poster.graphics:
        if graphic.panel:
            page.rectangle(graphic.box, graphic.panel)
        if graphic.picture is not None:  # as it lies on its ground, so that nothing is transparent
            page.picture(poster.image.crop(graphic.inner.pixels(poster.image.size)), graphic.inner)
        for bar in graphic.bars:
            page.rectangle(bar, (0, 0, 0))
    for rule, color in poster.rules:
        page.rectangle(rule, color)
    fonts: dict[Face, GlyphFont] = {}
    for placed in poster.boxes:
        if placed.button is not None:
            page.rectangle(placed.button, placed.button_color, corner(placed.button))
        page.color(placed.color)
        for at in placed.placed_lines:
            for run in at.line.runs:
                font = fonts.setdefault(run.face, GlyphFont(run.face, f"P{len(fonts) + 1}"))
                page.run(run, font, at.x + run.x * placed.size, at.baseline, placed.size)
    document = canvas._doc  # pyright: ignore[reportAttributeAccessIssue]
    for name, thing in document.idToObject.items():  # reportlab begins with Helvetica, which nothing is set in
        if isinstance(thing, pdfdoc.PDFType1Font):
            document.idToObject[name] = pdfdoc.PDFDictionary({})
    document.idToObject["BasicFonts"].dict.clear()
    if page.press:
        notes = replace(notes, properties=notes.properties + pdfx_properties(title))
    if notes:
        preview = poster.image if options.notes else None
        said = pdfdoc.PDFStream(_dictionary("Metadata", Subtype="XML"), packet(notes, preview), filters=[])
        document.Catalog.Metadata = document.Reference(said)
    for font in fonts.values():
        document.idToObject["BasicFonts"].dict[font.name] = font.objects(document)
    canvas.showPage()
    canvas.save()
    return as_pdfx(page.stream.getvalue(), page.press) if page.press else page.stream.getvalue()


def _show(run: GlyphRun, font: GlyphFont, x: float, y: float, size: float) -> str:
    """The operators that show a run: the pen is moved wherever HarfBuzz's position differs from the advance."""
    parts: list[str] = []
    out = [f"BT /{font.name} {size:.4f} Tf 1 0 0 1 {x:.4f} {y:.4f} Tm"]
    pen, rise = 0.0, 0.0
    for glyph in run.glyphs:
        if glyph.y != rise:
            out += [f"[{' '.join(parts)}] TJ"] if parts else []
            out.append(f"{glyph.y * size:.4f} Ts")
            parts, rise = [], glyph.y
        move = 1000 * glyph.x - pen
        if abs(move) > 0.01:
            parts.append(f"{-move:.2f}")
            pen += move
        parts.append(f"<{font.code(glyph.gid, glyph.text):04X}>")
        pen += font.advance(glyph.gid)
    out += [f"[{' '.join(parts)}] TJ"] if parts else []
    return " ".join([*out, "0 Ts ET" if rise else "ET"])


def _dictionary(kind: str, **entries: Any) -> pdfdoc.PDFDictionary:
    """A dictionary of a type; texts in it are names."""
    named = {"Type": kind, **entries}.items()
    return pdfdoc.PDFDictionary({key: pdfdoc.PDFName(v) if isinstance(v, str) else v for key, v in named})


def _stream(content: bytes, **entries: int) -> pdfdoc.PDFStream:
    return pdfdoc.PDFStream(pdfdoc.PDFDictionary(entries), content, filters=[pdfdoc.PDFZCompress])


@lru_cache(maxsize=32)
def _truetype(face: Face, gids: tuple[int, ...]) -> tuple[bytes, dict[int, int]]:
    """The glyphs as a TrueType font (outlines of OpenType CFF fonts are converted) and where each has gone."""
    wanted = hb.SubsetInput()
    wanted.glyph_set.update({0, *gids})
    wanted.flags = hb.SubsetFlags.NO_LAYOUT_CLOSURE | hb.SubsetFlags.NO_HINTING
    plan = hb.SubsetPlan(hb_face(face), wanted)
    data = plan.execute().blob.data
    mapping = dict(plan.old_to_new_glyph_mapping.items())
    return (_quadratic(data) if b"CFF " in data[:512] else data), mapping


def _quadratic(data: bytes) -> bytes:
    """An OpenType font with cubic outlines as one with quadratic outlines, within a thousandth of an em."""
    font: Any = TTFont(io.BytesIO(data))  # its tables are made at run time
    order = font.getGlyphOrder()
    outlines = font.getGlyphSet()
    glyphs = {}
    for name in order:
        pen = TTGlyphPen(None)
        outlines[name].draw(Cu2QuPen(pen, font["head"].unitsPerEm / 1000, reverse_direction=True))
        glyphs[name] = pen.glyph()
    font["loca"] = newTable("loca")
    glyf: Any = newTable("glyf")
    font["glyf"] = glyf
    glyf.glyphOrder, glyf.glyphs = order, glyphs
    for tag in ("CFF ", "VORG", "GSUB", "GPOS", "GDEF"):
        if tag in font:
            del font[tag]
    font["maxp"].tableVersion = 0x00010000
    for field in ("maxZones", "maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs",
                  "maxStackElements", "maxSizeOfInstructions", "maxComponentElements", "maxPoints", "maxContours",
                  "maxCompositePoints", "maxCompositeContours", "maxComponentDepth"):  # fmt: skip
        setattr(font["maxp"], field, 1 if field == "maxZones" else 0)
    font["post"].formatType = 3.0
    font.sfntVersion = "\000\001\000\000"
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()
