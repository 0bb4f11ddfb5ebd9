from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from posterkit.layout import Box
from posterkit.typeset.bidi import bidi_levels, visual_runs
from posterkit.typeset.fonts import FACES, for_text
from posterkit.typeset.placed_text import PlacedLine, PlacedText
from posterkit.typeset.raster import draw
from posterkit.typeset.shaping import shape

FACE = {face.name: face for face in FACES}
needs_raqm = pytest.mark.skipif(not features.check("raqm"), reason="this Pillow was built without raqm")


@needs_raqm
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Manrope-Medium", "AVATAR, Tomorrow at 8"),
        ("BebasNeue-Bold", "WAVES OF TYPE"),
        ("EBGaramond12-Regular", "office affluent"),
        ("NotoSansArabic-Bold", "مرحبا بالعالم"),
        ("NotoSansDevanagari-Bold", "नमस्ते दुनिया"),
        ("PosterkitSansCJK-Bold", "東京ラーメン"),
    ],
)
def test_a_lines_width_is_what_raqm_measures(name, text):
    language = "ja" if "東" in text else "en"
    wanted = ImageFont.truetype(str(FACE[name].path), 1000).getlength(text, language=language) / 1000
    assert shape(text, (FACE[name],)).width == pytest.approx(wanted, rel=0.003)


def test_tracking_adds_space_between_letters_only():
    face = (FACE["Manrope-Medium"],)
    # "nnnn" has no kerning pairs nor ligatures: three gaps stand between four letters
    assert shape("nnnn", face, 0.1).width == pytest.approx(shape("nnnn", face).width + 0.3, abs=1e-6)


def test_joined_scripts_are_never_spaced():
    face = (FACE["NotoSansArabic-Bold"],)
    assert shape("مرحبا", face, 0.2).width == shape("مرحبا", face).width


def test_an_accent_stays_on_its_letter_when_letters_are_spaced():
    line = shape("ǹn̈n", (FACE["Inter-Medium"],), 0.2)
    assert [letter for letter, _ in line.runs[0].letters()] == ["ǹ", "n̈", "n"]


@pytest.mark.parametrize(
    ("text", "rtl", "levels"),
    [
        ("abc", False, "000"),
        ("אבג", True, "111"),
        ("ab אב cd", False, "00011000"),
        ("אב ab גד", True, "11122111"),
        ("אב 12 גד", True, "11122111"),  # numbers run left to right inside right to left text
        ("אב, גד!", False, "1111110"),  # the mark after the last word belongs to the paragraph
        ("אב 5$", True, "11122"),  # W5: a currency sign goes with its number
        ("مر 5$", True, "11121"),  # W2: but not with a number after Arabic letters
        ("(אב)", True, "1111"),
    ],
)
def test_embedding_levels_follow_the_unicode_algorithm(text, rtl, levels):
    assert "".join(map(str, bidi_levels(text, rtl))) == levels


def test_runs_come_in_visual_order():
    assert [(start, run) for start, run, _ in visual_runs("אב ab גד", True)] == [(5, " גד"), (3, "ab"), (0, "אב ")]


@pytest.mark.parametrize("number", ["+972 3 123 4567", "03 123 45 67", "054-123-4567"])
def test_a_telephone_number_reads_from_left_to_right_in_hebrew_too(number):
    runs = [run for _, run, _ in visual_runs(f"טלפון {number} כל יום", True)]
    assert runs == [" כל יום", number, "טלפון "]


@needs_raqm
@pytest.mark.parametrize("text", ["الجمعة 12 يونيو: 8.30", "مرحبا", "2026 مهرجان 14-15"])
def test_mixed_directions_are_drawn_as_raqm_alone_draws_them(text):
    face = FACE["NotoSansArabic-Bold"]
    line = shape(text, (face,))
    ours = Image.new("RGB", (900, 140))
    box = Box(0, 0, 900, 140)
    draw(ours, PlacedText(text, "body", box, "", 60, (255, 255, 255), (text,), 21, (PlacedLine(line, 20, 90),)))
    theirs = Image.new("RGB", (900, 140))
    font = ImageFont.truetype(str(face.path), 60)
    ImageDraw.Draw(theirs).text((20, 90), text, font=font, anchor="ls", direction="rtl" if line.rtl else "ltr")
    difference = np.abs(np.asarray(ours, float) - np.asarray(theirs, float))
    assert np.asarray(theirs).max() == 255
    assert difference.mean() < 1.0


def test_japanese_and_chinese_get_their_own_forms_of_a_character():
    face = (FACE["PosterkitSansCJK-Bold"],)
    chinese = shape("直", face).runs[0].glyphs[0].gid
    japanese = shape("直の", face).runs[0].glyphs[0].gid
    assert chinese != japanese


def test_a_line_that_mixes_scripts_has_a_glyph_for_every_character():
    text = "Jazz 爵士 Джаз"
    line = shape(text, for_text(text, "modern", title=True))
    assert "".join(run.text for run in line.runs) == text
    assert all(glyph.gid != 0 for run in line.runs for glyph in run.glyphs)
    ends = [(run.x, run.x + run.width) for run in line.runs]
    assert all(a[1] == pytest.approx(b[0]) for a, b in pairwise(ends))


@pytest.mark.parametrize(("text", "language"), [
    ("Ночь джаза", "ru"), ("Ніч джазу", "uk"), ("مهرجان", "ar"), ("جشنواره پاییز", "fa"), ("بڑا میلہ", "ur"),
    ("夏フェス", "ja"), ("재즈", "ko"), ("爵士", "zh-Hans"), ("מוזיקה", "he"), ("Jazz", ""),
])  # fmt: skip
def test_a_line_has_the_language_that_its_letters_tell(text: str, language: str) -> None:
    line = shape(text, for_text(text))
    assert {run.language for run in line.runs} == {language}
