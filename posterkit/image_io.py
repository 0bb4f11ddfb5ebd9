"""Files: reads any image safely, from a file or as a Pillow object; writes any file whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from posterkit.messages import error_line
from posterkit.sizing import Size

# formats that Pillow decodes by itself; EPS and PDF would start another program
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "PPM", "JPEG2000", "TGA")
SUFFIXES = frozenset((
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".ppm", ".pgm",
    ".pbm", ".pnm", ".jp2", ".tga", ".heic", ".heif",
))  # fmt: skip
MAX_PIXELS = 100 * 2**20
_TURNED = frozenset((5, 6, 7, 8))  # EXIF orientations that exchange width and height
_ORIENTATION = 0x0112
_UNFINISHED = ".tmp"
_KEPT = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}


def read_image(path: str | Path, *, max_pixels: int = MAX_PIXELS, background: str = "white") -> Image.Image:
    """Read an image file as a designer sees it.

    EXIF orientation is applied, alpha is laid on `background`, CMYK, Lab and wide-gamut RGB go to sRGB by their own
    profile, 16-bit is scaled to 8-bit, and of an animation the first frame is taken with a warning.

    Args:
        path: PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, PPM, JPEG 2000 or TGA.
        max_pixels: refuse larger ones before any pixel is decoded.
        background: the colour behind transparent pixels.

    Returns:
        Mode RGB, uint8 0-255, without the file's metadata.

    Raises:
        ValueError: one line with the file's name: missing, not an image, damaged, or too large.
    """
    return read_image_and_kind(path, max_pixels=max_pixels, background=background)[0]


def read_image_and_kind(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, background: str = "white", least: int | None = None
) -> tuple[Image.Image, str | None]:
    """As `read_image`, and whether the file itself can stand for the picture.

    Args:
        least: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which takes less time, as long as its shorter
            side keeps this many pixels; None decodes it whole. Damage is found all the same.

    Returns:
        The picture, and the file's right suffix (.jpg, .png, .webp) where every program sees the same pixels in it
        as `read_image` does (8-bit RGB, upright, opaque, sRGB, one frame), else None.
    """
    with _opened(path, max_pixels) as image:
        frames = getattr(image, "n_frames", 1)
        # an MPO is a phone's JPEG with a preview behind it, not an animation
        if frames > 1 and image.format != "MPO":
            warnings.warn(f"{path}: has {frames} frames; the first is taken", stacklevel=3)
            image.seek(0)
        if least:
            image.draft(None, (least, least))
        image.load()
        flat = as_rgb(image, background)
        kind = _KEPT.get(image.format or "") if flat is image and frames == 1 else None
    clean = Image.new("RGB", flat.size)
    clean.paste(flat)
    return clean, kind


def as_rgb(image: Image.Image, background: str = "white") -> Image.Image:
    """An open image as a designer sees it, see `read_image`; the very object where nothing is to be done."""
    profile = image.info.get("icc_profile")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return _flatten(_to_rgb(image, profile), background)


def read_cutout(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image | None:
    """A picture with its transparency, mode RGBA; None where none of it is more than half transparent.

    Raises:
        ValueError: as `read_image`.
    """
    with _opened(path, max_pixels) as image:
        image.load()
        found = _to_rgb(ImageOps.exif_transpose(image), image.info.get("icc_profile"))
        clear = found.mode == "RGBA" and found.getchannel("A").getextrema()[0] < 128
        return found.copy() if clear else None


def read_mask(path: str | Path, size: tuple[int, int], *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a mask: white = make this, black or transparent = keep.

    Args:
        path: any format that `read_image` takes.
        size: width and height that the mask must have, in pixels (its picture's, after EXIF).

    Returns:
        Mode L, 0 or 255.

    Raises:
        ValueError: unreadable, of another size, or nothing in it is white.
    """
    mask = read_image(path, max_pixels=max_pixels, background="black").convert("L")
    if mask.size != tuple(size):
        raise ValueError(f"{path}: the mask is {Size(*mask.size)}, its image {Size(*size)}; they must be the same")
    hard = mask.point([0] * 128 + [255] * 128)
    if hard.getbbox() is None:
        raise ValueError(f"{path}: the mask is empty; paint what posterkit shall make in white")
    return hard


def read_size(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Size:
    """Width and height in pixels after EXIF orientation; the pixels are not decoded where the format allows it.

    Raises:
        ValueError: as `read_image`, but damage further back in the file is not seen.
    """
    with _opened(path, max_pixels) as image:
        turned = image.getexif().get(_ORIENTATION, 1) in _TURNED
        return Size(image.height, image.width) if turned else Size(*image.size)


@contextmanager
def _opened(path: str | Path, max_pixels: int) -> Iterator[Image.Image]:
    """Open and decode under one roof, so that whatever a decoder throws becomes one line with the file's name."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: {'is a folder, not an image' if path.is_dir() else 'there is no such file'}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            Image.init()
            image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        if path.suffix.lower() in (".heic", ".heif"):
            raise ValueError(f"{path}: cannot read HEIC; convert it to PNG or JPEG") from None
        raise ValueError(f"{path}: not an image that posterkit reads ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{path}: larger than the limit of {max_pixels / 2**20:g} megapixels") from None
    except Exception as error:
        raise ValueError(f"{path}: damaged image ({error_line(error)})") from error
    with image:
        if image.width * image.height > max_pixels:
            found = f"{Size(*image.size)} is {image.width * image.height / 2**20:.0f} megapixels"
            raise ValueError(f"{path}: {found}, the limit is {max_pixels / 2**20:g}")
        try:
            yield image
        except Exception as error:
            raise ValueError(f"{path}: damaged image ({error_line(error)})") from error


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To RGB or RGBA in sRGB."""
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;"):
        return _scale_deep(image)
    if mode == "LAB":
        return _by_profile(image, ImageCms.createProfile("LAB")) or image.convert("RGB")
    if mode == "CMYK":
        return (profile and _by_profile(image, profile)) or image.convert("RGB")
    if "transparency" in image.info or mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
    elif mode != "RGB":
        # a grey profile (dot gain) says nothing about the RGB that we make of it
        return image.convert("RGB")
    if profile and not _is_srgb(profile):
        return _by_profile(image, profile) or image
    return image


def _scale_deep(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or float, to 8 bits: by the full range of its type, so that two files stay comparable."""
    values = np.asarray(image).astype(np.float64)
    top = float(values.max(initial=0.0))
    if image.mode == "F":
        full = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else 65535.0
    else:
        full = 65535.0 if top <= 65535.0 else float(2**32 - 1)
    return Image.fromarray((np.clip(values / full, 0, 1) * 255).round().astype(np.uint8)).convert("RGB")


def _by_profile(image: Image.Image, profile: Any) -> Image.Image | None:
    """The image in sRGB, or None where its profile is broken or belongs to another kind of image."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    source = io.BytesIO(profile) if isinstance(profile, bytes) else profile
    try:
        opened = ImageCms.ImageCmsProfile(source)
        return ImageCms.profileToProfile(image, opened, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _is_srgb(profile: bytes) -> bool:
    try:
        return "srgb" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    except (ImageCms.PyCMSError, OSError):
        return True


def _flatten(image: Image.Image, background: str) -> Image.Image:
    if image.mode == "RGB":
        return image
    ground = Image.new("RGBA", image.size, background)
    return Image.alpha_composite(ground, image).convert("RGB")


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A place to write a file or a folder to, which becomes `path` when the block ends well and is removed if not.

        with written_whole("set/index.json") as temporary:
            temporary.write_text("{}")

    Nobody ever sees half of it. The temporary file has the name of `path`, in a hidden folder beside it whose name no
    other thread, process or machine uses. A folder replaces a folder. A block that writes nothing changes nothing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name[:40]}.", suffix=_UNFINISHED, dir=path.parent) as folder:
        temporary = Path(folder, path.name)
        yield temporary
        if temporary.is_dir() and path.is_dir():
            path.rename(Path(folder, ".replaced"))
        if temporary.exists():
            os.replace(temporary, path)


def remove_unfinished(folder: str | Path) -> None:
    """Remove what `written_whole` left in a folder when the process was killed; nobody may be writing there."""
    for left in Path(folder).glob(f".*{_UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)
