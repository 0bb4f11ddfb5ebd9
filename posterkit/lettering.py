"""How a poster's texts are set, as data: what the command line, manifests and records say of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Role = Literal["title", "subtitle", "body", "cta"]
Align = Literal["left", "center", "right"]
ROLES: tuple[Role, ...] = get_args(Role)
ALIGNS: tuple[Align, ...] = get_args(Align)
AUTO = "auto"  # in place of a role: by the text's order and content
STYLES = ("modern", "condensed", "swiss", "geometric", "elegant", "slab", "script", "handwriting", "rounded")
LAYOUTS = (
    "top-and-bottom", "swiss", "bottom-stack", "bottom-center", "top-stack", "top-center", "marquee", "framed",
    "left-column", "right-column", "free-area",
)  # fmt: skip
PLACES = (
    "top-left", "top", "top-right", "left", "center", "right", "bottom-left", "bottom", "bottom-right",
)  # fmt: skip
PLANNERS = ("archetypes", "grammar", "retrieval", "llm", "cot")
_ASKS = ("llm", "cot")  # planners that ask a language model
_MARK = re.compile(rf"\s*@({'|'.join(ROLES)}|text):", re.IGNORECASE)
_ALMOST = re.compile(r"\s*@([\w-]{2,12})\s*:")
_SIDE = re.compile(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*(%?)\s*")

Side = float | str  # pixels, or a per cent of the poster's side: "12.5%"
BoxSides = tuple[Side, Side, Side, Side]


@dataclass(frozen=True)
class Lettering:
    """How texts are set; what is not given is chosen.

    Attributes:
        style: a pairing of faces, one of `STYLES`.
        fonts: the user's own font files, tried before the shipped ones.
        colors: names or #rrggbb: of the title, of the other texts, of the button. A colour that does not read on the
            picture gets an underlay; it is never replaced.
        roles: one per text in their order; "auto" for what its text says.
        marks: role by text, from texts such as "@title:-70%".
        align: left, center or right.
        layout: an arrangement, one of `LAYOUTS`.
        boxes: x0, y0, x1, y1 per text, in pixels of the poster or in per cent ("12.5%").
        planner: what places the texts, one of `PLANNERS`; behind llm and cot, a colon and the model's address.
        plan: a plan as JSON (`posterkit.layout.json_form`): the texts stand where it says.
        logo: an image file.
        qr: the words of a QR code.
        logo_at, qr_at: a corner or edge ("bottom-right"), or a box as `parse_box` reads it; the calmest free place
            where not given.
        logo_clear: what stays free around the logo, as a share of its height.
        margin: what texts, logo and code keep free at every edge: pixels, or a per cent of the shorter side.
        visible_mark: a small line in a corner, which says that a model made the poster.
    """

    style: str | None = None
    fonts: tuple[str, ...] = ()
    colors: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    marks: tuple[tuple[str, str], ...] = ()
    align: str | None = None
    layout: str | None = None
    boxes: tuple[BoxSides, ...] = ()
    planner: str | None = None
    plan: str | None = None
    logo: str | None = None
    logo_at: str | None = None
    qr: str | None = None
    qr_at: str | None = None
    logo_clear: float | None = None
    margin: str | None = None
    visible_mark: str | None = None

    def __post_init__(self) -> None:
        for name in ("fonts", "colors", "roles"):
            value = getattr(self, name)
            object.__setattr__(self, name, (str(value),) if isinstance(value, str) else tuple(map(str, value)))
        object.__setattr__(self, "boxes", tuple(tuple(box) for box in self.boxes))
        object.__setattr__(self, "marks", tuple(tuple(mark) for mark in self.marks))

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in fields(self))

    def given(self) -> dict[str, Any]:
        """What is said of it, JSON-able; fonts by their names."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _listed(value) for name, value in found.items() if value}

    @property
    def asks_model(self) -> bool:
        """Whether a language model places the texts."""
        return bool(self.planner) and self.planner.partition(":")[0] in _ASKS

    def faults(self) -> list[str]:
        """What is unknown in it; the fonts, colours and boxes are looked at where texts are set."""
        found = [_unknown("style", self.style, STYLES), _unknown("layout", self.layout, LAYOUTS)]
        found += [_unknown("align", self.align, ALIGNS)]
        found += [_unknown("role", role, (*ROLES, AUTO)) for role in self.roles]
        found += [planner_fault(self.planner)] if self.planner else []
        for name in ("logo_at", "qr_at"):
            if not getattr(self, name):
                continue
            if not getattr(self, name[:-3]):
                found.append(f"{name} says where it stands, but there is no {name[:-3]}")
            elif not is_place(getattr(self, name)):
                found.append(f"unknown {name} {getattr(self, name)!r}; use {', '.join(PLACES)}, or x0,y0,x1,y1")
        empty = [name for name in ("logo", "qr") if not (getattr(self, name) or "").strip()]
        found += [f"{name} is empty; leave it out, or say what stands there" for name in empty
                  if getattr(self, name) is not None]  # fmt: skip
        placing = [name for name in ("boxes", "layout", "plan", "planner") if getattr(self, name)]
        if len(placing) > 1:
            found.append(f"{placing[0]} says where the texts stand, and so does {placing[1]}; give one of them")
        return [fault for fault in found if fault]

    def roles_of(self, texts: Sequence[str]) -> list[str]:
        """A role, or "auto", for each text; ValueError where there are roles, and not one per text."""
        if self.roles and len(self.roles) != len(texts):
            raise ValueError(
                f"{len(self.roles)} roles for {len(texts)} texts ({_shown(texts)}); give one per text, auto where it "
                "does not matter, or mark a text itself: @title:..."
            )
        marks = dict(self.marks)
        return [marks.get(text, role) for text, role in zip(texts, self.roles or (AUTO,) * len(texts), strict=True)]

    def boxes_of(self, texts: Sequence[str], size: tuple[int, int]) -> list[tuple[float, ...]] | None:
        """The boxes in pixels on a poster of `size`; ValueError where there are some, and not one per text."""
        if not self.boxes:
            return None
        if len(self.boxes) != len(texts):
            raise ValueError(
                f"{len(self.boxes)} boxes for {len(texts)} texts ({_shown(texts)}); give one box per text"
            )
        return [box_pixels(box, size) for box in self.boxes]


def is_margin(value: object) -> bool:
    """Whether a value is a margin: pixels, or a per cent of the shorter side up to 25."""
    if not _is_side(value):
        return False
    return not (isinstance(value, str) and value.strip().endswith("%")) or _pixels(value, 100) <= 25


def margin_pixels(margin: Side | None, size: tuple[int, int]) -> float:
    """A margin in pixels of a poster of `size`."""
    return 0.0 if margin is None else _pixels(margin, min(size))


def box_pixels(box: BoxSides, size: tuple[int, int]) -> tuple[float, ...]:
    """A box in pixels of a poster of `size`."""
    return tuple(_pixels(side, size[i % 2]) for i, side in enumerate(box))


def planner_fault(spec: str) -> str | None:
    """Why a planner's name says no planner; no model is opened."""
    name, _, model = spec.partition(":")
    if fault := _unknown("planner", name, PLANNERS):
        return fault
    return f"planner {name} takes no model; {' and '.join(_ASKS)} do" if model and name not in _ASKS else None


def unmarked(texts: Iterable[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Texts without their marks, and the role of each marked one.

    "@title:-70%" is the text "-70%" as the title; "@text:..." is a text whose role is found.
    """
    plain, marks = [], []
    for text in texts:
        if match := _MARK.match(text):
            text = text[match.end() :].strip()
            if match[1].lower() != "text":
                marks.append((text, match[1].lower()))
        plain.append(text)
    return plain, marks


def mark_faults(texts: Iterable[str]) -> list[str]:
    """What looks like a mark of `unmarked` that is misspelt, such as "@titel:"; other words behind an @ are words."""
    faults = []
    for text in texts:
        word = match[1] if (match := _ALMOST.match(text)) else ""
        if near := difflib.get_close_matches(word.lower(), (*ROLES, "text"), 1, 0.75):
            faults.append(f"unknown mark '@{word}:' (did you mean '@{near[0]}:'?)")
    return faults


def is_marked(line: str) -> bool:
    """Whether a line begins with a mark of `unmarked`."""
    return _MARK.match(line) is not None


def parse_box(text: str) -> BoxSides:
    """A box as typed: x0,y0,x1,y1 in pixels or per cent; ValueError where it is none."""
    sides = [_SIDE.fullmatch(part) for part in text.split(",")]
    if len(sides) != 4 or not all(sides):
        raise ValueError(
            f"box {text!r} is not x0,y0,x1,y1 in pixels or per cent, such as 40,60,400,200 or 5%,5%,60%,40%"
        )
    return tuple(side[1] + "%" if side[2] else float(side[1]) for side in sides if side)  # type: ignore[return-value]


def is_place(value: object) -> bool:
    """Whether a logo or code may stand there: an anchor's name, or a box."""
    try:
        return isinstance(value, str) and (value in PLACES or bool(parse_box(value)))
    except ValueError:
        return False


def _is_side(value: object) -> bool:
    if isinstance(value, str):
        return _SIDE.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _pixels(side: Side, full: int) -> float:
    if not isinstance(side, str):
        return float(side)
    match = _SIDE.fullmatch(side)
    if match is None:
        raise ValueError(f"{side!r} is no side of a box; use pixels, or a per cent such as 12.5%")
    return float(match[1]) * full / 100 if match[2] else float(match[1])


def _unknown(what: str, word: str | None, known: Sequence[str]) -> str | None:
    if word is None or word in known:
        return None
    near = difflib.get_close_matches(word, known, 1)
    return f"unknown {what} {word!r}" + (f" (did you mean {near[0]!r}?)" if near else f"; use {', '.join(known)}")


def _shown(texts: Sequence[str]) -> str:
    return ", ".join(repr(text if len(text) <= 24 else text[:21] + "...") for text in texts[:6])


def _listed(value: object) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


def _are(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) <= _MOST and all(map(test, value))


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _one_of(words: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return lambda value: value in words, f"one of {', '.join(words)}"


_MOST = 1000  # texts, fonts or colours
# what a manifest or a record may say of it: a test of the value, and what is accepted
LETTERING_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "style": _one_of(STYLES),
    "fonts": (_are(_is_word), "a list of font files or families"),
    "colors": (_are(_is_word), "a list of colour names or #rrggbb"),
    "roles": (_are(lambda role: role in (*ROLES, AUTO)), f"a list of {', '.join(ROLES)} or {AUTO}, one per text"),
    "align": _one_of(ALIGNS),
    "layout": _one_of(LAYOUTS),
    "planner": (_is_word, f"one of {', '.join(PLANNERS)}"),
    "plan": (_is_word, "a plan's file"),
    "logo": (_is_word, "an image file"),
    "logo_at": (is_place, f"one of {', '.join(PLACES)}, or x0,y0,x1,y1"),
    "logo_clear": (
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 2,
        "a share of the logo's height above 0 and at most 2",
    ),
    "margin": (is_margin, "pixels, or a per cent of the shorter side such as 6%, at most 25%"),
    "qr": (_is_word, "the words of a QR code"),
    "visible_mark": (_is_word, "a few words"),
    "qr_at": (is_place, f"one of {', '.join(PLACES)}, or x0,y0,x1,y1"),
    "boxes": (
        _are(lambda box: isinstance(box, list) and len(box) == 4 and all(map(_is_side, box))),
        'a list of [x0, y0, x1, y1], one per text, in pixels or per cent ("12.5%")',
    ),
}
