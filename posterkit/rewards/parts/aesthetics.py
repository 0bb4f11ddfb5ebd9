"""Aesthetics, and agreement with the prompt as far as it can be measured without a model."""

# pyright: standard
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from posterkit.image_io import reduced
from posterkit.metrics.appearance import Appearance, ramp
from posterkit.metrics.arrangement import OTHER
from posterkit.metrics.color import border_color, srgb_to_lab
from posterkit.metrics.poster_reader import PosterReader, open_poster_reader
from posterkit.metrics.prompt_requirements import requirements
from posterkit.rewards.reward import PosterReward, RewardResult
from posterkit.schema import PosterRequest

PICTURE = 0.05  # share of the poster beside the texts from which on there is a picture
SIDE = 256  # px; the longer side at which that is measured


class AestheticsReward(PosterReward):
    """Measured aesthetics: colour, order, balance, sharpness, tones, and legibility where there is text.

    How it can be hacked: any finished poster scores well, whatever the request, the input image too; a few large crisp
    shapes in two strong colours are enough. A blank picture, noise and blur are not.

    Args:
        reader: OCR; None shares the process's own.
        read_text: without OCR it is much faster, and legibility is left out.
    """

    def __init__(self, reader: PosterReader | None = None, read_text: bool = True) -> None:
        self.reader, self.read_text = reader or open_poster_reader(), read_text
        self.name = _named("aesthetics", self.reader, read_text)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        appearance = Appearance(poster, self.reader.texts(poster) if self.read_text else ())
        parts = {name: float(value) for name, value in appearance.parts().items()}
        weakest = min(parts, key=lambda name: parts[name])
        return RewardResult(appearance.aesthetics, parts, f"weakest in {weakest} ({parts[weakest]:.2f})")


class AgreementReward(PosterReward):
    """Agreement with the prompt, without recognising objects: quoted texts and their places, background, colours.

    The mean over these requirements is scaled by how far there is a picture beside the texts: a twentieth of the
    poster that stands out from its border is enough. So a poster of type alone has value 0.

    How it can be hacked: objects are not recognised, so the right background with the right words and any shapes has
    value 1.

    Args:
        reader: OCR; None shares the process's own.
        read_text: without OCR it is much faster, and texts and their places are left out.
    """

    def __init__(self, reader: PosterReader | None = None, read_text: bool = True) -> None:
        self.reader, self.read_text = reader or open_poster_reader(), read_text
        self.name = _named("agreement", self.reader, read_text)

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        texts = self.reader.texts(poster) if self.read_text else None
        found = requirements(request.as_instruction(), Appearance(poster, texts or ()), texts)
        parts = {
            "demands": float(np.mean([requirement.met for requirement in found])) if found else 1.0,
            "picture": ramp(_picture_share(poster, [text.box for text in texts or ()]), 0, PICTURE),
        }
        remedies = [] if parts["picture"] > 0.5 else ["draw a picture beside the words"]
        remedies += [requirement.remedy for requirement in found if requirement.met < 0.5]
        return RewardResult(parts["demands"] * parts["picture"], parts, "; ".join(remedies))


def _named(part: str, reader: PosterReader, read_text: bool) -> str:
    return f"{part}-blind" if not read_text else f"{part}-fast" if reader.fast else part


def _picture_share(poster: Image.Image, boxes: Sequence[tuple[int, int, int, int]]) -> float:
    """The share of a poster that stands out from its border and is not text."""
    picture = reduced(poster, SIDE)
    lab = srgb_to_lab(pixels := np.asarray(picture))
    shown = np.linalg.norm(lab - border_color(pixels), axis=2) > OTHER
    free = np.ones((picture.height, picture.width), dtype=bool)
    scale = picture.width / poster.width
    for x0, y0, x1, y1 in boxes:
        free[int(y0 * scale) : math.ceil(y1 * scale) + 1, int(x0 * scale) : math.ceil(x1 * scale) + 1] = False
    return float((shown & free).mean())
