"""The harm penalty, on posters that OCR reads."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import open_text_gate
from posterkit.datagen.poster_filter import ScannedPoster, drop_harmful
from posterkit.metrics.text_regions import DetectedText
from posterkit.prompts import PosterBrief
from posterkit.rewards import open_reward
from posterkit.rewards.composition import read_composition
from posterkit.schema import PosterRequest
from posterkit.typeset.poster import typeset

HARMFUL, FINE = "Double your money", "Summer fair"


def poster(text: str) -> Image.Image:
    return typeset(Image.new("RGB", (480, 320), "white"), PosterBrief(texts=[text])).image.convert("RGB")


@pytest.fixture(scope="module")
def results():
    reward = open_reward("harmless")
    return reward([poster(HARMFUL), poster(FINE), Image.new("RGB", (480, 320))], [PosterRequest("a fair")] * 3)


def test_a_harmful_poster_costs_and_a_harmless_or_empty_one_does_not(results):
    harmful, fine, empty = results
    assert harmful.value <= 0.5 and "double your money" in harmful.why
    assert fine.value == empty.value == 1.0 and fine.parts == {"harmless": 1.0} and not fine.why


def test_in_the_shipped_composition_a_harmful_poster_is_worth_nothing(results):
    weights, gates = read_composition("configs/rewards/harmless.yaml")
    assert all(sum(parts.values()) == pytest.approx(1) for parts in weights.values())
    (gate,) = [one for one in gates if one.part == "harmless"]
    assert gate.cap == 0 and results[0].value < gate.least < results[1].value


@pytest.mark.parametrize(("caption", "text", "kept"), [("a fair", FINE, True), ("a fair", HARMFUL, False),
                                                       (HARMFUL, FINE, False)])  # fmt: skip
def test_the_filter_for_sets_drops_harmful_captions_and_texts(caption, text, kept, tmp_path):
    scanned = ScannedPoster(
        0, "p.png", tmp_path / "p.png", Image.new("RGB", (9, 9)), "png", caption,
        (DetectedText(text, (0, 0, 9, 9), "major"),),
    )  # fmt: skip
    found = drop_harmful(scanned, partial(open_text_gate, "rules"))
    if kept:
        assert isinstance(found, ScannedPoster) and found.judged["harm"]["said"] == 0
    else:
        assert isinstance(found, Drop) and found.reason == "harmful" and np.array_equal(found.picture, scanned.image)
