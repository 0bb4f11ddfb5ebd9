"""Aesthetics, and agreement with the prompt as far as it can be measured without a model."""

# pyright: standard
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from posterkit.metrics.appearance import PICTURE, Appearance, ramp
from posterkit.metrics.prompt_requirements import Requirement, requirements, unlikeness
from posterkit.metrics.text_regions import DetectedText
from posterkit.prompts import in_quotes
from posterkit.rewards.reward import ReadingReward, RewardResult
from posterkit.schema import PosterRequest


class AestheticsReward(ReadingReward):
    """Measured aesthetics: colour, order, balance, sharpness, tones, sound pixels, a picture, and legible texts.

    How it can be hacked: any finished poster scores well, whatever the request, the input image too; a few large crisp
    shapes in two strong colours are enough. A blank picture, words alone, noise and blur are not. It is blind to what
    words and picture say, to a poster that is mirrored or turned, and to a cast, which is a colour like others.

    Without OCR legibility is left out.
    """

    part = "aesthetics"

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        appearance = Appearance(poster, self.reader.texts(poster) if self.read_text else ())
        parts = {name: float(value) for name, value in appearance.parts().items()}
        weakest = min(parts, key=lambda name: parts[name])
        return RewardResult(appearance.aesthetics, parts, f"weakest in {weakest} ({parts[weakest]:.2f})")


class AgreementReward(ReadingReward):
    """Agreement with the prompt, without recognising objects: texts, their places and rank, background, colours.

    The mean over these requirements is scaled by how far there is a picture beside the texts: a twentieth of the
    poster that stands out from its border is enough. So a poster of type alone has value 0.

    How it can be hacked: objects are not recognised, so the right background with the right words and any shapes has
    value 1. It is blind to all that the prompt does not name: more texts, and how well the poster is drawn.
    Without OCR texts and their places are left out.
    """

    part = "agreement"

    def score(self, poster: Image.Image, request: PosterRequest) -> RewardResult:
        texts = self.reader.texts(poster) if self.read_text else None
        looks = Appearance(poster, texts or ())
        found = requirements(request.as_instruction(), looks, texts)
        if texts and (title := _rank_of_title(request, texts)):
            found.append(title)
        parts = {
            "demands": float(np.mean([requirement.met for requirement in found])) if found else 1.0,
            "picture": ramp(looks.picture_share, 0, PICTURE),
        }
        remedies = [] if parts["picture"] > 0.5 else ["draw a picture beside the words"]
        remedies += [requirement.remedy for requirement in found if requirement.met < 0.5]
        return RewardResult(parts["demands"] * parts["picture"], parts, "; ".join(remedies))


def _rank_of_title(request: PosterRequest, texts: Sequence[DetectedText]) -> Requirement | None:
    """Not met where the title of several texts is read and is not among the largest; else None."""
    if not request.texts or len(request.texts) < 2:
        return None
    title = next((region.text for region in request.regions if region.role == "major"), request.texts[0])
    seen = min(texts, key=lambda text: unlikeness(title, text.text))
    if seen.role == "major" or unlikeness(title, seen.text) > 0.5:
        return None
    return Requirement(0.0, f"set {in_quotes(title)} larger than the other texts")
