"""Text accuracy by hand-counted words, and the real reader on a drawn page."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.ocr import TextReader, edit_distance, text_accuracy, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("JAZZ Night!", ["jazz", "night"]),
        ("Don't - stop", ["dont", "stop"]),
        ("ＣＡＦÉ №5", ["café", "no5"]),
        ("Straße", ["strasse"]),
        ("cafe\u0301", ["café"]),
        ("ﬁnal “call”", ["final", "call"]),
        ("«夏祭り» 2026", ["夏祭り", "2026"]),
        ("  …!? ", []),
    ],
)
def test_words_are_folded_and_stripped(text: str, expected: list[str]):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("a", "b", "steps"), [("kitten", "sitting", 3), ("", "abc", 3), ("flaw", "lawn", 2), ("a", "a", 0)]
)
def test_edit_distance_gives_the_textbook_answers(a: str, b: str, steps: int):
    assert edit_distance(a, b) == edit_distance(b, a) == steps


def test_a_perfect_reading_scores_one_everywhere():
    found = text_accuracy(["JAZZ NIGHT", "Friday, 8 pm"], ["Jazz Night", "friday 8 PM"])
    assert (found.recall, found.precision, found.f_score, found.similarity, found.exact) == (1, 1, 1, 1, 1)
    assert not found.misspelt and not found.missing and not found.extra


def test_misspelt_missing_and_extra_words_are_named():
    found = text_accuracy(["SUMMER JAZZ NIGHT"], ["SUMNER JAZZ", "TICKETS"])
    assert found.misspelt == {"summer": "sumner"}
    assert found.missing == ["night"] and found.extra == ["tickets"]
    assert found.recall == found.precision == found.f_score == pytest.approx(1 / 3)
    assert found.exact == 0


def test_words_are_counted_as_often_as_they_are_asked():
    found = text_accuracy(["more more more"], ["more more", "less"])
    assert found.recall == pytest.approx(2 / 3) and found.precision == pytest.approx(2 / 3)
    found = text_accuracy(["more"], ["more more more"])
    assert found.recall == 1 and found.precision == pytest.approx(1 / 3) and found.f_score == pytest.approx(0.5)


def test_exactness_counts_whole_texts_even_over_a_line_break():
    found = text_accuracy(["OPEN AIR CINEMA", "free entry"], ["OPEN AIR", "CINEMA", "entry free"])
    assert found.exact == 0.5 and found.recall == 1


def test_similarity_is_one_less_the_edits_over_the_longer_text():
    assert text_accuracy(["abcd"], ["abxd e"]).similarity == pytest.approx(1 - 3 / 6)


def test_reading_nothing_where_nothing_is_asked_is_right_and_reading_something_is_not():
    assert text_accuracy([], []).f_score == 1
    found = text_accuracy([], ["spam"])
    assert found.precision == 0 and found.extra == ["spam"]


def test_reading_nothing_where_something_is_asked_scores_zero():
    found = text_accuracy(["title"], [])
    assert (found.recall, found.precision, found.f_score, found.similarity, found.exact) == (0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def page() -> Image.Image:
    page = Image.new("RGB", (400, 480), (26, 38, 86))
    draw = ImageDraw.Draw(page)
    draw.text((30, 60), "HARBOUR LIGHTS", font=ImageFont.load_default(40), fill="white")
    draw.text((30, 300), "Saturday 9 May", font=ImageFont.load_default(30), fill=(246, 206, 64))
    return page


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def test_the_reader_reads_a_drawn_page_top_to_bottom(reader: TextReader, page: Image.Image):
    lines = reader(page)
    assert text_accuracy(["HARBOUR LIGHTS", "Saturday 9 May"], [line.text for line in lines]).exact == 1
    x0, y0, x1, y1 = lines[0].box
    assert 15 < x0 < 45 and 45 < y0 < 75 and 85 < y1 < 120 and 300 < x1 < 400


def test_the_reader_takes_arrays_and_reports_boxes_at_the_images_own_scale(page: Image.Image):
    small = np.asarray(page.resize((200, 240), Image.Resampling.LANCZOS))
    lines = TextReader(enlarge_to=400)(small)
    assert text_accuracy(["HARBOUR LIGHTS"], [lines[0].text]).exact == 1
    assert 20 < lines[0].box[1] < 40


def test_the_reader_finds_nothing_on_a_blank_page(reader: TextReader):
    assert reader(Image.new("RGB", (200, 300), "gray")) == []
