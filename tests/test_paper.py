"""Sizes in print and on screens, against ISO 216 and arithmetic by hand."""

from __future__ import annotations

import pytest

from posterkit.paper import PAPERS, Sheet, paper_of, parse_length, parse_size, sheet_from, sized


@pytest.mark.parametrize("series", ["a", "b"])
def test_each_iso_sheet_is_half_of_the_one_before(series: str) -> None:
    for number in range(1, 7):
        short, long = PAPERS[f"{series}{number}"]
        above = PAPERS[f"{series}{number - 1}"]
        assert long == above[0] and abs(short - above[1] / 2) <= 0.5


@pytest.mark.parametrize(("said", "dpi", "pixels", "inch"), [
    ("a4", None, (2480, 3508), 300), ("A3-landscape", 150, (2480, 1754), 150), ("letter", None, (2550, 3300), 300),
    ("24x36in", None, (3600, 5400), 150), ("297x420mm", 300, (3508, 4961), 300),
    ("29.7 x 42 cm", 300, (3508, 4961), 300),
    ("instagram-story", None, (1080, 1920), None), ("instagram-story-landscape", None, (1920, 1080), None),
    ("1080x1920", None, (1080, 1920), None), ("1080×1920px", 96, (1080, 1920), 96), ("a0", None, (4967, 7022), 150),
])  # fmt: skip
def test_a_size_is_read(said: str, dpi: int | None, pixels: tuple[int, int], inch: int | None) -> None:
    assert parse_size(said, dpi) == (pixels, inch)


def test_an_unknown_size_names_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'instagram-story'"):
        parse_size("instagram-stori")


@pytest.mark.parametrize(("said", "millimetres"), [("3", 3), ("3mm", 3), ("0.125in", 3.175), ("0.3 cm", 3)])
def test_a_length_is_in_millimetres(said: str, millimetres: float) -> None:
    assert parse_length(said) == pytest.approx(millimetres)


@pytest.mark.parametrize("said", ["", "-3mm", "3 furlongs", "900mm", "nan"])
def test_what_is_no_length_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match="is no length"):
        parse_length(said)


def test_the_picture_of_a_sheet_reaches_beyond_the_cut_by_the_bleed() -> None:
    whole, sheet = sized("a4", None, None, 300, 3, 5)
    assert sheet == Sheet(300, 3, 5) and whole == (2480 + 2 * 35, 3508 + 2 * 35)  # 3 mm are 35.4 pixels
    assert sheet.trim(whole) == (2480, 3508) and sheet.safe_pixels == 59


def test_pixels_alone_are_no_sheet_and_a_bleed_needs_a_size() -> None:
    assert sized("1080x1920", None, None, None, None, None) == ((1080, 1920), None)
    assert sized(None, None, None, 300, None, None) == (None, None)
    with pytest.raises(ValueError, match="need a sheet"):
        sized(None, None, None, None, 3, None)
    with pytest.raises(ValueError, match="give one of them"):
        sized("a4", 800, None, None, None, None)


def test_a_sheet_survives_a_record_and_nothing_else_is_one() -> None:
    assert sheet_from(Sheet(150, 3, 5).given()) == Sheet(150, 3, 5)
    for said in ("a4", {"dpi": 300, "colour": 1}, {"dpi": True}, {"dpi": 10**6}, {"bleed": -1}, {"bleed": []}):
        with pytest.raises(ValueError):
            sheet_from(said)


def test_a_sheet_with_nothing_left_inside_is_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing"):
        Sheet(300, 3, 20).trim((400, 400))


def test_a_paper_is_recognised_within_two_pixels_either_way_round() -> None:
    assert paper_of((2480, 3508), 300) == paper_of((3509, 2479), 300) == "a4"
    assert paper_of((2480, 3500), 300) is None
