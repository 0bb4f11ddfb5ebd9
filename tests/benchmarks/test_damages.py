"""The damages of the damage table: pure, visible, and none for nothing."""

from __future__ import annotations

import numpy as np
import pytest
from damaged_posters import LayeredPoster, layered_posters
from damages import DAMAGES, erased, layer
from hack_table import JUDGED_AS, SEEN, worths
from PIL import Image

from posterkit.rewards import open_reward
from posterkit.rewards.composition import ComposedReward


@pytest.fixture(scope="module")
def poster() -> LayeredPoster:
    return layered_posters(1)[0]


def apart(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


def test_the_layers_of_a_poster_make_it_up(poster):
    bare = erased(poster)
    assert apart(bare, poster.ground) < 0.2 < apart(bare, poster.image)
    for text in poster.texts:
        cut = layer(poster, text)
        bare.paste(cut.convert("RGB"), (text.box[0] - 3, text.box[1] - 3), cut.getchannel("A"))
    assert apart(bare, poster.image) < 0.5


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_pure_and_changes_the_poster(poster, name):
    before = poster.image.tobytes(), poster.ground.tobytes()
    one, two = (DAMAGES[name].draw(poster, 3) for _ in range(2))
    assert one.tobytes() == two.tobytes() and one.size == poster.image.size and one.mode == "RGB"
    assert apart(one, poster.image) > 0.2
    assert (poster.image.tobytes(), poster.ground.tobytes()) == before


def test_there_are_enough_of_them_and_each_has_a_part_or_a_sum_to_see_it():
    assert len(DAMAGES) >= 30
    assert {part for damage in DAMAGES.values() for part in damage.parts} <= set(JUDGED_AS)


@pytest.mark.slow
def test_the_sum_sees_what_is_wrong_with_a_poster(poster):
    rules = open_reward("rules", fast=True)
    assert isinstance(rules, ComposedReward)
    sound = worths(rules, poster, poster.image)
    unseen = []
    for name, damage in DAMAGES.items():
        spoilt = worths(rules, poster, damage.draw(poster, 0))
        if sound[f"sum {damage.task}"] - spoilt[f"sum {damage.task}"] < SEEN:
            unseen.append(name)
    assert len(unseen) <= 1, unseen
