"""Logos and QR codes: placed to the pixel, with what must stay free around them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from posterkit.image_io import open_image, read_cutout, read_image
from posterkit.layout import Box
from posterkit.layout.saliency import saliency
from posterkit.layout.types import margin_of
from posterkit.tasks import ANCHORS
from posterkit.typeset.contrast import luminance

Color = tuple[int, int, int]
QUIET = 4  # modules that stay light around a QR code (ISO/IEC 18004)
_DARK, _LIGHT = (0, 0, 0), (255, 255, 255)
_LEAST = 2  # pixels of a module, so that a camera can tell it
_QR_SIDE = 0.19  # of the poster's shorter side, where nobody says a place
_LOGO = (0.26, 0.11)  # of the poster's shorter side: width and height that a logo fits into
_CLEAR = 0.25  # of a logo's height that stays free around it
_READS = 1.8  # contrast between a logo and what lies behind it, below which it gets a panel
_PREFERRED = ("bottom-right", "bottom-left", "top-right", "top-left", "bottom", "top")
_PANELS = ((250, 250, 248), (18, 18, 20))


@dataclass(frozen=True)
class GraphicWish:
    """A logo's file or a QR code's words, and where it stands.

    Attributes:
        at: a corner or edge, one of `posterkit.tasks.ANCHORS`, or a box in pixels that it fits into; None for the
            calmest free place.
        clear: of a logo's height that stays free around it.
    """

    role: Literal["logo", "qr"]
    source: str
    at: str | tuple[float, ...] | None = None
    clear: float = _CLEAR


@dataclass(frozen=True)
class PlacedGraphic:
    """A logo or a QR code on a poster, in whole pixels.

    Attributes:
        says: a QR code's words, or a logo's file name.
        box: all of it, with its panel or quiet zone.
        inner: the logo itself, or the code's modules.
        picture: a logo, RGBA, of the inner box's size; None for a code.
        modules: a code's rows, true where it is dark; none for a logo.
        panel: the colour of the box under it; None where a logo lies on the picture.
        clear: pixels around the box that nothing else enters.
    """

    role: Literal["logo", "qr"]
    says: str
    box: Box
    inner: Box
    picture: Image.Image | None = field(default=None, repr=False)
    modules: tuple[tuple[bool, ...], ...] = field(default=(), repr=False)
    panel: Color | None = None
    clear: float = 0.0

    @property
    def area(self) -> Box:
        """What nothing else may enter."""
        return self.box.grown(self.clear)

    @property
    def bars(self) -> list[Box]:
        """The dark modules of a code, those beside each other as one rectangle."""
        side = self.inner.width / len(self.modules) if self.modules else 0.0
        found = []
        for y, row in enumerate(self.modules):
            x = 0
            while x < len(row):
                end = x
                while end < len(row) and row[end]:
                    end += 1
                if end > x:
                    top = self.inner.y0 + y * side
                    found.append(Box(self.inner.x0 + x * side, top, self.inner.x0 + end * side, top + side))
                x = end + 1
        return found

    def moved(self, x: float, y: float) -> PlacedGraphic:
        return replace(self, box=self.box.moved(x, y), inner=self.inner.moved(x, y))

    def image(self) -> Image.Image:
        """All of it, RGBA, of the box's size."""
        size = round(self.box.width), round(self.box.height)
        whole = Image.new("RGBA", size, (*self.panel, 255) if self.panel else (0, 0, 0, 0))
        at = round(self.inner.x0 - self.box.x0), round(self.inner.y0 - self.box.y0)
        if self.picture is not None:
            whole.alpha_composite(self.picture, at)
        for bar in (bar.moved(-self.box.x0, -self.box.y0) for bar in self.bars):
            whole.paste((*_DARK, 255), bar.pixels(size))
        return whole


def check_wishes(wishes: Sequence[GraphicWish], size: tuple[int, int] | None) -> None:
    """Refuse what cannot be placed before anything is drawn.

    Raises:
        ValueError: too many words for a QR code, a logo that cannot be read, an unknown place, or one off the poster.
    """
    for wish in wishes:
        if wish.role == "qr":
            qr_modules(wish.source)
        else:
            with open_image(wish.source):
                pass
        if isinstance(wish.at, str) and wish.at not in ANCHORS:
            raise ValueError(f"place {wish.at!r} is unknown; use {', '.join(ANCHORS)}, or x0,y0,x1,y1")
        if size is not None and wish.at is not None and not isinstance(wish.at, str):
            _inside(wish, size)
            _sized(wish, size)


@lru_cache(maxsize=32)
def qr_modules(words: str) -> tuple[tuple[bool, ...], ...]:
    """A QR code's rows, true where it is dark, at error correction M or better.

    Raises:
        ValueError: no words, too many, or segno is not installed.
    """
    try:
        import segno
    except ImportError:
        raise ValueError("a QR code needs segno; pip install posterkit[print]") from None
    if not words.strip():
        raise ValueError("a QR code needs words, such as an address")
    try:
        code = segno.make_qr(words, error="m")
    except segno.DataOverflowError:
        raise ValueError(f"{len(words)} characters are too many for a QR code; shorten the address") from None
    return tuple(tuple(bool(module) for module in row) for row in code.matrix)


def spots(wish: GraphicWish, picture: Image.Image, safe: float, taken: Sequence[Box] = ()) -> Iterator[PlacedGraphic]:
    """Where a graphic may stand on an RGB picture, best first; `safe` pixels from every edge stay free."""
    size = picture.size
    if wish.at is not None and not isinstance(wish.at, str):
        yield _placed(wish, picture, _inside(wish, size))
        return
    names = (wish.at,) if wish.at else _PREFERRED
    seen = saliency(picture)
    found = []
    for order, name in enumerate(names):
        box = _at(name, _sized(wish, size), size, max(safe, margin_of(*size)))
        share = [side / whole for side, whole in zip(box, (*size, *size), strict=True)]
        h, w = seen.shape
        x0, y0 = int(share[0] * w), int(share[1] * h)
        calm = seen[y0 : max(y0 + 1, round(share[3] * h)), x0 : max(x0 + 1, round(share[2] * w))]
        found.append((float(calm.mean()) + 0.02 * order, box))
    for _, box in sorted(found):
        yield _placed(wish, picture, box)


def _inside(wish: GraphicWish, size: tuple[int, int]) -> Box:
    assert wish.at is not None and not isinstance(wish.at, str)
    box = Box(*wish.at)
    if min(box.width, box.height) < 8 or min(box.x0, box.y0) < 0 or box.x1 > size[0] or box.y1 > size[1]:
        name = "QR code" if wish.role == "qr" else wish.role
        raise ValueError(
            f"the {name}'s box {tuple(round(side) for side in wish.at)} is not x0,y0,x1,y1 in the "
            f"{size[0]}x{size[1]} poster"
        )
    return box


def _sized(wish: GraphicWish, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a graphic with its panel; a code's is a whole number of pixels a module."""
    box = None if wish.at is None or isinstance(wish.at, str) else Box(*wish.at)
    if wish.role == "qr":
        modules = len(qr_modules(wish.source)) + 2 * QUIET
        side = min(box.width, box.height) if box else _QR_SIDE * min(size)
        each = int(side // modules) if box else max(_LEAST, round(side / modules))
        if each < _LEAST or each * modules > min(size):
            raise ValueError(
                f"the QR code has {modules} modules with its quiet zone and needs {_LEAST * modules} pixels a side; "
                "give it a larger box, fewer characters, or a larger poster"
            )
        return each * modules, each * modules
    width, height = logo(wish.source).size
    room = (box.width, box.height) if box else tuple(part * min(size) for part in _LOGO)
    scale = min(room[0] / width, room[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _at(name: str, own: tuple[int, int], size: tuple[int, int], margin: float) -> Box:
    x, y = (round(margin + part * (whole - 2 * margin - side))
            for part, whole, side in zip(ANCHORS[name], size, own, strict=True))  # fmt: skip
    return Box(float(x), float(y), float(x + own[0]), float(y + own[1]))


def _placed(wish: GraphicWish, picture: Image.Image, room: Box) -> PlacedGraphic:
    """The graphic in the middle of its room."""
    width, height = _sized(wish, picture.size)
    x, y = round((room.x0 + room.x1 - width) / 2), round((room.y0 + room.y1 - height) / 2)
    box = Box(float(x), float(y), float(x + width), float(y + height))
    if wish.role == "qr":
        modules = qr_modules(wish.source)
        quiet = QUIET * width / (len(modules) + 2 * QUIET)
        return PlacedGraphic("qr", wish.source, box, box.grown(-quiet), None, modules, _LIGHT, clear=quiet)
    own = logo(wish.source).resize((width, height), Image.Resampling.LANCZOS)
    panel = _panel(own, picture.crop(box.pixels(picture.size)))
    if panel:  # which lies in the logo's room, and the logo in it
        pad = round(_CLEAR * height / (1 + 2 * _CLEAR))
        smaller = round(width * (height - 2 * pad) / height), height - 2 * pad
        own, inner = own.resize(smaller, Image.Resampling.LANCZOS), box.grown(-pad)
        inner = inner._replace(x0=inner.x1 - smaller[0]) if room.x0 + room.x1 > picture.width else inner
        inner = Box(inner.x0, inner.y0, inner.x0 + smaller[0], inner.y1)
        outer = inner.grown(pad)
        clear = max(float(pad), wish.clear * inner.height - pad)
        return PlacedGraphic("logo", Path(wish.source).name, outer, inner, own, (), panel, clear)
    return PlacedGraphic("logo", Path(wish.source).name, box, box, own, (), None, wish.clear * height)


def logo(source: str) -> Image.Image:
    """A logo, RGBA, cropped to what is seen of it; ValueError where it cannot be read."""
    file = Path(source)
    return _read_logo(source, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=8)
def _read_logo(source: str, changed: int) -> Image.Image:
    image = read_cutout(source) or read_image(source).convert("RGBA")
    seen = image.getchannel("A").point([0] * 8 + [255] * 248).getbbox()
    if seen is None:
        raise ValueError(f"{source}: a logo of which nothing is seen; it is transparent everywhere")
    return image.crop(seen)


def _panel(own: Image.Image, ground: Image.Image) -> Color | None:
    """The colour of the panel that a logo needs to be seen; None where it reads on the picture as it is."""
    pixels = np.asarray(own)
    opaque = pixels[..., 3] > pixels[..., 3].max() // 2  # of a faint logo, what is seen most
    if opaque.all():  # a picture with a ground of its own
        return None
    ink = luminance(pixels[..., :3][opaque])
    behind = luminance(np.asarray(ground.convert("RGB").resize(own.size))[opaque])

    def contrast(back: np.ndarray) -> float:
        high, low = np.maximum(ink, back), np.minimum(ink, back)
        return float(np.percentile((high + 0.05) / (low + 0.05), 10))

    if contrast(behind) >= _READS:
        return None
    return max(_PANELS, key=lambda color: contrast(luminance(np.asarray([color], np.uint8))))


def draw_graphics(canvas: Image.Image, graphics: Sequence[PlacedGraphic]) -> None:
    """Paste graphics onto an RGB canvas."""
    for one in graphics:
        whole = one.image()
        canvas.paste(whole, (round(one.box.x0), round(one.box.y0)), whole)
