"""Whether a poster shows the expected texts: real letters, read by the real OCR."""

from __future__ import annotations

import numpy as np
import pytest
from glyph_posters import GlyphPosters
from PIL import Image, ImageDraw, ImageFont

from posterkit.metrics.expected_texts import expected_texts, request_from_sample
from posterkit.metrics.glyphs import CELL
from posterkit.metrics.poster_reader import PosterReader
from posterkit.rewards import RewardResult
from posterkit.rewards.parts.text_reward import GlyphReward, TextReward, accuracy
from posterkit.schema import DrawnText, PosterRequest, PosterSample
from posterkit.typeset.fonts import FACES


def poster(*lines: str) -> Image.Image:
    picture = Image.new("RGB", (400, 600), "white")
    draw, face = ImageDraw.Draw(picture), ImageFont.truetype(str(FACES[0].path), 48)
    for n, line in enumerate(lines):
        draw.text((30, 40 + 90 * n), line, font=face, fill="black")
    return picture


def test_the_right_words_score_1_whatever_their_order():
    (result,) = TextReward()([poster("FRIDAY", "JAZZ NIGHT")], [PosterRequest(texts=("JAZZ NIGHT", "FRIDAY"))])
    assert result.value == 1 and result.why == ""
    assert set(result.parts) == {"recall", "precision", "f_score", "similarity", "exact"}


def test_the_misspelt_the_missing_and_the_extra_words_are_named():
    (result,) = TextReward()([poster("JAZZ NIGTH", "CAFE")], [PosterRequest(texts=("JAZZ NIGHT", "TUESDAY"))])
    for fault in ('"night" reads "nigth"', "missing: tuesday", "not asked for: cafe"):
        assert fault in result.why
    assert result.parts["recall"] == pytest.approx(1 / 3) and result.parts["precision"] == pytest.approx(1 / 3)


def test_nothing_asked_and_nothing_written_scores_1_and_something_written_is_not():
    request = PosterRequest("A poster without a text.", texts=())
    blank, written = TextReward()([poster(), poster("SALE TODAY")], [request, request])
    assert blank == RewardResult(1.0, dict.fromkeys(blank.parts, 1.0), "")
    assert written.value < 0.6 and written.parts["precision"] == 0


def test_without_texts_in_the_row_the_quotes_of_the_prompt_are_asked_for():
    rows = [PosterRequest('A poster that says "JAZZ NIGHT".'), PosterRequest("A poster of a whale.")]
    quoted, unknown = TextReward()([poster("JAZZ NIGHT")] * 2, rows)
    assert quoted.value == 1 and not TextReward().applies(rows[1])
    assert unknown.parts == {} and unknown.why == "nothing to judge"


def test_words_that_nobody_dictated_are_forgiven_as_many_as_are_spare_and_no_more():
    # 1 of 3 words right: precision 1/3, recall 1; F = 2 * 1/3 / (4/3) = 0.5
    assert accuracy(["JAZZ"], ["JAZZ", "doors open"]).f_score == pytest.approx(0.5)
    assert accuracy(["JAZZ"], ["JAZZ", "doors open"], spare=1).f_score == pytest.approx(2 / 3)
    assert accuracy(["JAZZ"], ["doors open", "JAZZ"], spare=2).f_score == 1
    assert accuracy(["JAZZ"], ["JAZZ", "JAZZ JAZZ"], spare=1).precision == pytest.approx(1 / 2)


def test_the_fast_setting_reads_large_letters_as_well():
    fast = TextReward(PosterReader(fast=True))
    (result,) = fast([poster("JAZZ NIGHT")], [PosterRequest(texts=("JAZZ NIGHT",))])
    assert result.value == 1 and fast.name != TextReward().name


def test_a_glyph_posters_letters_score_the_share_that_stands_at_its_place():
    sample = next(s for s in (GlyphPosters(3)[n] for n in range(20)) if len(set(s.texts[0].text)) == 3)
    request = request_from_sample(sample)
    x0, y0, _, y1 = sample.regions[0].box
    spoilt = sample.target.copy()
    spoilt[y0:y1, x0 : x0 + CELL[0]] = spoilt[y0:y1, x0 + CELL[0] : x0 + 2 * CELL[0]]  # the second letter twice
    right, one_wrong, flat = GlyphReward()(
        [Image.fromarray(one) for one in (sample.target, spoilt, np.full_like(sample.target, 90))], [request] * 3
    )
    assert right.value == 1 and one_wrong.value == pytest.approx(2 / 3) and flat.value == 0
    letters = sample.texts[0].text
    assert one_wrong.why == f'"{letters[1]}{letters[1]}{letters[2]}" instead of "{letters}"'
    assert not GlyphReward().applies(PosterRequest("a title", texts=(), regions=request.regions, size=request.size))


def test_a_sample_asks_for_what_its_model_can_know():
    target = np.zeros((90, 60, 3), np.uint8)
    mask = np.zeros((90, 60), np.uint8)
    mask[60:] = 255
    texts = [DrawnText("JAZZ", (5, 5, 50, 20)), DrawnText("Book now", (5, 70, 50, 80))]
    same = {"target": target, "texts": texts, "mask": mask, "references": [target]}
    kept = request_from_sample(PosterSample("a", "filling", **same, instruction="Fill the empty area."))
    assert kept.texts == ("JAZZ",) and kept.spare == 2
    both = request_from_sample(PosterSample("a", "filling", **same, instruction='Fill it. "Book now" at the bottom.'))
    assert both.texts == ("JAZZ", "Book now") and both.spare == 0
    nothing = request_from_sample(PosterSample("a", "text", target, instruction="A poster without text."))
    assert nothing.texts == () and nothing.size == (60, 90)


WHOLE = "JAZZ NIGHT Friday 8 pm Blue Note Club"


@pytest.mark.parametrize(
    "texts",
    [
        (WHOLE,),
        ("JAZZ NIGHT", "Friday 8 pm", "Blue Note Club"),
        ("Blue Note Club Friday 8 pm", "JAZZ NIGHT"),
        ("JAZZ", "NIGHT", "Friday", "8 pm", "Blue", "Note Club"),
    ],
)
@pytest.mark.parametrize("read", [("Friday 8 pm", "JAZZ NIGHT", "Blue Note Club"), ("Blue Note", "JAZZ NIHGT 8 pm")])
def test_how_the_texts_are_divided_into_quotes_does_not_count(texts, read):
    quoted = " ".join(f'"{text}"' for text in texts)
    asked = expected_texts(PosterRequest(f"A poster {quoted}", texts=("JAZZ NIGHT", "Friday 8 pm", "Blue Note Club")))
    found, whole = accuracy(asked or (), read), accuracy((WHOLE,), read)
    assert (found.f_score, found.similarity) == pytest.approx((whole.f_score, whole.similarity))
    if len(read) == 3:
        assert found.f_score == found.similarity == 1


def test_similarity_is_by_the_letters_of_the_nearest_words():
    # nihgt for night: 2 of 9 letters; 3 more that nobody asked for: (2 + 3) of 12
    assert accuracy(["JAZZ NIGHT"], ["NIHGT JAZZ"]).similarity == pytest.approx(1 - 2 / 9)
    assert accuracy(["JAZZ NIGHT"], ["NIHGT JAZZ", "bar"]).similarity == pytest.approx(1 - 5 / 12)
    assert accuracy(["JAZZ"], []).similarity == 0 and accuracy([], []).similarity == 1


def test_a_blank_that_is_lost_or_added_is_no_fault():
    assert accuracy(["MASTER OF THE SEA"], ["MASTER OFTHE SEA"]).f_score == 1
    assert accuracy(["MASTER OF THE SEA"], ["MASTEROFTHESEA"]).f_score == 1
    assert accuracy(["JAZZ NIGHT"], ["J A Z Z", "NIGHT"]).f_score == 1
    assert accuracy(["JAZZ NIGHT"], ["JAZZ NIGHTS"]).f_score == 0.5
