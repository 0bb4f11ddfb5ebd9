"""Aesthetics and agreement by rules, on posters whose faults are known."""

from __future__ import annotations

from drawn_posters import poster
from PIL import Image

from posterkit.metrics.appearance import Appearance
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.prompts import PosterBrief
from posterkit.rewards.parts.aesthetics import AestheticsReward, AgreementReward
from posterkit.schema import PosterRequest
from posterkit.typeset.poster import typeset


def test_aesthetics_is_the_geometric_mean_of_its_measures():
    picture = poster(1)
    (result,) = AestheticsReward()([picture], [PosterRequest()])
    assert result.value == Appearance(picture, open_poster_reader().texts(picture)).aesthetics
    assert set(result.parts) == {"color", "order", "balance", "sharpness", "tones", "legibility"}
    blank, noise = AestheticsReward()(
        [Image.new("RGB", (400, 600), "gray"), Image.effect_noise((400, 600), 90).convert("RGB")],
        [PosterRequest()] * 2,
    )
    assert result.value > 0.6 > 0.4 > max(blank.value, noise.value)


def test_agreement_is_what_the_prompt_asks_as_far_as_there_is_a_picture_beside_the_words():
    row = PosterRequest('A poster that says "JAZZ NIGHT", "Friday 8 pm" and "Blue Note Club".')
    drawn, words_alone = AgreementReward()([poster(1), poster_on_white()], [row] * 2)
    assert drawn.parts == {"demands": 1.0, "picture": 1.0} and drawn.value == 1
    assert words_alone.parts["demands"] == 1 and words_alone.value < 0.1
    assert "draw a picture" in words_alone.why


def poster_on_white() -> Image.Image:
    texts = ["JAZZ NIGHT", "Friday 8 pm", "Blue Note Club"]
    return typeset(Image.new("RGB", (400, 600), "white"), PosterBrief(texts=texts)).image
