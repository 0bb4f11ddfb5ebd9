"""SVG with live text."""

from __future__ import annotations

import base64
import io
from xml.sax.saxutils import escape, quoteattr

from posterkit.layout import Box
from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.fonts import Face, coverage, hb, hb_face
from posterkit.typeset.graphics import PlacedGraphic
from posterkit.typeset.placed_text import Composition, PlacedLine, PlacedText
from posterkit.typeset.raster import corner
from posterkit.typeset.shaping import GlyphRun
from posterkit.typeset.xmp import preview

_HAN = 0x3100  # code points from here on are too many to embed those that are not set
_LINING = int.from_bytes(b"lnum", "big")  # figures as high as capitals


def to_svg(poster: Composition, options: ExportOptions) -> bytes:
    """The poster as one self-contained SVG 1.1 document in UTF-8; units are the picture's pixels.

    Args:
        options: its notes go into the document's metadata and description.
    """
    width, height = poster.image.size
    notes = options.notes
    stream = io.BytesIO()
    poster.background.save(stream, "PNG")
    said = []
    if notes:
        said = [f"<desc>{escape(notes.alt)}</desc>"] if notes.alt else []
        if notes.properties:
            rdf = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
            about = f'<rdf:Description rdf:about="">{notes.properties}</rdf:Description>'
            said.append(f'<metadata id="xmp"><rdf:RDF {rdf}>{about}</rdf:RDF></metadata>')
        # within defs: C2PA takes a document with one metadata element of its own
        own = f'<metadata id="posterkit">{escape(notes.record)}</metadata>' if notes.record else ""
        said.append(f'<defs>{own}<metadata id="preview">{preview(poster.image)}</metadata></defs>')
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">',
        *said,
        f"<defs><style>{_font_faces(poster.boxes, options.whole_fonts)}"
        f"text{{white-space:pre;font-variant-numeric:lining-nums}}</style></defs>",
        f'<image width="{width}" height="{height}" xlink:href="{_data("image/png", stream.getvalue())}"/>',
    ]
    parts += [_graphic(one) for one in poster.graphics]
    parts += [_rectangle(rule, color) for rule, color in poster.rules]
    for placed in poster.boxes:
        parts.append(f'<g data-role="{placed.role}" data-align="{placed.align}">')
        if placed.button is not None:
            parts.append(_rectangle(placed.button, placed.button_color, corner(placed.button)))
        parts += [text_element(placed, at) for at in placed.placed_lines]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""]).encode()


def _graphic(one: PlacedGraphic) -> str:
    """A logo as an image, a QR code as one path of its dark modules, each on its panel."""
    parts = [_rectangle(one.box, one.panel)] if one.panel else []
    if one.picture is not None:
        x, y, width, height = map(_number, (one.inner.x0, one.inner.y0, one.inner.width, one.inner.height))
        stream = io.BytesIO()
        one.picture.save(stream, "PNG")
        image = _data("image/png", stream.getvalue())
        parts.append(f'<image x="{x}" y="{y}" width="{width}" height="{height}" xlink:href="{image}"/>')
    else:
        bars = (
            f"M{_number(bar.x0)} {_number(bar.y0)}h{_number(bar.width)}v{_number(bar.height)}h-{_number(bar.width)}z"
            for bar in one.bars
        )
        parts.append(f'<path shape-rendering="crispEdges" d="{"".join(bars)}"/>')
    return f"<g data-role={quoteattr(one.role)} data-says={quoteattr(one.says)}>{''.join(parts)}</g>"


def text_element(placed: PlacedText, at: PlacedLine) -> str:
    """One element a line, so that it can be edited as one; a face or direction that differs is a tspan in it."""
    runs = sorted(at.line.runs, key=lambda run: run.start)
    x = f"{_number(at.x + min(run.x for run in runs) * placed.size)}"
    order = ""
    if at.line.rtl and len(runs) > 1:
        x = _number(at.x + max(run.x + run.width for run in runs) * placed.size)
        order = ' direction="rtl" unicode-bidi="embed"'
    elif runs[0].rtl and len(runs) == 1:
        # an element that runs from right to left and is anchored at its end has that end on the left
        order = ' direction="rtl" unicode-bidi="embed" text-anchor="end"'
    first, *rest = (_run(run, placed) for run in runs)
    spans = "".join(
        f"<tspan{look}{_embedded(run, at)}>{words}</tspan>" for run, (look, words) in zip(runs[1:], rest, strict=True)
    )
    language = f' xml:lang="{runs[0].language}"' if runs[0].language else ""
    look, words = first
    if len(runs) > 1 and runs[0].rtl != at.line.rtl:  # the first run has a direction of its own
        words, spans = "", f"<tspan{_embedded(runs[0], at)}>{words}</tspan>{spans}"
    return (
        f'<text x="{x}" y="{_number(at.baseline)}"{look} font-size="{_number(placed.size)}" '
        f'fill="{_hex(placed.color)}"{language} xml:space="preserve"{order}>{words}{spans}</text>'
    )


def _run(run: GlyphRun, placed: PlacedText) -> tuple[str, str]:
    """What a run's element says of its look, and its words."""
    spacing = f' letter-spacing="{_number(run.tracking * placed.size)}"' if run.tracking else ""
    return f" font-family={quoteattr(_quoted(run.face.family))}{spacing}", escape(run.text)


def _embedded(run: GlyphRun, at: PlacedLine) -> str:
    if run.rtl == at.line.rtl:
        return ""
    return f' direction="{"rtl" if run.rtl else "ltr"}" unicode-bidi="embed"'


def _font_faces(texts: list[PlacedText], whole: bool) -> str:
    used: dict[Face, set[str]] = {}
    for placed in texts:
        for at in placed.placed_lines:
            for run in at.line.runs:
                used.setdefault(run.face, set()).update(run.text)
    return "".join(font_face(face, characters, whole) for face, characters in used.items())


def font_face(face: Face, characters: set[str], whole: bool = False) -> str:
    """The CSS rule that embeds a face with these characters and those that texts may be edited to, or whole."""
    font = face.path.read_bytes() if whole else _subset(face, characters)
    data = _data("font/otf" if face.path.suffix.lower() == ".otf" else "font/ttf", font)
    return f"@font-face{{font-family:{escape(_quoted(face.family))};src:url({data})}}"


def _subset(face: Face, characters: set[str]) -> bytes:
    """The font with these characters and every letter but Han and Hangul, so that the texts can be edited.

    Its layout features are kept; a browser takes letters apart for them (U+0E33 into U+0E4D and U+0E32).
    """
    wanted = hb.SubsetInput()
    wanted.unicode_set.update(ord(c) for c in characters)
    wanted.unicode_set.update(code for code in coverage(face) if code < _HAN)
    wanted.flags = hb.SubsetFlags.NO_HINTING
    wanted.layout_feature_tag_set.add(_LINING)
    return hb.SubsetPlan(hb_face(face), wanted).execute().blob.data


def _quoted(family: str) -> str:
    """As a CSS string: without quotes a word of the name must not begin with a digit."""
    return "'" + family.replace("'", "").replace("\\", "") + "'"


def _rectangle(box: Box, color: tuple[int, int, int], radius: float = 0.0) -> str:
    rounded = f' rx="{_number(radius)}"' if radius else ""
    return (
        f'<rect x="{_number(box.x0)}" y="{_number(box.y0)}" width="{_number(box.width)}" '
        f'height="{_number(box.height)}" fill="{_hex(color)}"{rounded}/>'
    )


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _number(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _hex(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
