"""What is measured of a prompt."""

from __future__ import annotations

import pytest
from PIL import Image

from posterkit.metrics.appearance import Appearance
from posterkit.metrics.prompt_requirements import in_expected_order, requested_background, requirements
from posterkit.metrics.text_regions import DetectedText


@pytest.mark.parametrize(
    ("prompt", "color"),
    [
        ("A flat poster of a cat on a navy background", "navy"),
        ("Cat, background green, calm", "green"),
        ("on a dark blue background", "navy"),
        ("with a background of deep red and gold letters", "red"),
        ("一张红色背景的海报", "red"),
        ("蓝色的背景", "blue"),
        ("a red cat, mountains in the background", None),
        ('A poster "Red background"', None),
        ("a blue poster", None),
        ("on a dark background with red letters", None),
        ("背景为绿色", "green"),
    ],
)
def test_the_background_is_read_from_the_prompt(prompt, color):
    assert requested_background(prompt) == color


def two_thirds(color: str) -> Appearance:
    image = Image.new("RGB", (300, 300), (246, 244, 240))
    image.paste(color, (100, 100, 200, 200))
    return Appearance(image)


def met(prompt: str, looks: Appearance, *texts: DetectedText) -> dict[str, float]:
    return {demand.remedy: round(demand.met, 2) for demand in requirements(prompt, looks, texts)}


def test_a_colour_that_is_named_has_to_be_there():
    remedy = "bring in the red that the prompt names"
    assert met("a red dot", two_thirds("#cc2c2c"))[remedy] == 1
    assert met("a red dot", two_thirds("#2c62c4"))[remedy] == 0


def test_a_prompt_that_asks_nothing_measurable_has_no_demands():
    assert met("a cat and a dog", two_thirds("#cc2c2c")) == {}
    assert requirements('"JAZZ"', two_thirds("#cc2c2c"), None) == []  # nothing was read


@pytest.mark.parametrize(
    ("clause", "fits"),
    [
        ("at the top", 1),
        ("in the upper left corner", 1),
        ("at the bottom", 0),
        ("on the right", 0),
        ("右下", 0),
        ("左上", 1),
    ],
)
def test_a_text_has_to_stand_in_the_half_that_is_named(clause, fits):
    seen = DetectedText("JAZZ", (10, 10, 90, 60), "major")
    marks = [value for remedy, value in met(f'"JAZZ" {clause}', two_thirds("red"), seen).items() if "move" in remedy]
    assert marks == [fits]


def test_the_place_of_one_text_is_not_taken_for_anothers():
    texts = DetectedText("JAZZ", (10, 10, 90, 60), "major"), DetectedText("Friday", (10, 240, 90, 280), "minor")
    marks = met('"JAZZ", and "Friday" at the bottom', two_thirds("blue"), *texts)
    assert [value for remedy, value in marks.items() if "move" in remedy] == [1]


def test_part_of_a_text_is_part_of_the_mark():
    seen = DetectedText("JAZZ NITE", (10, 10, 90, 60), "major")
    (value,) = met('"JAZZ NIGHT"', two_thirds("blue"), seen).values()
    assert value == 0.5


def test_read_texts_are_put_in_the_order_they_were_asked_in():
    assert in_expected_order(["JAZZ NIGHT", "Friday 8 pm"], ["free", "friday 8pm", "JAZZ NIGHT"]) == [
        "JAZZ NIGHT", "friday 8pm", "free",
    ]  # fmt: skip
