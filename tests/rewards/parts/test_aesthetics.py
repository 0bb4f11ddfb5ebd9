"""Aesthetics and agreement by rules, on posters whose faults are known."""

from __future__ import annotations

import pytest
from drawn_posters import art, poster
from PIL import Image

from posterkit.metrics.appearance import Appearance
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.prompts import PosterBrief
from posterkit.rewards.parts.aesthetics import AestheticsReward, AgreementReward
from posterkit.schema import PosterRequest, Region
from posterkit.typeset.poster import typeset


def test_aesthetics_is_the_geometric_mean_of_its_measures_times_soundness():
    picture = poster(1)
    (result,) = AestheticsReward()([picture], [PosterRequest()])
    assert result.value == Appearance(picture, open_poster_reader().texts(picture)).aesthetics
    assert set(result.parts) == {
        "color",
        "order",
        "balance",
        "sharpness",
        "tones",
        "soundness",
        "picture",
        "legibility",
    }
    blank, noise = AestheticsReward()(
        [Image.new("RGB", (400, 600), "gray"), Image.effect_noise((400, 600), 90).convert("RGB")],
        [PosterRequest()] * 2,
    )
    assert result.value > 0.6 > 0.4 > max(blank.value, noise.value)


@pytest.mark.slow
def test_words_alone_are_worth_less_than_a_poster_and_so_is_a_title_all_over_it():
    texts = ["JAZZ", "NIGHT"]
    crowded = typeset(art(1), PosterBrief(texts=texts), boxes=[(10, 20, 390, 290), (10, 310, 390, 580)]).image
    sound, alone, crowd = AestheticsReward()([poster(1), poster_on_white(), crowded], [PosterRequest()] * 3)
    assert sound.parts["picture"] == 1 and alone.parts["picture"] < 0.1 and crowd.parts["picture"] < 0.9
    assert alone.value < 0.6 * sound.value and crowd.value < sound.value - 0.05


def test_the_title_has_to_be_among_the_largest_texts():
    right = PosterRequest(texts=("JAZZ NIGHT", "Friday 8 pm", "Blue Note Club"))
    wrong = PosterRequest(texts=("Friday 8 pm", "JAZZ NIGHT", "Blue Note Club"))
    marked = PosterRequest(texts=wrong.texts, regions=[Region((0, 0, 9, 9), "major", "JAZZ NIGHT")])
    found = AgreementReward()([poster(1)] * 3, [right, wrong, marked])
    assert [result.parts["demands"] for result in found] == [1, 0, 1]
    assert 'set "Friday 8 pm" larger' in found[1].why


def test_agreement_is_what_the_prompt_asks_as_far_as_there_is_a_picture_beside_the_words():
    row = PosterRequest('A poster that says "JAZZ NIGHT", "Friday 8 pm" and "Blue Note Club".')
    drawn, words_alone = AgreementReward()([poster(1), poster_on_white()], [row] * 2)
    assert drawn.parts == {"demands": 1.0, "picture": 1.0} and drawn.value == 1
    assert words_alone.parts["demands"] == 1 and words_alone.value < 0.1
    assert "draw a picture" in words_alone.why


def poster_on_white() -> Image.Image:
    texts = ["JAZZ NIGHT", "Friday 8 pm", "Blue Note Club"]
    return typeset(Image.new("RGB", (400, 600), "white"), PosterBrief(texts=texts)).image
