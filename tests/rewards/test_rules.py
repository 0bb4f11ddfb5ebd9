"""Text, aesthetics and agreement by rules, on posters that the tests draw, read by the real OCR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from drawn_posters import SIZE, cluttered, noise, poster, with_credits
from PIL import Image, ImageFilter

from posterkit.datagen.lazy_models import open_judge, score_posters
from posterkit.rewards import open_reward
from posterkit.schema import PosterRequest

PROMPT = 'A jazz poster on a green background, "JAZZ NIGHT", "Friday 8 pm", "Blue Note Club"'
Score = Callable[[Image.Image, str], dict[str, Any]]


@pytest.fixture(scope="module")
def score() -> Score:
    return lambda image, prompt: scored("rules", image, prompt)


def scored(source: str, image: Image.Image, prompt: str) -> dict[str, Any]:
    (result,) = score_posters(open_judge(source), [image], prompt)
    return {"why": result.why, **result.parts}


def test_a_poster_scores_full_text_only_where_it_says_what_is_asked(score):
    right = score(poster(3), PROMPT)
    assert (right["text"], right["agreement"]) == (1, 1)
    wrong = score(poster(3), PROMPT.replace("JAZZ", "BLUES").replace("green", "red"))
    assert wrong["text"] < 0.9 and wrong["agreement"] < 0.8
    red = PosterRequest(PROMPT.replace("green", "red"))
    assert "make the background red; it is green" in open_reward("agreement")([poster(3)], [red])[0].why
    assert wrong["aesthetics"] == right["aesthetics"]
    assert score(poster(3), "A poster without words")["text"] == 0


def test_the_order_of_the_texts_does_not_count(score):
    turned = 'With "Blue Note Club" and "Friday 8 pm" below "JAZZ NIGHT"'
    assert score(poster(3), turned)["text"] == 1


def test_places_that_the_prompt_names_count(score):
    assert score(poster(3), '"JAZZ NIGHT" at the top, "Friday 8 pm", "Blue Note Club"')["agreement"] == 1
    low = score(poster(3), '"JAZZ NIGHT" at the bottom, "Friday 8 pm", "Blue Note Club"')
    assert low["agreement"] == pytest.approx(0.75)  # three texts are there, one place is wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", [1, 3, "coffee", "rocket"])
def test_a_sound_poster_is_better_than_what_is_none(score, name):
    sound = score(poster(name), PROMPT)
    assert sound["text"] > 0.9
    for damaged in (poster(name).filter(ImageFilter.GaussianBlur(3)), cluttered(poster(name))):
        found = score(damaged, PROMPT)
        assert found["aesthetics"] < sound["aesthetics"] - 0.15 and found["text"] < sound["text"]


def test_worthless_pictures_score_low_in_everything(score):
    for worthless in (noise(), Image.new("RGB", SIZE, "white")):
        found = score(worthless, PROMPT)
        assert found["aesthetics"] < 0.4 and found["text"] == 0 and found["agreement"] < 0.5


def test_without_ocr_texts_do_not_count_and_the_rest_does():
    film = with_credits("coffee")
    assert "text" not in scored("rules-blind", film, 'A coffee poster "LIGHTHOUSE"')
    assert scored("rules-blind", film, 'A coffee poster "LIGHTHOUSE"')["agreement"] == 1
    assert scored("rules-blind", film, "A poster on a green background")["agreement"] < 0.1


def test_pictures_that_are_not_rgb_and_the_smallest_ones_are_scored_too(score):
    for picture in (
        Image.new("RGBA", (64, 64), (255, 0, 0, 128)),
        Image.new("L", (40, 60), 7),
        Image.new("RGB", (1, 1)),
    ):
        assert 0 <= score(picture, 'x "Y"')["aesthetics"] <= 1
