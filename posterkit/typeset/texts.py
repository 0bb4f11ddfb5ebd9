"""What can be said of a typesetting job before anything is drawn: words, roles, faces, boxes, whether it all fits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from posterkit.layout import Box, Element, Layout, Measurer, check_roles, fits, infer_roles, legible_size
from posterkit.layout.json_form import layout_from_json
from posterkit.lettering import ALIGNS, Align, Lettering, Role, box_pixels, margin_pixels, parse_box
from posterkit.prompts import PosterBrief
from posterkit.tasks import ANCHORS
from posterkit.typeset.contrast import palette_word
from posterkit.typeset.fonts import Face, is_ignorable, load_face, pairing_for
from posterkit.typeset.graphics import GraphicWish, check_wishes
from posterkit.typeset.line_breaking import measure, text_style
from posterkit.typeset.visible_mark import check_mark

_PRICED = re.compile(r"(\S.*?)(?: *\t[ \t]*| {2,}| *\.{3,} *)([^\t]{0,12}\d[^\t]{0,12})")
SMALLEST = 48  # pixels; below this no text is legible


@dataclass(frozen=True)
class TypeJob:
    """Texts with everything that a call says about how they are set."""

    brief: PosterBrief  # with its texts as they are set
    roles: tuple[Role, ...]
    style: str
    extra: tuple[Face, ...]  # the user's own faces
    given: Layout | None  # the layout of the user's boxes or plan; None where a planner places the texts
    align: Align | None  # what the planner keeps to, as the archetype
    archetype: str | None
    margin: float = 0.0  # pixels that stay free at every edge

    def measurer(self, size: tuple[int, int]) -> Measurer:
        return partial(measure, style=self.style, extra=self.extra, least=legible_size(*size))


def settle(
    brief: PosterBrief,
    size: tuple[int, int] | None,
    *,
    style: str | None = None,
    fonts: Sequence[str | Path] = (),
    roles: Sequence[str] | None = None,
    boxes: Sequence[tuple[float, ...]] | None = None,
    align: str | None = None,
    archetype: str | None = None,
    colors: Sequence[str] = (),
    planner: str | None = None,
    plan: Layout | None = None,
    graphics: Sequence[GraphicWish] = (),
    margin: float = 0.0,
    visible_mark: str | None = None,
) -> TypeJob:
    """Check a call of `typeset`; the arguments are its own.

    Args:
        size: of the picture in pixels; None where it is not known yet, then nothing is said about what fits.

    Raises:
        ValueError: as `typeset`.
    """
    if size is not None and min(size) < SMALLEST:
        raise ValueError(f"the picture is {size[0]}x{size[1]}; text needs at least {SMALLEST} pixels a side")
    check_wishes(graphics, size)
    texts = clean_texts(brief.texts) if brief.texts or not (graphics or visible_mark) else []
    assigned = infer_roles(texts) if roles is None else check_roles(roles, texts)
    words = [word for word in (brief.style, brief.theme, *brief.mood) if word]
    leading = texts[assigned.index("title")] if "title" in assigned else "".join(texts[:1])
    chosen = style or pairing_for(words, leading)
    extra = tuple(load_face(path) for path in fonts)
    for text, role in zip(texts, assigned, strict=True):
        text_style(text, role, chosen, extra)
    if visible_mark:
        check_mark(clean_texts([visible_mark])[0], chosen, size or (10**6, 10**6))
    if align not in (None, *ALIGNS):
        raise ValueError(f"unknown align {align!r}; use {', '.join(ALIGNS)}")
    for word in colors:
        palette_word(word)
    given = None if boxes is None or size is None else _given(texts, assigned, boxes, align, size)
    if plan is not None and size is not None:
        measurer = partial(measure, style=chosen, extra=extra, least=legible_size(*size))
        given = _planned(texts, plan, size, measurer)
        assigned = cast(tuple[Role, ...], tuple(element.role for element in given.texts))
    job = TypeJob(
        replace(brief, texts=texts), assigned, chosen, extra, given, cast(Align | None, align), archetype, margin
    )
    if size is not None and given is None and texts:
        fits(size, texts, assigned, job.measurer(size), archetype)
    return job


def type_options(
    lettering: Lettering, texts: Sequence[str], set_: Sequence[str], size: tuple[int, int]
) -> dict[str, Any]:
    """The options of `posterkit.typeset` for the texts of a brief that are set.

    Args:
        texts: all of the brief's; roles and boxes count along them.
        set_: those that are set, in the same order.

    Raises:
        ValueError: there are roles or boxes, and not one per text.
    """
    if not lettering:
        return {}
    roles, boxes = lettering.roles_of(texts), lettering.boxes_of(texts, size)
    kept = [i for i, text in enumerate(texts) if text in set_]
    return {
        "style": lettering.style, "fonts": lettering.fonts, "colors": lettering.colors, "align": lettering.align,
        "archetype": lettering.layout, "roles": [roles[i] for i in kept],
        "boxes": None if boxes is None else [boxes[i] for i in kept], "planner": lettering.planner,
        "plan": lettering.plan and _without(layout_from_json(lettering.plan), [t for t in texts if t not in set_]),
        "graphics": _wishes(lettering, size), "margin": margin_pixels(lettering.margin, size),
        "visible_mark": lettering.visible_mark,
    }  # fmt: skip


def _wishes(lettering: Lettering, size: tuple[int, int]) -> tuple[GraphicWish, ...]:
    """The logo and the QR code of a call."""
    room = () if lettering.logo_clear is None else (lettering.logo_clear,)
    said = (("logo", lettering.logo, lettering.logo_at, room), ("qr", lettering.qr, lettering.qr_at, ()))
    return tuple(
        GraphicWish(role, source, at if at is None or at in ANCHORS else box_pixels(parse_box(at), size), *clear)  # type: ignore[arg-type]
        for role, source, at, clear in said
        if source
    )


def clean_texts(texts: Sequence[str]) -> list[str]:
    """The texts in composed form (NFC) with plain newlines and no blanks around them; see `_menu`.

    Raises:
        ValueError: none at all, one has nothing to see, or one has a control character.
    """
    if not texts:
        raise ValueError("the brief has no texts to set; give at least one")
    found = []
    for number, text in enumerate(texts, 1):
        # fonts have the composed letters
        plain = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")
        lines = _menu([line.strip() for line in plain.split("\n")])
        plain = "\n".join(line for line in lines if not all(c.isspace() or is_ignorable(c) for c in line))
        if not plain:
            raise ValueError(f"text {number} is empty")
        for character in plain:
            if unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co") and character not in "\n\t":
                raise ValueError(
                    f"text {number} ({plain!r}) has the character U+{ord(character):04X}, which cannot be set"
                )
        found.append(plain)
    return found


def _menu(lines: list[str]) -> list[str]:
    """Lines of a menu, each with a tab before its price; every other tab is a blank.

    A price is parted from its dish by a tab, by several blanks or by a leader of dots.
    """
    rows = [_PRICED.fullmatch(line) for line in lines]
    if sum(row is not None for row in rows) < 2:
        rows = [None] * len(lines)
    return [f"{row[1]}\t{row[2]}" if row else line.replace("\t", " ") for row, line in zip(rows, lines, strict=True)]


def _without(plan: Layout, texts: Sequence[str]) -> Layout:
    """A plan without the places of texts that the model draws."""
    return replace(plan, elements=tuple(one for one in plan if not (one.is_text and one.text in texts)))


def _planned(texts: Sequence[str], plan: Layout, size: tuple[int, int], measurer: Measurer) -> Layout:
    """The texts' places in a plan, on a canvas of `size`, in the texts' order, and its things behind them.

    Raises:
        ValueError: the plan is for other texts, or one does not fit its place.
    """
    plan = plan.scaled_to(*size)
    places = [(clean_texts([one.text])[0], one) for one in plan.texts if one.text.strip()]
    elements = []
    for index, text in enumerate(texts):
        at = next((at for at, (words, _) in enumerate(places) if words == text), None)
        if at is None:
            raise ValueError(f"the plan has no place for {text!r}; give the texts that it was made for, or plan anew")
        one = places.pop(at)[1]
        loose = 0.02 * min(one.size, one.box.height)
        found = measurer(text, cast(Role, one.role), one.box.width + loose, one.box.height + loose, one.size)
        if found is None:
            shown = text if len(text) <= 40 else text[:37] + "..."
            raise ValueError(f"the plan's place for {shown!r} is too small for it at a legible size")
        elements.append(replace(one, index=index, text=text))
    if places:
        raise ValueError(
            f"the plan has a place for {places[0][0]!r}, which is no text of this poster; give the texts that it was "
            "made for, or plan anew"
        )
    things = (replace(one, index=len(texts) + at) for at, one in enumerate(plan.things))
    return replace(plan, elements=(*elements, *things))


def _given(
    texts: Sequence[str], roles: Sequence, boxes: Sequence[tuple], align: str | None, size: tuple[int, int]
) -> Layout:
    """A layout from the user's own boxes."""
    if len(boxes) != len(texts):
        raise ValueError(f"{len(boxes)} boxes for {len(texts)} texts; give one box per text")
    side = cast(Align, align or "center")
    elements = []
    for index, (text, role, corners) in enumerate(zip(texts, roles, boxes, strict=True)):
        box = Box(*(float(side) for side in corners))
        if box.width <= 0 or box.height <= 0 or min(box.x0, box.y0) < 0 or box.x1 > size[0] or box.y1 > size[1]:
            raise ValueError(
                f"box {index + 1} {tuple(corners)} is not x0, y0, x1, y1 in the {size[0]}x{size[1]} picture"
            )
        elements.append(Element(index, text, role, box, side, group=index))
    return Layout(*size, tuple(elements))
