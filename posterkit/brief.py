"""PosterBrief: what the poster must say and show."""

from __future__ import annotations

from dataclasses import dataclass, field

# the colour words that briefs, captions and measures share: name -> sRGB
COLORS: dict[str, tuple[int, int, int]] = {
    "black": (22, 22, 26), "white": (246, 244, 240), "gray": (136, 138, 142),
    "red": (204, 44, 44), "orange": (238, 130, 42), "yellow": (246, 206, 64), "brown": (120, 76, 46),
    "green": (58, 142, 74), "teal": (32, 140, 144), "blue": (44, 98, 196), "navy": (26, 38, 86),
    "purple": (116, 62, 158), "pink": (238, 150, 182), "beige": (228, 208, 172),
}  # fmt: skip


@dataclass
class PosterBrief:
    """What the poster must say and show."""

    prompt: str = ""
    texts: list[str] = field(default_factory=list)
    colors: list[str] = field(default_factory=list)
    theme: str | None = None
    style: str | None = None
    mood: list[str] = field(default_factory=list)
