"""What a synthetic poster shows, as a few labels, and the short captions that mini is trained on.

A short caption is `[colour] subject, details, setting, place, background, style, mood` without punctuation, one token
a word: "red sailboat black waves beige sun left navy background flat calm". Anything but the subject may be missing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Any

from posterkit.prompts import COLORS
from posterkit.prompts.scene import Detail, Scene
from posterkit.synthetic.captions import MOODS
from posterkit.synthetic.food import Food
from posterkit.synthetic.layouts import Rect
from posterkit.synthetic.mascots import Mascot
from posterkit.synthetic.palettes import color_name
from posterkit.synthetic.products import Product

PLACES = ("center", "left", "right", "top", "bottom")
_ORBS = ("sun", "striped sun", "moon", "crescent moon")
_NOUNS = {"vase": "bouquet", "orange": "fruit"}  # where the drawing's own name would mislead
SUBJECTS: dict[str, tuple[str, ...]] = {
    "sky": _ORBS, "mountains": ("mountains",), "city": ("city",), "sea": ("sailboat", "lighthouse", "whale"),
    "space": ("planet", "ringed planet", "rocket"), "geometric": ("tiles", "shapes", "arches", "circles"),
    "aurora": ("lights", "ribbons"), "music": ("record", "bars", "rings", "guitar"),
    "botanical": ("bouquet", "branch", "flower", "wreath"), "mascot": Mascot.kinds,
    "product": tuple(dict.fromkeys(Product.kinds)), "food": tuple(_NOUNS.get(kind, kind) for kind in Food.kinds),
}  # fmt: skip
STYLES = {"flat": "flat", "gradient": "gradient", "outlined": "outlined", "dotted": "halftone"}
PANELS = {"card": "frame", "arch": "window", "circle": "porthole", "inset": "border"}
_DETAILS = (
    "hills", "clouds", "snow", "trees", "windows", "waves", "stars", "moons", "disc", "label", "sleeve", "leaves",
    "vase", "belly", "rays", "arch", "floor", "confetti", "plinth",
)  # fmt: skip
PARTS = ("color", "details", "setting", "place", "background", "style", "mood")
# how often a part of a caption is said in training
SAID = {"color": 0.9, "details": 0.75, "setting": 0.8, "place": 0.8, "background": 0.92, "style": 0.7, "mood": 0.25}


@dataclass(frozen=True)
class Contents:
    """What a picture shows.

    A detail is a colour's name or None, and a noun; one with no noun is one more colour of the subject's.
    """

    theme: str  # the art's family, a key of `SUBJECTS`
    subject: str  # one of the theme's
    color: str | None  # name of the subject's main colour; None where it has none (geometry, lights)
    details: tuple[Detail, ...]  # of what belongs to the subject or the scene
    setting: tuple[Detail, ...]  # of what stands behind the subject, and of the panel with its ground's colour
    place: str  # one of `PLACES`
    background: str  # colour name of the border
    style: str  # one word, as the mood
    mood: str

    @property
    def labels(self) -> dict[str, str | None]:
        """What is one word or two: everything but details and setting."""
        names = ("theme", "subject", "color", "place", "background", "style", "mood")
        return {name: getattr(self, name) for name in names}


def read_contents(poster: Any, area: Rect, size: tuple[int, int], background: str) -> Contents:
    """The labels of a poster.

    Args:
        poster: a `SyntheticPoster`.
        area: the motif's area, or its panel's, in pixels of a canvas of that `size`.
        background: colour name of the rendering's border.
    """
    slots = poster.plan["slots"]
    subject, color = _subject(poster.theme, slots)
    details = [(tone, noun) for tone, noun in _details(poster.theme, slots) if noun or tone != color]
    setting: list[Detail] = []
    if poster.backdrop and (kind := poster.backdrop["slots"]["kind"]) != "plain":
        setting.append((None if kind == "confetti" else poster.backdrop["slots"]["color"], kind))
    if poster.panel:
        setting.append((color_name(poster.inner.bg), PANELS[poster.panel]))
    return Contents(
        poster.theme, subject, color, tuple(details), tuple(setting), place_word(area, size), background,
        STYLES[poster.style], poster.mood,
    )  # fmt: skip


def place_word(area: Rect, size: tuple[int, int]) -> str:
    """Where the middle of an area lies on a canvas of that size: one of `PLACES`."""
    u, v = (area[0] + area[2]) / 2 / size[0] - 0.5, (area[1] + area[3]) / 2 / size[1] - 0.5
    if abs(u) > 0.07:
        return "left" if u < 0 else "right"
    if abs(v) > 0.05:
        return "top" if v < 0 else "bottom"
    return "center"


def short_caption(contents: Contents, leave_out: Collection[str] = ()) -> str:
    """A caption in mini's language.

    Args:
        leave_out: names of `PARTS` that are not said; "colors" leaves out every colour but the background's.
    """
    said: dict[str, Any] = {part: None if part in leave_out else getattr(contents, part) for part in PARTS}
    details = [*(said["details"] or ()), *(said["setting"] or ())]
    if "colors" in leave_out:
        said["color"], details = None, [(None, noun) for _, noun in details]
    kept = {name: said[name] for name in ("color", "place", "background", "style", "mood")}
    return Scene(contents.subject, details=tuple(details), **kept).caption()


def draw_left_out(rng: Random) -> set[str]:
    """The parts that a caption of the training split leaves out."""
    return {part for part in PARTS if rng.random() >= SAID[part]}


def short_vocabulary() -> list[str]:
    """Every word that a short caption can contain, sorted."""
    subjects = [word for names in SUBJECTS.values() for name in names for word in name.split()]
    extras = [extra for extra in Mascot.extras if extra != "none"]
    return sorted({*subjects, *extras, *_DETAILS, *COLORS, *PLACES, *STYLES.values(), *PANELS.values(), *MOODS,
                   "background"})  # fmt: skip


def _subject(theme: str, slots: dict[str, Any]) -> tuple[str, str | None]:
    """The subject and its colour, if it has one."""
    if theme == "sky":
        return slots["orb"][1], slots["orb"][0]
    if theme in ("mountains", "city"):
        return theme, slots[theme]
    if theme in ("sea", "space"):
        return slots["thing"][1], slots["thing"][0]
    kind: str = _NOUNS.get(slots["kind"]) or slots["kind"]
    if theme == "botanical":
        return kind, slots["green" if kind == "branch" else "petal"]
    if theme == "music" and kind in ("bars", "rings"):
        return kind, slots["colors"][0]
    return kind, slots.get("body") or slots.get("main")


def _details(theme: str, slots: dict[str, Any]) -> list[Detail]:
    """What else a theme draws: colours and nouns."""
    if theme == "food":
        return [(slots["second"], "")]
    if theme in ("geometric", "aurora"):
        core: list[Detail] = [(None, "disc")] if slots.get("core") else []
        return [*((color, "") for color in slots["colors"]), *core]
    if theme == "botanical":
        vase = [(slots["vase"], "vase")] if slots["kind"] == "vase" else []
        return [*([] if slots["kind"] == "branch" else [(slots["green"], "leaves")]), *vase]
    if theme == "music":
        if slots["kind"] == "record":
            return [(slots["label"], "label"), *([(None, "sleeve")] if slots["extra"] else [])]
        return [(color, "") for color in slots["colors"][1:]] if slots["kind"] == "bars" else []
    if theme == "product":
        return [(slots["label"], "label")]
    if theme == "mascot":
        return [slots["extra"]] * bool(slots["extra"]) + [(slots["belly"], "belly")] * bool(slots["belly"])
    if theme == "space":
        return [(slots["stars"], "stars"), *([(slots["moon_color"], "moons")] if slots["moons"] else [])]
    found = [] if theme == "sky" else [slots["orb"]]
    if theme == "sky":
        found.append((slots["ground"], "hills"))
    nouns = {"clouds": "clouds", "waves": "waves", "trees": "trees", "windows": "windows"}
    found += [(slots[slot], noun) for slot, noun in nouns.items() if slots.get(slot)]
    return found + ([(None, "snow")] if slots.get("snow") else [])
