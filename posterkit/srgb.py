"""Pictures of any mode in sRGB: 16 bits, CMYK, Lab, wide gamuts, transparency."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

_BAND = 2**22  # pixels that are converted at a time where a conversion takes several times their memory


def to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
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
    top = max(float(np.asarray(band).max(initial=0)) for _, band in _bands(image))
    if image.mode == "F":
        full = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else 65535.0
    else:
        full = 65535.0 if top <= 65535.0 else float(2**32 - 1)
    scaled = Image.new("RGB", image.size)
    for y, band in _bands(image):
        grey = (np.clip(np.nan_to_num(np.asarray(band).astype(np.float64)) / full, 0, 1) * 255).round()
        scaled.paste(Image.fromarray(grey.astype(np.uint8)).convert("RGB"), (0, y))
    return scaled


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in bands from top to bottom, with where they begin."""
    rows = max(1, _BAND // image.width)
    for y in range(0, image.height, rows):
        yield y, image.crop((0, y, image.width, min(y + rows, image.height)))


def _by_profile(image: Image.Image, profile: object) -> Image.Image | None:
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


def lay_on(background: str, image: Image.Image) -> Image.Image:
    """An image of RGB or RGBA on a colour; the very object where it is RGB."""
    if image.mode == "RGB":
        return image
    flat = Image.new("RGB", image.size)
    for y, band in _bands(image):
        flat.paste(Image.alpha_composite(Image.new("RGBA", band.size, background), band).convert("RGB"), (0, y))
    return flat
