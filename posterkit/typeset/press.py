"""Inks of a press by its ICC profile: pictures and colours in CMYK, and how they look on its paper."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageCms, PngImagePlugin

from posterkit.typeset.export_options import ExportOptions
from posterkit.typeset.xmp import CHUNK

if TYPE_CHECKING:
    from posterkit.typeset.placed_text import Composition

Color = tuple[int, int, int]
_DARK, _GREY = 70, 26  # of 255: type as dark as this, whose channels differ no more, is printed in black ink alone
_MOST = 16 * 2**20  # bytes of a profile
_HEADER = 128  # bytes of a profile before its tables


class Press:
    """One press on one paper.

    Attributes:
        data: the profile itself.
        name: as it describes itself.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        profile = ImageCms.getOpenProfile(io.BytesIO(data))
        self.name = ImageCms.getProfileDescription(profile).strip() or "CMYK"
        srgb = ImageCms.createProfile("sRGB")
        relative, absolute = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Intent.ABSOLUTE_COLORIMETRIC
        blacks = ImageCms.Flags.BLACKPOINTCOMPENSATION
        self._inks = ImageCms.buildTransform(srgb, profile, "RGB", "CMYK", relative, blacks)
        self._paper = ImageCms.buildTransform(profile, srgb, "CMYK", "RGB", absolute)

    def picture(self, image: Image.Image) -> Image.Image:
        """An RGB picture in inks, mode CMYK, 255 = full; relative colorimetric with black point compensation."""
        converted = ImageCms.applyTransform(image, self._inks)
        assert converted is not None
        return converted

    def color(self, color: Color) -> tuple[float, ...]:
        """A colour of type or of a flat shape in inks, 0 to 1; dark greys in black alone, so that no ink strays."""
        if max(color) <= _DARK and max(color) - min(color) <= _GREY:
            return 0.0, 0.0, 0.0, 1.0 - 0.5 * sum(color) / (3 * 255)
        inks = self.picture(Image.new("RGB", (1, 1), color)).getpixel((0, 0))
        return tuple(round(ink / 255, 4) for ink in inks)  # type: ignore[union-attr]

    def proof(self, inks: Image.Image) -> Image.Image:
        """How inks look on the press's paper: mode RGB, absolute colorimetric, so that its white is the paper's."""
        seen = ImageCms.applyTransform(inks, self._paper)
        assert seen is not None
        return seen


@lru_cache(maxsize=4)
def _opened(path: Path, changed: float) -> Press:
    return Press(path.read_bytes())


def open_press(path: str | Path) -> Press:
    """The press of an ICC profile.

    Raises:
        ValueError: no such file, no profile, or one of something else than a CMYK press.
    """
    file = Path(path)
    where = "ask the printer for the profile of the press and paper, such as PSOcoated_v3.icc"
    if not file.is_file():
        raise ValueError(f"{file}: there is no such ICC profile; {where}")
    with file.open("rb") as stream:
        head = stream.read(_HEADER)
    if len(head) < _HEADER or head[36:40] != b"acsp" or file.stat().st_size > _MOST:
        raise ValueError(f"{file}: is no ICC profile; {where}")
    kind, space = head[12:16], head[16:20]
    if kind != b"prtr" or space != b"CMYK":
        found = f"{space.decode('ascii', 'replace').strip()} ({kind.decode('ascii', 'replace').strip()})"
        raise ValueError(f"{file}: is a profile of {found}, not of a CMYK press; {where}")
    try:
        return _opened(file, file.stat().st_mtime)
    except (ImageCms.PyCMSError, OSError) as error:
        raise ValueError(f"{file}: the profile is damaged ({error}); {where}") from None


def to_proof(poster: Composition, options: ExportOptions) -> bytes:
    """A PNG of what the PDF of the same profile looks like on paper: its picture and its type in the press's inks."""
    from posterkit.typeset.raster import draw_over

    assert options.profile is not None
    press = open_press(options.profile)
    inks = draw_over(
        press.picture(poster.background), poster, lambda rgb: tuple(round(255 * ink) for ink in press.color(rgb))
    )
    for one in poster.graphics:
        if one.picture is not None:
            inner = one.inner.pixels(poster.image.size)
            inks.paste(press.picture(poster.image.crop(inner)), inner[:2])
    stream = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    if options.notes.record:
        info.add_itxt(CHUNK, options.notes.record)
    press.proof(inks).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()
