"""Saliency of a picture: spectral residual, centre-surround contrast and edges, in numpy and scipy."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

WORKING_SIZE = 96  # long side in pixels that the map is computed at; text boxes are far larger than its cells


def saliency(image: Image.Image) -> np.ndarray:
    """A saliency map of small size.

    The mean of three cues, each scaled to [0, 1]: the spectral residual of luminance (Hou and Zhang, CVPR 2007),
    centre-surround differences over three scales in Lab-like opponent colours (after Itti et al., PAMI 1998), and
    edge density. A weak pull towards the middle breaks ties, as photographers place their subjects there.

    Args:
        image: RGB.

    Returns:
        `(h, w)` float32 in [0, 1], the picture's shape with a long side of 96 cells (or fewer for smaller pictures).
    """
    rgb = np.asarray(reduced(image), np.float32) / 255
    light = rgb @ np.asarray([0.299, 0.587, 0.114], np.float32)
    opponents = np.stack([light, rgb[..., 0] - rgb[..., 1], (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]], -1)
    edges = ndimage.gaussian_filter(ndimage.gaussian_gradient_magnitude(light, 0.7), 2)
    blurred = [ndimage.gaussian_filter(opponents, (sigma, sigma, 0)) for sigma in (1, 2, 4, 8, 16)]
    gaps = [np.abs(blurred[fine] - blurred[fine + 2]) for fine in range(3)]
    surround = np.mean([np.maximum(np.maximum(gap[..., 0], gap[..., 1]), gap[..., 2]) for gap in gaps], axis=0)
    cues = (_spectral_residual(light), surround, edges)
    # a cue that hardly varies over the picture says nothing: it is scaled by a floor, not blown up to [0, 1]
    scaled = [
        np.clip(cue / max(float(np.percentile(cue, 98)), floor), 0, 1) for cue, floor in zip(cues, FLOORS, strict=True)
    ]
    h, w = light.shape
    y, x = np.mgrid[0:h, 0:w]
    middle = np.exp(-(((x / max(1, w - 1) - 0.5) / 0.45) ** 2 + ((y / max(1, h - 1) - 0.5) / 0.45) ** 2))
    seen = np.mean(scaled, axis=0)
    # what is enclosed by salient edges (a face, the inside of a cup) belongs to the subject too
    filled = ndimage.gaussian_filter(ndimage.grey_closing(seen, 13), 2)
    return np.clip(filled * (0.65 + 0.35 * middle), 0, 1).astype(np.float32)


FLOORS = (1e-6, 0.08, 0.03)  # the residual has no scale of its own; the two others are in units of luminance


def _spectral_residual(light: np.ndarray) -> np.ndarray:
    if float(light.std()) < 0.01:
        return np.zeros_like(light)
    spectrum = np.fft.fft2(light)
    log = np.log(np.abs(spectrum) + 1e-8)
    residual = np.exp(log - ndimage.uniform_filter(log, 3, mode="wrap"))
    return ndimage.gaussian_filter(np.abs(np.fft.ifft2(residual * np.exp(1j * np.angle(spectrum)))) ** 2, 2.5)


def people(image: Image.Image) -> np.ndarray:
    """Where there is likely a face or other bare skin: a chroma range that skin of every tone shares.

    After Chai and Ngan (IEEE CSVT 1999). It says nothing where much of the picture has such colours (wood, sand,
    fur), so twice its mean over the picture is taken off.

    Args:
        image: RGB.

    Returns:
        `(h, w)` float32 in [0, 1], of the size of `saliency`'s map.
    """
    ycc = np.asarray(reduced(image).convert("YCbCr"), np.float32)
    light, blue, red = ycc[..., 0], ycc[..., 1], ycc[..., 2]
    skin = (blue >= 77) & (blue <= 127) & (red >= 136) & (red <= 173) & (light > 30)
    dense = ndimage.gaussian_filter(ndimage.binary_opening(skin, iterations=2).astype(np.float32), 2.5)
    return np.clip(dense - 2 * float(skin.mean()), 0, 1)


def reduced(image: Image.Image, mode: str = "RGB") -> Image.Image:
    """The image at the working size, in a mode of Pillow."""
    scale = min(1.0, WORKING_SIZE / max(image.size))
    return image.convert(mode).resize([max(2, round(side * scale)) for side in image.size], Image.Resampling.BOX)
