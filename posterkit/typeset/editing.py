"""Other words in a finished poster: where its texts stand stays as it is, whoever has put them there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from posterkit.layout import PILL, Box, legible_size
from posterkit.lettering import Align, Role, mark_faults, unmarked
from posterkit.typeset.fonts import FACES, Face, for_text
from posterkit.typeset.line_breaking import COLUMN, TextStyle, fit
from posterkit.typeset.placed_text import PlacedLine, PlacedText
from posterkit.typeset.psd_type import postscript_name
from posterkit.typeset.shaping import cap_height, shape
from posterkit.typeset.texts import clean_texts

_LARGEST = 2.0  # times the poster's longer side; a larger text is a damaged file
Chosen = Sequence[str | None]  # the new words of each text; None leaves it as it is
Choose = Callable[[Sequence["FoundText"]], Chosen]


@dataclass(frozen=True)
class FoundText:
    """One text as it stands in a file; lengths are pixels of the file's own space.

    Attributes:
        text: its words, a newline between lines.
        x, baseline: the left, middle or right of its first line, as `align` says.
        width, height: of its ink.
        leading: from baseline to baseline.
        tracking: in em.
        button: what it stands on, if it is a call to action.
    """

    text: str
    role: str
    faces: tuple[Face, ...]
    size: float
    color: tuple[int, int, int]
    align: Align
    x: float
    baseline: float
    width: float
    height: float
    leading: float
    tracking: float = 0.0
    button: Box | None = None

    @property
    def box(self) -> Box:
        """Its ink, more or less."""
        left = self.x - {"left": 0.0, "center": 0.5, "right": 1.0}[self.align] * self.width
        top = self.baseline - 0.75 * self.size
        return Box(left, top, left + self.width, top + self.height)


def chosen_texts(asked: Sequence[str], found: Sequence[FoundText]) -> list[str | None]:
    """The new words of each text of a file, from a call's: in their order, or by their roles ("@title:...").

    Raises:
        ValueError: there are more or fewer than the file has, or a mark is misspelt.
    """
    plain, _ = unmarked(asked)
    if faults := mark_faults(plain):
        raise ValueError("; ".join(faults))
    roles = [text.lstrip()[1:].partition(":")[0].lower() if new != text.strip() else None
             for text, new in zip(asked, plain, strict=True)]  # fmt: skip
    has = ", ".join(f"@{one.role}:{' '.join(one.text.split())[:30]}" for one in found)
    if None not in roles:
        chosen: dict[int, str] = {}
        for role, new in zip(roles, plain, strict=True):
            at = next((at for at, one in enumerate(found) if one.role == role and at not in chosen), None)
            if at is None:
                raise ValueError(f"the poster has no further text of the role {role!r}; it has {has or 'none'}")
            chosen[at] = clean_texts([new])[0]
        return [None if chosen.get(at) == one.text else chosen.get(at) for at, one in enumerate(found)]
    if len(plain) != len(found):
        raise ValueError(
            f"{len(plain)} texts for {len(found)}; give one for each, or say which is meant as in @title:NEW. "
            f"The poster has {has or 'none'}"
        )
    return [None if new == one.text else new for new, one in zip(clean_texts(plain), found, strict=True)]


def face_named(names: Sequence[str], extra: Sequence[Face]) -> Face | None:
    """The face that a file names by its family or PostScript name: one of the user's, else a shipped one."""
    for word in (name.casefold() for name in names):
        for face in (*extra, *FACES):
            if word in (face.family.casefold(), face.name.casefold(), postscript_name(face).casefold()):
                return face
    return None


def reset(one: FoundText, text: str, others: Sequence[Box], canvas: tuple[float, float]) -> PlacedText:
    """A text of a file with other words: in its place, its face, size and colour, smaller where it would not fit.

    Args:
        others: the texts, logos and codes beside it; it does not run into them.
        canvas: width and height of the file's space.

    Raises:
        ValueError: no font has a character, or the text does not fit at a legible size.
    """
    if not 0 < one.size <= _LARGEST * max(canvas):
        raise ValueError(f"a text of {one.size:g} pixels on a poster of {canvas[0]:g}x{canvas[1]:g} cannot be set")
    faces = one.faces if all(face.covers(text) for face in one.faces[:1]) else _faces_with(one, text)
    how = TextStyle(faces, one.tracking, one.leading / one.size, hyphenates=False)
    if one.button is not None:
        one = replace(one, align="center", x=(one.button.x0 + one.button.x1) / 2)
    width, height = _room(one, others, canvas)
    block = fit(text, how, width, height, one.size)
    least = min(legible_size(*map(int, canvas)), one.size)
    if block is None or block.size < 0.999 * least:
        shown = text if len(text) <= 40 else text[:37] + "..."
        raise ValueError(f"{shown!r} does not fit in the place of {one.text[:40]!r} at a legible size; shorten it")
    share = {"left": 0.0, "center": 0.5, "right": 1.0}[one.align]
    size = block.size
    # the tops of its capitals stay in one line; on a button their middle
    less = cap_height(faces[0]) * (one.size - size)
    first = one.baseline - (less / 2 if one.button else less)
    lines: list[PlacedLine] = []
    for number, line in enumerate(block.lines):
        baseline, x = first + number * block.leading * size, one.x - share * line.width * size
        if "\t" in text and COLUMN in line.text:  # a dish, and its price at the other edge
            dish, price = (shape(part, faces, one.tracking) for part in line.text.rsplit(COLUMN, 1))
            lines += [PlacedLine(dish, x, baseline), PlacedLine(price, x + block.width - price.width * size, baseline)]
        else:
            lines.append(PlacedLine(line, x, baseline))
    ink = Box(
        min(at.x + at.line.left * size for at in lines), min(at.baseline - at.line.top * size for at in lines),
        max(at.x + at.line.right * size for at in lines), max(at.baseline + at.line.bottom * size for at in lines),
    )  # fmt: skip
    return PlacedText(
        text, cast(Role, one.role), ink, faces[0].family, size, one.color, tuple(line.text for line in block.lines),
        0.0, tuple(lines), None, align=one.align,
    )  # fmt: skip


def _faces_with(one: FoundText, text: str) -> tuple[Face, ...]:
    """Faces for words that the text's own does not have all letters of."""
    return tuple(dict.fromkeys([*one.faces, *for_text(text, "modern", one.role == "title", one.faces)]))


def _room(one: FoundText, others: Sequence[Box], canvas: tuple[float, float]) -> tuple[float, float]:
    """Width and height that new words may take: from the text's anchor to the margin, or to what stands beside it."""
    if one.button is not None:
        return one.button.width - 1.2 * PILL[0] * one.size, 1.1 * one.size
    own = one.box
    margin = min(own.x0, canvas[0] - own.x1, 0.07 * min(canvas))
    beside = [box for box in others if box != own and box.y0 < own.y1 and own.y0 < box.y1]
    gap = 0.5 * one.size
    left = max([margin, *(box.x1 + gap for box in beside if box.x1 <= own.x0 + gap)])
    right = min([canvas[0] - margin, *(box.x0 - gap for box in beside if box.x0 >= own.x1 - gap)])
    free = {"left": right - one.x, "right": one.x - left, "center": 2 * min(one.x - left, right - one.x)}[one.align]
    return max(free, one.width) + 1.0, one.height + 0.1 * one.size


def found_text(placed: PlacedText) -> FoundText:
    """A placed text as it stands in a file."""
    baselines = sorted({at.baseline for at in placed.placed_lines})
    leading = baselines[1] - baselines[0] if len(baselines) > 1 else 1.2 * placed.size
    first, tracking = (
        placed.placed_lines[0],
        max((run.tracking for run in placed.placed_lines[0].line.runs), default=0),
    )
    share = {"left": 0.0, "center": 0.5, "right": 1.0}[placed.align]
    faces = tuple(dict.fromkeys(run.face for at in placed.placed_lines for run in at.line.runs))
    return FoundText(
        placed.text, placed.role, faces, placed.size, placed.color, placed.align,
        first.x + share * first.line.width * placed.size, first.baseline, placed.box.width, placed.box.height, leading,
        tracking, placed.button,
    )  # fmt: skip
