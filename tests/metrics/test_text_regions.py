"""What lines say of a poster, on lines laid out by hand: texts and their rank, credit blocks, watermarks."""

from __future__ import annotations

import pytest

from posterkit.metrics.ocr import Line
from posterkit.metrics.text_regions import DetectedText, confident_lines, find_texts, has_credit_block, has_watermark

SIZE = (600, 900)


def line(text: str, x: float, y: float, width: float, height: float, score: float = 0.99) -> Line:
    return Line(text, (x, y, x + width, y + height), score)


TITLE = line("JAZZ NIGHT", 50, 60, 500, 100)


def test_what_is_read_unsurely_or_holds_no_letter_is_no_text():
    art = [line("口", 0, 0, 300, 300, 0.7), line("●", 5, 5, 10, 10), line("•X", 9, 9, 9, 9, 0.3), line("", 0, 0, 1, 1)]
    kept = [TITLE, line("A", 0, 0, 90, 90, 0.97), line("8pm", 0, 0, 9, 9, 0.7)]
    assert confident_lines([*art, *kept]) == kept


def test_lines_close_under_each_other_are_one_text_in_reading_order():
    lines = [line("MORNING", 50, 160, 400, 95), line("THE", 50, 60, 200, 90), line("CUP", 50, 265, 200, 90)]
    assert find_texts(lines, SIZE) == (DetectedText("THE MORNING CUP", (50, 60, 450, 355), "major"),)


def test_parts_of_one_row_are_joined_from_left_to_right_and_chinese_without_a_blank():
    row = [line("NIGHT", 310, 62, 200, 80), line("JAZZ", 80, 60, 200, 84)]
    assert [text.text for text in find_texts(row, SIZE)] == ["JAZZ NIGHT"]
    han = [line("夏日", 80, 60, 200, 100), line("音乐会", 80, 165, 300, 100)]
    assert [text.text for text in find_texts(han, SIZE)] == ["夏日音乐会"]


def test_texts_of_another_size_or_further_away_stay_apart_and_come_from_top_to_bottom():
    lines = [
        line("Doors 8 pm", 50, 800, 200, 24),
        TITLE,
        line("Friday", 50, 170, 120, 40),
        line("Club", 50, 850, 90, 24),
    ]
    assert [text.text for text in find_texts(lines, SIZE)] == ["JAZZ NIGHT", "Friday", "Doors 8 pm", "Club"]


def test_the_tallest_text_is_major_however_small_and_others_need_height_and_area():
    assert [text.role for text in find_texts([line("tiny", 5, 5, 20, 6)], SIZE)] == ["major"]
    lines = [
        TITLE,
        line("SECOND TITLE", 50, 300, 500, 61),  # 0.61 of the tallest
        line("Subtitle", 50, 500, 500, 59),  # 0.59
        line("Hi", 300, 700, 30, 70),  # tall enough, 0.39 % of the area: 30 * 70 / 540000
    ]
    assert [text.role for text in find_texts(lines, SIZE)] == ["major", "major", "minor", "minor"]


def test_a_line_that_runs_downwards_is_as_high_as_it_is_wide():
    lines = [TITLE, line("vertical text", 560, 100, 20, 400)]
    assert [text.role for text in find_texts(lines, SIZE)] == ["major", "minor"]


def test_boxes_are_whole_pixels_on_the_canvas():
    (text,) = find_texts([line("EDGE", -3.4, 10.6, 700.2, 40.1)], SIZE)
    assert text.box == (0, 10, 600, 51)
    (far,) = find_texts([line("OUTSIDE", 700, 950, 50, 20)], SIZE)
    x0, y0, x1, y1 = far.box
    assert 0 <= x0 < x1 <= 600 and 0 <= y0 < y1 <= 900


def test_nothing_read_is_no_text_and_no_blemish():
    assert find_texts([], SIZE) == ()
    assert not has_credit_block([], SIZE) and not has_watermark([], SIZE)


CREW = "DIRECTED BY ANNA BERG PRODUCED BY OSCAR LUND"  # 37 letters


def block(text: str, count: int, height: float = 14, pitch: float = 16, width: float = 420) -> list[Line]:
    return [TITLE, *(line(text, 90, 780 + pitch * n, width, height) for n in range(count))]


def test_a_dense_block_of_small_capitals_is_a_credit_block():
    assert has_credit_block(block(CREW, 4), SIZE)
    assert has_credit_block(block("Written and directed by Anna Berg, music by P. Wolf", 4), SIZE)
    assert has_credit_block(block("出品人王小明导演李大伟编剧张三丰主演赵四", 3), SIZE)


@pytest.mark.parametrize(
    "lines",
    [
        block(CREW, 2),  # two lines: a legal note
        block("BLUE NOTE CLUB, MAIN STREET 12", 4, height=40, pitch=44),  # letters of 4 % of the height
        block("DOORS 8 PM", 6, width=120),  # a programme in a narrow column
        block(CREW, 4, width=190),  # a third of the width
        block("Come and see how prints are made in our studio.", 3),  # a sentence or two
        block("FREE ENTRY ALL NIGHT LONG", 5),  # 21 letters a line
    ],
    ids=["two lines", "large letters", "a programme", "narrow", "a paragraph", "airy"],
)
def test_ordinary_small_print_is_none(lines):
    assert not has_credit_block(lines, SIZE)


@pytest.mark.parametrize(
    "mark",
    ["shutterstock", "www.gettyimages.com", "© 2024 North Sea Films", "(c) 2019 A. Berg", "All Rights Reserved",
     "COPYRIGHT A. BERG", "SAMPLE", "- Preview -", "sample only", "视觉中国", "iStock photo"],
)  # fmt: skip
def test_known_marks_are_watermarks(mark):
    assert has_watermark([TITLE, line(mark, 10, 870, 120, 14)], SIZE)


@pytest.mark.parametrize(
    "text", ["SAMPLE SALE", "Film preview 8 pm", "Stock up!", "Gallery of alms", "(c) Main Street"]
)
def test_words_that_posters_use_are_none(text):
    assert not has_watermark([TITLE, line(text, 10, 400, 300, 40)], SIZE)


def tiled(texts: list[str], places: list[tuple[float, float]]) -> list[Line]:
    return [TITLE, *(line(text, 600 * x, 900 * y, 120, 24) for text, (x, y) in zip(texts, places, strict=True))]


CORNERS = [(0.05, 0.2), (0.7, 0.2), (0.05, 0.8), (0.7, 0.8)]


def test_one_text_all_over_the_poster_is_a_watermark_even_where_a_letter_is_misread():
    assert has_watermark(tiled(["PhotoBank", "PhotoBank", "Photo8ank", "hotoBank"], CORNERS), SIZE)


def test_a_text_that_is_repeated_in_one_place_or_a_few_times_is_none():
    assert not has_watermark(tiled(["PhotoBank"] * 3, CORNERS[:3]), SIZE)
    assert not has_watermark(tiled(["SALE"] * 4, [(0.1, y) for y in (0.1, 0.4, 0.6, 0.9)]), SIZE)  # a column
    assert not has_watermark(tiled(["SALE"] * 4, [(x, 0.9) for x in (0.0, 0.25, 0.5, 0.75)]), SIZE)  # a row
    assert not has_watermark(tiled(["8pm"] * 4, CORNERS), SIZE)
    assert not has_watermark(tiled(["Anna", "Boris", "Clara", "David"], CORNERS), SIZE)


def test_hundreds_of_lines_cost_no_time():
    import time

    lines = [line(f"mark {n % 7}", 30 * (n % 20), 10 * (n // 20), 25, 8) for n in range(600)]
    start = time.monotonic()
    find_texts(lines, SIZE)
    has_credit_block(lines, SIZE)
    has_watermark(lines, SIZE)
    assert time.monotonic() - start < 5
