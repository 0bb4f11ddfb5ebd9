"""Blanks that OCR loses are put back, and none where none belongs."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.poster_reader import PosterReader
from posterkit.metrics.word_gaps import with_blanks
from posterkit.typeset.fonts import FACES

FACE = next(face.path for face in FACES if face.name == "InterDisplay-Black")


def line(*words: str, gap: float, tracking: float = 0.0) -> Image.Image:
    """Words in a row, `gap` em between two of them and `tracking` em between letters."""
    image = Image.new("RGB", (700, 120), (24, 40, 90))
    draw, face, x = ImageDraw.Draw(image), ImageFont.truetype(str(FACE), 48), 30.0
    for word in words:
        for letter in word:
            draw.text((x, 30), letter, "white", face)
            x += face.getlength(letter) + 48 * tracking
        x += 48 * gap
    return image.crop((25, 30, round(x - 48 * gap) + 5, 82))


CLOSE = [("LUNAR", "NEW", "YEAR"), ("Lunar", "New", "Year"), ("Music", "and", "market"), ("JAZZ", "NIGHT")]


@pytest.mark.parametrize("words", CLOSE)
@pytest.mark.parametrize("gap", [0.14, 0.2, 0.3])
def test_a_gap_between_words_is_a_blank_however_many_were_read(words, gap):
    crop, right = line(*words, gap=gap), " ".join(words)
    for read in ("".join(words), right, f"{words[0]} {''.join(words[1:])}"):
        assert with_blanks(read, crop) == right


@pytest.mark.parametrize("word", ["LIGHTHOUSE", "illumination", "Open-air", "MORNING"])
@pytest.mark.parametrize("tracking", [0.0, 0.05, 0.2])
def test_one_word_stays_one_spaced_out_or_not(word, tracking):
    assert with_blanks(word, line(word, gap=0, tracking=tracking)) == word


def test_a_line_on_a_picture_and_one_in_chinese_stay_as_they_were_read():
    noise = Image.effect_noise((300, 40), 90).convert("RGB")
    assert with_blanks("OFTHESEA", noise) == "OFTHESEA"
    assert with_blanks("春节联欢晚会", line("LUNAR", "NEW", gap=0.3)) == "春节联欢晚会"
    assert with_blanks("", Image.new("RGB", (40, 20))) == ""


def test_the_reader_loses_them_and_the_poster_reader_does_not():
    poster, reader = Image.new("RGB", (700, 400), (24, 40, 90)), PosterReader()
    for n, words in enumerate(CLOSE):
        poster.paste(line(*words, gap=0.1), (30, 20 + 95 * n))
    right = [" ".join(words) for words in CLOSE]
    raw = sum(found.text in right for found in reader.reader(poster))
    assert sum(found.text in right for found in reader.lines(poster)) >= 3 > raw
