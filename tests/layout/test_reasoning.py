import pytest

from posterkit.layout import Box
from posterkit.layout.reasoning import ZONES, Reasoning, coordinates_in, read_reasoning, zone_box, zones_of

WHOLE = Reasoning(
    "Neighbours who look for a free evening.", ((2, "title"), (0, "subtitle"), (1, "body"), (3, "cta")), (2, 0, 1, 3),
    "light", ("middle-center", "bottom-center"), "top-left",
)  # fmt: skip


def test_a_reasoning_is_read_back_as_it_was_written():
    found = read_reasoning(str(WHOLE))
    assert dict(found.roles) == dict(WHOLE.roles)
    assert (found.audience, found.order, found.letters) == (WHOLE.audience, WHOLE.order, WHOLE.letters)
    assert (found.subject, found.logo) == (WHOLE.subject, WHOLE.logo)
    assert coordinates_in(str(WHOLE)) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", Reasoning()), ("no tags at all, text 1 first", Reasoning()),
        ("<order>Text 2, then TEXT 1, text 2 again</order>", Reasoning(order=(1, 0))),
        ("<hierarchy>Title: text 1; hero: text 2; body: text 0, text 1</hierarchy>", Reasoning(roles=((0, "title"),))),
        ("<palette>DARK letters</palette><order>text 1</order", Reasoning(letters="dark")),
        ("<safe>subject: Top left and nowhere; logo: bottom right</safe>",
         Reasoning(subject=("top-left",), logo="bottom-right")),
        ("<order>" + "text 1, " * 100_000, Reasoning()),
    ],
)  # fmt: skip
def test_a_broken_answer_says_what_it_says_and_no_more(said, expected):
    assert read_reasoning(said) == expected


@pytest.mark.parametrize("said", ["at 40 px", "x=12", "w: 3", "left 12%", "416x608", "(1, 2, 30, 40)", "8 cells"])
def test_coordinates_are_found(said):
    assert coordinates_in(f"The title stands {said} there")


@pytest.mark.parametrize("said", ["text 3, text 12", "8 pm on 12 June, 20 July to 2 August", "From 12.50", "2 texts"])
def test_numbers_of_texts_and_dates_are_no_coordinates(said):
    assert not coordinates_in(said)


def test_zones_tile_the_canvas_and_a_box_is_in_those_that_it_covers():
    size = (300, 600)
    assert sum(zone_box(zone, size).area for zone in ZONES) == 300 * 600
    assert zones_of(Box(100, 200, 200, 600), size) == ("middle-center", "bottom-center")
    assert zones_of(Box(0, 0, 12, 12), size) == ("top-left",)  # too small to cover a zone, and yet there
