"""Does it look good, and does it show what was asked? By rules, by a CLIP-like model, by a judge that sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from PIL import Image

from posterkit.llm.client import reduced
from posterkit.metrics.appearance import Looks
from posterkit.metrics.arrangement import OTHER
from posterkit.metrics.color import border_color, srgb_to_lab
from posterkit.metrics.demands import demands
from posterkit.metrics.lettering import find_texts
from posterkit.rewards.parts.part import Part, check_count, share
from posterkit.rewards.parts.text import poster_lines
from posterkit.rewards.reward import RewardResult
from posterkit.schema import PosterRequest

PICTURE = 0.05  # of a poster; so much beside the words is a picture
SIDE = 256  # px; the longer side at which that is measured
COSINES = 0.0, 0.4  # of CLIP-like models; HPSv2's best posters lie near 0.3, SigLIP's lower, hardly any above


class Aesthetics(Part):
    """The rules judge's aesthetics: colour, order, balance, sharpness, tones, and legibility where there is text.

    What hacks it: any finished poster, whatever was asked for, the input among them; a few large crisp shapes in two
    strong colours are enough. A blank picture, noise and blur are not.
    """

    def __init__(self, fast: bool = False) -> None:
        self.fast, self.name = fast, "aesthetics-fast" if fast else "aesthetics"

    def judge(self, poster: Image.Image, row: PosterRequest) -> RewardResult:
        looks = Looks(poster, find_texts(poster_lines(self.fast)(poster), poster.size))
        parts = {name: float(value) for name, value in looks.parts().items()}
        weakest = min(parts, key=lambda name: parts[name])
        return RewardResult(looks.aesthetics, parts, f"weakest in {weakest} ({parts[weakest]:.2f})")


class Agreement(Part):
    """What can be measured of a prompt without seeing objects: quoted texts and their places, background, colours.

    Words on an empty ground show nothing of a prompt: the mean is taken as far as there is a picture beside them, a
    twentieth of the poster that stands out from its border. (So a poster of type alone is worth nothing here.)

    What hacks it: objects are not seen, so the right ground with the right words and any shapes is worth 1.
    """

    def __init__(self, fast: bool = False) -> None:
        self.fast, self.name = fast, "agreement-fast" if fast else "agreement"

    def judge(self, poster: Image.Image, row: PosterRequest) -> RewardResult:
        texts = find_texts(poster_lines(self.fast)(poster), poster.size)
        asked = demands(row.as_instruction(), Looks(poster, texts), texts)
        parts = {
            "demands": float(np.mean([demand.met for demand in asked])) if asked else 1.0,
            "picture": share(_beside(poster, [text.box for text in texts]), 0, PICTURE),
        }
        said = [] if parts["picture"] > 0.5 else ["draw a picture beside the words"]
        said += [demand.remedy for demand in asked if demand.met < 0.5]
        return RewardResult(parts["demands"] * parts["picture"], parts, "; ".join(said))


def _beside(poster: Image.Image, boxes: Sequence[tuple[int, int, int, int]]) -> float:
    """The part of a poster that stands out from its border and is no text."""
    picture = reduced(poster, SIDE)
    lab = srgb_to_lab(pixels := np.asarray(picture))
    shown = np.linalg.norm(lab - border_color(pixels), axis=2) > OTHER
    free = np.ones((picture.height, picture.width), dtype=bool)
    scale = picture.width / poster.width
    for x0, y0, x1, y1 in boxes:
        free[int(y0 * scale) : math.ceil(y1 * scale) + 1, int(x0 * scale) : math.ceil(x1 * scale) + 1] = False
    return float((shown & free).mean())


class ClipReward:
    """How well picture and caption agree, by a CLIP-like folder: HPSv2, PickScore, SigLIP (PosterCraft section 3.3).

    The cosine from 0 to 0.4 is the worth from 0 to 1; the model is loaded at the first call.

    What hacks it: such models reward strong colour and contrast and read text poorly; optimised alone they drift to
    one glossy look.
    """

    def __init__(self, source: str, device: str = "cpu") -> None:
        self.source, self.device = source, device
        self.name = f"clip {source}"

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        check_count(self.name, images, rows)
        cosines = self._model.score(images, [row.caption or row.as_instruction() for row in rows])
        return [RewardResult(worth := share(cosine, *COSINES), {"agreement": worth}) for cosine in cosines]

    @cached_property
    def _model(self):
        from posterkit.rewards.models.image_text import ImageTextModel

        return ImageTextModel(self.source, self.device)
