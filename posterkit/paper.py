"""Sizes of posters in print and on screens: paper names, millimetres, inches; bleed and safe area."""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict, dataclass
from typing import Any

from posterkit.sizing import Size

PAPERS: dict[str, tuple[float, float]] = {  # millimetres, upright
    "a0": (841, 1189), "a1": (594, 841), "a2": (420, 594), "a3": (297, 420), "a4": (210, 297), "a5": (148, 210),
    "a6": (105, 148),
    "b0": (1000, 1414), "b1": (707, 1000), "b2": (500, 707), "b3": (353, 500), "b4": (250, 353), "b5": (176, 250),
    "b6": (125, 176),
    "letter": (215.9, 279.4), "legal": (215.9, 355.6), "tabloid": (279.4, 431.8), "arch-b": (304.8, 457.2),
    "arch-c": (457.2, 609.6), "arch-d": (609.6, 914.4), "one-sheet": (685.8, 1016),
}  # fmt: skip
SCREENS: dict[str, Size] = {  # pixels
    "instagram-square": Size(1080, 1080), "instagram-portrait": Size(1080, 1350), "instagram-story": Size(1080, 1920),
    "facebook-post": Size(1200, 630), "facebook-event": Size(1920, 1005), "x-post": Size(1600, 900),
    "linkedin-post": Size(1200, 627), "pinterest-pin": Size(1000, 1500), "youtube-thumbnail": Size(1280, 720),
    "full-hd": Size(1080, 1920),
}  # fmt: skip
INCH = 25.4  # millimetres
DPI = (30, 2400)  # pixels an inch that are accepted
_PRINT, _LARGE = 300, 150  # pixels an inch of sheets up to A3, and of larger ones, which are seen from further away
_A3 = 1.02 * 297 * 420  # square millimetres
_UNITS = {"mm": 1.0, "cm": 10.0, "in": INCH, '"': INCH}
_NUMBER = r"(\d{1,5}(?:\.\d{1,4})?)"
_SIDES = re.compile(rf'{_NUMBER}\s*x\s*{_NUMBER}\s*(mm|cm|in|"|px)?')
_LENGTH = re.compile(rf'{_NUMBER}\s*(mm|cm|in|")?')
_MOST_EDGE = 50.0  # millimetres of bleed or of safe area


@dataclass(frozen=True)
class Sheet:
    """How a poster is printed and cut. Its picture reaches beyond the cut edge by the bleed."""

    dpi: int  # pixels an inch
    bleed: float = 0.0  # millimetres of picture beyond the cut edge, on each side
    safe: float = 0.0  # millimetres inside the cut edge that texts, logos and codes leave free

    @property
    def bleed_pixels(self) -> int:
        return round(self.bleed * self.dpi / INCH)

    @property
    def safe_pixels(self) -> int:
        return round(self.safe * self.dpi / INCH)

    def whole(self, trim: Size) -> Size:
        """The size in pixels of the picture of a poster that is `trim` once it is cut."""
        return Size(trim.width + 2 * self.bleed_pixels, trim.height + 2 * self.bleed_pixels)

    def trim(self, whole: tuple[int, int]) -> Size:
        """The size in pixels of a poster once it is cut; ValueError where nothing is left of it."""
        size = Size(whole[0] - 2 * self.bleed_pixels, whole[1] - 2 * self.bleed_pixels)
        if min(size) - 2 * self.safe_pixels < 16:
            raise ValueError(
                f"{self.bleed:g} mm of bleed and {self.safe:g} mm of safe area leave nothing of a picture of "
                f"{whole[0]}x{whole[1]} at {self.dpi} dpi"
            )
        return size

    def given(self) -> dict[str, Any]:
        """JSON-able; `sheet_from` reads it."""
        return asdict(self)


def sheet_from(said: object) -> Sheet:
    """A sheet as records and manifests have it: {"dpi": 300, "bleed": 3, "safe": 5}; ValueError where it is none."""
    if not isinstance(said, dict) or set(said) - {"dpi", "bleed", "safe"}:
        raise ValueError('a sheet is {"dpi": 300, "bleed": 3, "safe": 5}, lengths in millimetres')
    dpi = said.get("dpi", _PRINT)
    if not isinstance(dpi, int) or isinstance(dpi, bool) or not DPI[0] <= dpi <= DPI[1]:
        raise ValueError(f"dpi must be a whole number from {DPI[0]} to {DPI[1]}, found {dpi!r}")
    return Sheet(dpi, *(parse_length(str(said.get(name, 0.0))) for name in ("bleed", "safe")))


def parse_length(text: str) -> float:
    """Millimetres of a bleed or a safe area: "3", "3mm", "0.3cm" or "0.125in"; ValueError where it is none."""
    match = _LENGTH.fullmatch(text.strip().lower())
    length = float(match[1]) * _UNITS[match[2] or "mm"] if match else None
    if length is None or length > _MOST_EDGE:
        raise ValueError(f"{text!r} is no length; use 3mm, 0.3cm or 0.125in, at most {_MOST_EDGE:g} mm")
    return length


def parse_size(text: str, dpi: int | None = None) -> tuple[Size, int | None]:
    """A size by name or measure.

    Args:
        text: a paper ("a3", "letter", "b2-landscape"), a screen ("instagram-story"), millimetres, centimetres or
            inches ("297x420mm", "24x36in"), or pixels ("1080x1920").
        dpi: pixels an inch of paper; None takes 300 up to A3 and 150 for larger sheets.

    Returns:
        The size in pixels, and the pixels an inch; of a size in pixels `dpi` as it is.

    Raises:
        ValueError: no such size.
    """
    word = text.strip().lower().replace("×", "x").replace("_", "-")
    name, turned = word.removesuffix("-landscape"), word.endswith("-landscape")
    measured = _SIDES.fullmatch(word)
    if name in SCREENS or (measured and measured[3] in (None, "px")):
        sides = SCREENS[name] if name in SCREENS else (float(measured[1]), float(measured[2]))  # type: ignore[index]
        size = Size(*(round(side) for side in sides))
        return (Size(max(size), min(size)) if turned else size), dpi
    if measured:
        paper = tuple(float(measured[i]) * _UNITS[measured[3]] for i in (1, 2))
    elif name in PAPERS:
        paper = PAPERS[name][::-1] if turned else PAPERS[name]
    else:
        near = difflib.get_close_matches(name, (*PAPERS, *SCREENS), 1)
        meant = f" (did you mean {near[0]!r}?)" if near else f"; there are {', '.join((*PAPERS, *SCREENS))}"
        raise ValueError(f"unknown size {text!r}{meant}, or 297x420mm, 24x36in, 1080x1920")
    chosen = dpi or (_PRINT if paper[0] * paper[1] <= _A3 else _LARGE)
    return Size(*(round(side * chosen / INCH) for side in paper)), chosen


def sized(
    size: str | None, width: int | None, height: int | None, dpi: int | None, bleed: float | None, safe: float | None
) -> tuple[tuple[int | None, int | None] | None, Sheet | None]:
    """The size of a picture in pixels and its sheet, from what a call or a row says of them; None where it is silent.

    Args:
        size: see `parse_size`; of the poster once it is cut, as are `width` and `height` in pixels.
        bleed, safe: in millimetres.

    Raises:
        ValueError: no such size, two of them, or a bleed around no size.
    """
    if size and (width or height):
        raise ValueError("size says how large the poster is, and so do width and height; give one of them")
    trim = (width, height) if width or height else None
    inch = dpi
    if size:
        trim, inch = parse_size(size, dpi)
    on_paper = size is not None and inch is not None
    if not (bleed or safe or on_paper):
        return trim, None
    if trim is None or None in trim:
        raise ValueError("bleed and safe area need a sheet; give its size, such as a3, or width and height")
    sheet = Sheet(inch or _PRINT, bleed or 0.0, safe or 0.0)
    whole = sheet.whole(Size(*trim))  # type: ignore[arg-type]
    sheet.trim(whole)
    return whole, sheet


def paper_of(size: tuple[int, int], dpi: int) -> str | None:
    """The name of the paper that a picture of this size is at so many pixels an inch, within two pixels."""
    sides = sorted(size)
    for name, paper in PAPERS.items():
        if all(abs(side - mm * dpi / INCH) <= 2 for side, mm in zip(sides, paper, strict=True)):
            return name
    return None
