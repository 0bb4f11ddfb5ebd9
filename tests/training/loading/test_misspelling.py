"""Errors drawn into lettering: the letters that are told change places, and the ground stays as it is."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from glyph_posters import GlyphPosters
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.glyphs import read_glyphs
from posterkit.metrics.ocr import TextReader, words
from posterkit.schema import DrawnLine
from posterkit.synthetic import SyntheticPosters
from posterkit.training.loading.misspelling import misspelt, words_on


def drawn(text: str, ground: int | np.ndarray = 230) -> tuple[np.ndarray, DrawnLine]:
    """A text in the middle of a poster of 320x120 pixels, and its box."""
    picture = Image.fromarray(np.broadcast_to(np.asarray(ground, np.uint8), (120, 320))).convert("RGB")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(40)
    box = pen.multiline_textbbox((20, 12), text, font=font)
    pen.multiline_text((20, 12), text, fill=(20, 20, 90), font=font)
    x0, y0, x1, y1 = (int(side) for side in box)
    return np.asarray(picture), DrawnLine(text.replace("\n", " "), (x0, y0, x1 + 1, y1 + 1))


def test_what_is_read_of_glyph_posters_is_the_title_with_the_told_letters_exchanged():
    posters, seen = GlyphPosters(3), 0
    for number in range(60):
        poster = posters[number]
        title = poster.texts[0]
        made = misspelt(Random(number), poster.target, title.lines)
        if made is None:
            continue
        seen += 1
        assert made[1] in (
            f'letters 1 and 2 of "{title.text}" exchanged',
            f'letters 2 and 3 of "{title.text}" exchanged',
        )
        a, b, c = title.text
        expected = b + a + c if "1 and 2" in made[1] else a + c + b
        assert read_glyphs(made[0], [line.box for line in title.lines]) == expected != title.text
    assert seen >= 12  # a third of the grounds are plain


def test_nothing_outside_the_line_changes_and_no_ink_is_lost():
    poster, line = drawn("TRAIN")
    made, why = misspelt(Random(4), poster, [line])
    assert why.endswith('of "TRAIN" exchanged')
    x0, y0, x1, y1 = line.box
    changed = np.argwhere((made != poster).any(-1))
    assert (changed.min(0) >= (y0 - 6, x0 - 6)).all() and (changed.max(0) <= (y1 + 6, x1 + 6)).all()
    assert np.array_equal(np.sort(made.reshape(-1, 3), 0), np.sort(poster.reshape(-1, 3), 0))


def test_the_same_seed_spoils_the_same_way_and_another_one_another_pair():
    poster, line = drawn("WINTER")
    first, again = (misspelt(Random(1), poster, [line]) for _ in range(2))
    assert np.array_equal(first[0], again[0]) and first[1] == again[1]
    assert len({misspelt(Random(seed), poster, [line])[1] for seed in range(20)}) >= 3


@pytest.mark.parametrize("text", ["OOO", "I", "-", ""])
def test_a_text_without_two_letters_that_differ_is_left_alone(text):
    poster, line = drawn(text or " ")
    assert misspelt(Random(0), poster, [DrawnLine(text, line.box)]) is None


def test_a_line_on_an_uneven_ground_is_left_alone():
    stripes = np.tile(np.where(np.arange(320) // 5 % 2, 250, 190), (120, 1))
    poster, line = drawn("WINTER", stripes)
    assert misspelt(Random(0), poster, [line]) is None


def test_letters_that_are_alike_change_no_places_but_others_stand_in_for_them():
    poster, line = drawn("H K")  # no two of a word
    made, why = misspelt(Random(0), poster, [line])
    assert why in ('"H" in place of letter 1 of "K"', '"K" in place of letter 1 of "H"')
    assert (made != poster).any()


def test_words_on_two_rows_are_told_apart_and_so_are_their_letters():
    poster, line = drawn("MAIN\nHIT OK")
    found = {"".join(word.text): word for word in words_on(poster, [line])}
    assert list(found) == ["MAIN", "HIT", "OK"] and all(word.known for word in found.values())
    assert found["MAIN"].rows[1] <= found["HIT"].rows[0] and found["HIT"].rows == found["OK"].rows
    spans = [*found["HIT"].spans, *found["OK"].spans]
    assert spans == sorted(spans) and found["HIT"].spans[-1][1] < found["OK"].spans[0][0]


def test_dots_and_accents_belong_to_their_letters():
    poster, line = drawn("nimÉ ri")
    assert [("".join(word.text), word.known) for word in words_on(poster, [line])] == [("nimÉ", True), ("ri", True)]


def test_text_that_runs_leftwards_is_left_alone():
    poster, line = drawn("WINTER")
    assert misspelt(Random(0), poster, [DrawnLine("שלום", line.box)]) is None


@pytest.mark.slow
def test_an_ocr_model_reads_another_text_than_was_asked_for():
    reader, differ, seen = TextReader(), 0, 0
    posters = SyntheticPosters(5, size=(512, 768))
    for poster in (posters[number] for number in range(16)):
        lines = [DrawnLine(text.text, text.box) for text in poster.texts if text.box]
        if made := misspelt(Random(1), poster.target, lines):
            asked, read = (sorted(word for text in texts for word in words(text)) for texts in (
                [text.text for text in poster.texts], [line.text for line in reader(made[0])]))  # fmt: skip
            seen, differ = seen + 1, differ + (asked != read)
    assert seen >= 6 and differ / seen > 0.8
