"""Other words in the text boxes of a PowerPoint poster; everything else on the slide stays as it is."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from posterkit.layout import Box
from posterkit.lettering import ROLES, Align
from posterkit.typeset.editing import Choose, FoundText, face_named, reset
from posterkit.typeset.fonts import Face, for_text
from posterkit.typeset.pptx import DESCENT, RECORD, family_name, fill_text, rewritten
from posterkit.typeset.psd_type import type_columns
from posterkit.typeset.shaping import shape
from posterkit.typeset.xmp import revised

_MOST = 512 * 2**20  # bytes of all parts, unpacked
_UNIT = 9525  # EMU of a pixel where the file does not say how large its picture is
_ALIGNS: dict[str, Align] = {"l": "left", "ctr": "center", "r": "right"}


def edit_pptx(content: bytes, choose: Choose, revise: Callable[[str], str], extra: Sequence[Face]) -> bytes:
    """A slide with other words.

    Raises:
        ValueError: it is no PPTX, it unpacks to too much, or the words do not fit.
    """
    from pptx import Presentation

    record = _record(content)
    try:
        deck: Any = Presentation(io.BytesIO(content))
        slide = deck.slides[0]
    except Exception:  # whatever its parser meets, in words about its own code
        raise ValueError("is no PPTX that can be read") from None
    scale = _scale(deck, slide)
    canvas = deck.slide_width / scale, deck.slide_height / scale
    boxes = [one for one in slide.shapes if one.has_text_frame and one.text_frame.text.strip()]
    places = {one.name: _box(one, scale) for one in slide.shapes}
    buttons = {name.removeprefix("button: "): box for name, box in places.items() if name.startswith("button: ")}
    found = [_found(one, scale, extra, buttons) for one in boxes]
    taken = [
        *(one.box for one in found),
        *(box for name, box in places.items() if name.startswith(("logo: ", "qr: "))),
    ]
    for frame_box, one, new in zip(boxes, found, choose(found), strict=True):
        if new is None:
            continue
        placed = reset(one, new, taken, canvas)
        frame = frame_box.text_frame
        for paragraph in frame.paragraphs[1:]:
            paragraph._p.getparent().remove(paragraph._p)
        for child in list(frame.paragraphs[0]._p):
            if not child.tag.endswith("}pPr"):
                frame.paragraphs[0]._p.remove(child)
        column, *_ = type_columns(placed)
        fill_text(frame, placed, column, scale)
        # its first baseline, however high the lines are now
        frame_box.top = round((column.baseline - column.leading + DESCENT * placed.size) * scale)
    out = io.BytesIO()
    deck.save(out)
    return rewritten(out.getvalue(), revised(record, revise))


def _record(content: bytes) -> bytes:
    """The part with the record; empty where there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:  # noqa: TID251
            if sum(part.file_size for part in parts.infolist()) > _MOST:
                raise ValueError(f"unpacks to more than {_MOST >> 20} MB")
            return parts.read(RECORD) if RECORD in parts.namelist() else b""
    except zipfile.BadZipFile:
        raise ValueError("is no PPTX that can be read") from None


def _scale(deck: Any, slide: Any) -> float:
    """EMU a pixel of the picture that fills the slide."""
    pictures = [one for one in slide.shapes if one.name == "picture" and hasattr(one, "image")]
    return deck.slide_width / pictures[0].image.size[0] if pictures else float(_UNIT)


def _box(shape: Any, scale: float) -> Box:
    return Box(shape.left / scale, shape.top / scale, (shape.left + shape.width) / scale,
               (shape.top + shape.height) / scale)  # fmt: skip


def _found(frame: Any, scale: float, extra: Sequence[Face], buttons: dict[str, Box]) -> FoundText:
    paragraphs = frame.text_frame.paragraphs
    runs = [run for paragraph in paragraphs for run in paragraph.runs]
    names = list(dict.fromkeys(run.font.name for run in runs if run.font.name))
    faces = tuple(dict.fromkeys(face for name in names if (face := _face(name, extra))))
    if not faces:
        named = f"is set in {names[0]}, which is not shipped" if names else "names no font"
        raise ValueError(f"the text box {frame.name!r} {named}; give its file with --font")
    size = (runs[0].font.size or 18 * 12700) / scale
    spacing = paragraphs[0].line_spacing
    leading = spacing / scale if spacing is not None and spacing > 100 else 1.2 * size
    tracking = float(runs[0]._r.get_or_add_rPr().get("spc", 0)) * 127 / scale / size
    lines = frame.text_frame.text.replace("\v", "\n").split("\n")
    shaped = [shape(line, for_text(line, extra=faces), tracking) for line in lines if line.strip()]
    width = max((line.width for line in shaped), default=1.0) * size
    align = _ALIGNS.get(paragraphs[0]._p.get_or_add_pPr().get("algn", "l"), "left")
    box = _box(frame, scale)
    x = {"left": box.x0, "center": (box.x0 + box.x1) / 2, "right": box.x1}[align]
    role, _, words = frame.name.partition(": ")
    color = tuple(runs[0].font.color.rgb) if runs[0].font.color.type is not None else (0, 0, 0)
    return FoundText(
        "\n".join(lines), role if role in ROLES else "text", faces, size, color, align, x,
        box.y0 + leading - DESCENT * size, width, (len(lines) - 1) * leading + 0.75 * size, leading, tracking,
        buttons.get(words),
    )  # fmt: skip


def _face(name: str, extra: Sequence[Face]) -> Face | None:
    """The face of a family as office programs call it."""
    from posterkit.typeset.fonts import FACES

    own = next((face for face in (*extra, *FACES) if family_name(face)[0].casefold() == name.casefold()), None)
    return own or face_named([name], extra)
