"""SVG with live text."""

from __future__ import annotations

import base64
import io
from xml.sax.saxutils import escape, quoteattr

from posterkit.layout import Box
from posterkit.typeset.fonts import Face, hb, hb_face
from posterkit.typeset.placed_text import Composition, PlacedText
from posterkit.typeset.raster import corner

_LINING = int.from_bytes(b"lnum", "big")  # figures as high as capitals


def to_svg(poster: Composition) -> str:
    """The poster as one self-contained SVG 1.1 document; units are the picture's pixels."""
    width, height = poster.image.size
    stream = io.BytesIO()
    poster.background.save(stream, "PNG")
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">',
        f"<defs><style>{_font_faces(poster.boxes)}text{{white-space:pre;font-variant-numeric:lining-nums}}</style></defs>",
        f'<image width="{width}" height="{height}" xlink:href="{_data("image/png", stream.getvalue())}"/>',
    ]
    parts += [_rectangle(rule, color) for rule, color in poster.rules]
    for placed in poster.boxes:
        parts.append(f'<g data-role="{placed.role}">')
        if placed.button is not None:
            parts.append(_rectangle(placed.button, placed.button_color, corner(placed.button)))
        parts += _texts(placed)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _texts(placed: PlacedText) -> list[str]:
    """One text element per run: a line is a single run unless it mixes faces or directions."""
    found = []
    for at in placed.placed_lines:
        for run in at.line.runs:
            spacing = f' letter-spacing="{_number(run.tracking * placed.size)}"' if run.tracking else ""
            # an element that runs from right to left and is anchored at its end has that end on the left
            order = ' direction="rtl" unicode-bidi="embed" text-anchor="end"' if run.rtl else ""
            found.append(
                f'<text x="{_number(at.x + run.x * placed.size)}" y="{_number(at.baseline)}" '
                f'font-family={quoteattr(_quoted(run.face.family))} font-size="{_number(placed.size)}" '
                f'fill="{_hex(placed.color)}" xml:lang="{run.language}" xml:space="preserve"{spacing}{order}>'
                f"{escape(run.text)}</text>"
            )
    return found


def _font_faces(texts: list[PlacedText]) -> str:
    used: dict[Face, set[str]] = {}
    for placed in texts:
        for at in placed.placed_lines:
            for run in at.line.runs:
                used.setdefault(run.face, set()).update(run.text)
    rules = []
    for face, characters in used.items():
        data = _data("font/otf" if face.path.suffix.lower() == ".otf" else "font/ttf", _subset(face, characters))
        rules.append(f"@font-face{{font-family:{escape(_quoted(face.family))};src:url({data})}}")
    return "".join(rules)


def _subset(face: Face, characters: set[str]) -> bytes:
    """The font with only what these characters need, its layout features kept."""
    wanted = hb.SubsetInput()
    wanted.unicode_set.update(ord(c) for c in characters)
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
