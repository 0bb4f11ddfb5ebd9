"""A planner's reasoning in tags, which an executor turns into a layout: who reads, what counts, in which order.

<reasoning>
<audience>Neighbours who look for a free evening.</audience>
<hierarchy>title: text 3; subtitle: text 1; body: text 2; cta: text 4</hierarchy>
<order>text 3, text 1, text 2, text 4</order>
<palette>light letters on a dark ground</palette>
<safe>subject: middle-center, bottom-center; logo: top-left</safe>
</reasoning>

It has no coordinates: where things stand is the executor's to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from posterkit.layout.types import Box
from posterkit.lettering import ROLES, Role

ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")
ZONES = tuple(f"{row}-{column}" for row in ROWS for column in COLUMNS)
LONGEST = 4000  # characters that are read
SYSTEM = (
    "You are an art director. You read a brief and say how its poster should be planned, to somebody who places the "
    "elements and has not read it. Answer in these tags alone: <reasoning><audience>who reads it</audience>"
    "<hierarchy>title: text N; subtitle: text N; body: text N; cta: text N</hierarchy><order>text N, text N</order>"
    "<palette>light letters on a dark ground, or dark letters on a light ground</palette><safe>subject: top-left and "
    "the like; logo: top-right and the like, where one is asked for</safe></reasoning>. Name texts by their numbers; "
    "give no coordinates and no sizes."
)
Letters = Literal["light", "dark"]
_TAG = re.compile(r"<(audience|hierarchy|order|palette|safe)>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_TEXT = re.compile(r"\btext\s+(\d{1,3})\b", re.IGNORECASE)
_ZONE = re.compile(rf"\b({'|'.join(ROWS)})[- ]({'|'.join(COLUMNS)})\b", re.IGNORECASE)
# pixels, cells, shares of the canvas, or a box
_COORDINATE = re.compile(
    r"\b\d+(?:\.\d+)?\s*(?:px|pixels?|cells?|%)|\b[xywhlt]0?\s*[=:]\s*\d|\b\d+\s*[x×]\s*\d+\b|[\[(]\s*\d+(?:\s*,\s*\d+){3}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reasoning:
    """What a planner says; what it does not say is empty."""

    audience: str = ""  # for whom the poster is, in words
    roles: tuple[tuple[int, Role], ...] = ()  # role by the text's index
    order: tuple[int, ...] = ()  # indices of texts in reading order
    letters: Letters | None = None  # light or dark
    subject: tuple[str, ...] = ()  # zones of `ZONES` that the subject takes
    logo: str | None = None  # the zone that is kept for a logo

    def __str__(self) -> str:
        by_role = {role: [at for at, own in self.roles if own == role] for role in ROLES}
        hierarchy = "; ".join(f"{role}: {_texts(found)}" for role, found in by_role.items() if found)
        grounds = {"light": "dark", "dark": "light"}
        palette = f"{self.letters} letters on a {grounds[self.letters]} ground" if self.letters else ""
        safe = [f"subject: {', '.join(self.subject)}"] if self.subject else []
        safe += [f"logo: {self.logo}"] if self.logo else []
        parts = {"audience": self.audience, "hierarchy": hierarchy, "order": _texts(self.order), "palette": palette,
                 "safe": "; ".join(safe)}  # fmt: skip
        said = [f"<{tag}>{words}</{tag}>" for tag, words in parts.items() if words]
        return "\n".join(("<reasoning>", *said, "</reasoning>"))


def _texts(indices: list[int] | tuple[int, ...]) -> str:
    return ", ".join(f"text {at + 1}" for at in indices)


def read_reasoning(said: str) -> Reasoning:
    """The reasoning in a model's answer; unknown tags, texts and zones are passed over, later tags count."""
    parts = {tag.lower(): words for tag, words in _TAG.findall(said[:LONGEST])}
    roles: dict[int, Role] = {}
    for role, words in re.findall(rf"\b({'|'.join(ROLES)})\s*:([^;]*)", parts.get("hierarchy", ""), re.IGNORECASE):
        for number in _TEXT.findall(words):
            roles.setdefault(int(number) - 1, cast(Role, role.lower()))
    order = dict.fromkeys(int(number) - 1 for number in _TEXT.findall(parts.get("order", "")))
    letters = re.search(r"\b(light|dark)\s+letters", parts.get("palette", ""), re.IGNORECASE)
    safe = parts.get("safe", "")
    kept = {name.lower(): _zones(words) for name, words in re.findall(r"\b(subject|logo)\s*:([^;]*)", safe, re.I)}
    return Reasoning(
        " ".join(parts.get("audience", "").split()), tuple((at, role) for at, role in roles.items() if at >= 0),
        tuple(at for at in order if at >= 0), cast(Letters, letters[1].lower()) if letters else None,
        kept.get("subject", ()), next(iter(kept.get("logo", ())), None),
    )  # fmt: skip


def _zones(words: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{row}-{column}".lower() for row, column in _ZONE.findall(words)))


def coordinates_in(said: str) -> list[str]:
    """Coordinates that a reasoning gives away; it should give none."""
    return [found[0].strip() for found in _COORDINATE.finditer(said[:LONGEST])]


def zone_box(zone: str, size: tuple[int, int]) -> Box:
    """A ninth of a canvas, in pixels."""
    row, column = zone.split("-")
    y, x = ROWS.index(row), COLUMNS.index(column)
    return Box(x, y, x + 1, y + 1).scaled(size[0] / 3, size[1] / 3)


def zones_of(box: Box, size: tuple[int, int], least: float = 0.25) -> tuple[str, ...]:
    """The zones of which a box covers at least a part, or the one that it covers most of."""
    parts = {zone: box.shared(zone_box(zone, size)) / zone_box(zone, size).area for zone in ZONES}
    found = tuple(zone for zone, part in parts.items() if part >= least)
    return found or (max(parts, key=lambda zone: parts[zone]),)
