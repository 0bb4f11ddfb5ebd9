"""The rules on posters that the tests draw, read by the real OCR."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from drawn_posters import SIZE, TEXTS, marked, noise, poster, with_credits
from PIL import Image, ImageDraw, ImageFilter

from posterkit.critic.model import speaks_of_another
from posterkit.critic.rules import RulesCritic
from posterkit.metrics.arrangement import box_overlap
from posterkit.metrics.ocr import Line
from posterkit.metrics.poster_reader import SMALLEST, PosterReader
from posterkit.prompts import PosterBrief, quoted_texts
from posterkit.typeset.poster import typeset

PROMPT = 'A jazz poster on a green background, "JAZZ NIGHT", "Friday 8 pm", "Blue Note Club"'
GRID = [(x, y) for y in range(30, 560, 130) for x in (10, 150, 285)]


@pytest.fixture(scope="module")
def judge() -> RulesCritic:
    return RulesCritic()


@pytest.fixture(scope="module")
def blind() -> RulesCritic:
    return RulesCritic(read_text=False)


def test_the_texts_of_a_poster_are_read_with_their_boxes_and_rank(judge):
    from drawn_posters import art

    set_ = typeset(art(3), PosterBrief(texts=list(TEXTS)))
    found = judge.texts(set_.image)
    assert [(text.text, text.role) for text in found] == list(zip(TEXTS, ("major", "minor", "minor"), strict=True))
    for seen, placed in zip(found, set_.boxes, strict=True):
        assert box_overlap(seen.box, placed.box) > 0.5


@pytest.mark.slow
def test_a_billing_block_is_a_blemish_and_small_details_are_none(judge):
    assert judge.blemishes(with_credits("coffee")) == ("credit block",)
    assert judge.blemishes(poster(3)) == ()
    paragraph = poster(3, "OPEN STUDIO", "Come and see how prints are made and try the press yourself", "Mill Lane 4")
    assert judge.blemishes(paragraph) == ()


@pytest.mark.slow
def test_marks_over_the_picture_are_a_watermark_and_a_shout_is_none(judge):
    assert judge.blemishes(marked(poster(3), "PhotoBank", GRID, 20)) == ("watermark",)
    assert judge.blemishes(marked(poster("coffee"), "shutterstock", [(100, 330)], 32)) == ("watermark",)
    assert judge.blemishes(poster(2, "SALE SALE SALE", "Up to half price")) == ()


@pytest.mark.slow
@pytest.mark.parametrize("picture", [0, 1, 2, 4, 5, 6, "rocket", "chelsea", "astronaut"])
def test_blemishes_are_told_apart_on_many_pictures(judge, picture):
    assert judge.blemishes(poster(picture)) == ()
    assert "credit block" in judge.blemishes(with_credits(picture))
    assert "watermark" in judge.blemishes(marked(poster(picture), "PhotoBank", GRID, 20))
    assert "watermark" in judge.blemishes(marked(poster(picture), "© 2024 North Sea Films", [(20, 570)], 14))


def test_the_caption_quotes_each_text_with_place_and_colour_and_names_the_ground(judge):
    caption = judge.caption(poster(3))
    assert quoted_texts(caption) == list(TEXTS)
    assert caption.startswith("A flat, vivid, high-contrast poster on a green background with ")
    assert 'The title "JAZZ NIGHT" in large black letters at the top.' in caption


def test_quotes_in_a_text_are_written_as_briefs_read_them(judge):
    spoken = Image.new("RGB", SIZE, (246, 244, 240))
    ImageDraw.Draw(spoken).text((40, 200), 'Say "YES"', fill="black", font_size=64)
    (text,) = judge.texts(spoken)
    assert text.text.count('"') == 2
    assert quoted_texts(judge.caption(spoken)) == [text.text]


def test_suggestions_name_what_is_wrong(judge):
    said = judge.suggest(poster(3), PROMPT.replace("Friday", "Fridya").replace("green", "navy"))
    assert 'Spell "fridya" rightly instead of "friday".' in said.content
    assert "Make the background navy; it is green." in said.content
    pale = Image.new("RGB", SIZE, (240, 240, 240))
    ImageDraw.Draw(pale).text((3, 200), "QUIET", fill=(205, 205, 205), font_size=100)
    style = judge.suggest(pale, 'A poster "QUIET"').style
    assert 'Raise the contrast of "QUIET" against the ground behind it.' in style
    assert 'Move "QUIET" away from the edge.' in style


def test_missing_and_needless_words_are_named(judge):
    said = judge.suggest(poster(3), '"JAZZ NIGHT", "Friday 8 pm", "Tickets here"')
    assert 'Add the missing words "tickets here".' in said.content
    assert 'Remove the words "blue note club", which nobody asked for.' in said.content


def test_where_nothing_is_wrong_it_says_what_to_keep(judge):
    said = judge.suggest(poster(3), PROMPT)
    assert said.content == "Keep what it shows and says."
    assert said.style


def test_a_better_poster_is_compared_with_in_silence(blind):
    good, dull = poster(5), poster(5).filter(ImageFilter.GaussianBlur(1.2))
    assert "crisply" not in blind.suggest(dull, "p").style
    said = blind.suggest(dull, "p", better=good)
    assert "Draw edges crisply" in said.style
    assert not speaks_of_another(f"{said.content} {said.style}")


def test_without_reading_there_are_no_texts_and_no_blemishes_and_the_rest_works(blind):
    film = with_credits("coffee")
    assert blind.name == "rules-blind" and RulesCritic().name == "rules"
    assert blind.texts(film) == () and blind.blemishes(film) == ()
    assert blind.caption(film).startswith("A detailed,") and '"' not in blind.caption(film)
    assert blind.suggest(film, '"LIGHTHOUSE"').content


def test_a_poster_is_read_once_however_often_it_is_asked_about(judge, monkeypatch):
    fresh = RulesCritic()
    read = []

    def reader(picture: Image.Image) -> list:
        read.append(picture.size)
        return []

    fresh.reader = PosterReader()
    monkeypatch.setattr(fresh.reader, "reader", reader)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: (fresh.texts(poster(3)), fresh.suggest(poster(3), PROMPT)), range(8)))
    assert read == [SIZE]
    for seed in range(40):
        fresh.texts(noise(seed).resize((20, 30)))
    assert len(read) == 41 and len(fresh.reader._remembered) == 32


def test_pictures_that_are_not_rgb_and_the_smallest_ones_are_judged_too(judge):
    for picture in (
        Image.new("RGBA", (64, 64), (255, 0, 0, 128)),
        Image.new("L", (40, 60), 7),
        Image.new("RGB", (1, 1)),
    ):
        assert judge.texts(picture) == () and judge.caption(picture)
        assert judge.suggest(picture, "").content


def test_a_poster_that_is_drawn_on_between_two_questions_is_measured_anew(blind):
    picture = poster(5).copy()
    before = blind.caption(picture)
    picture.paste("white", (0, 0, *SIZE))
    assert blind.caption(picture) != before and "on a white background" in blind.caption(picture)


def test_what_was_read_is_kept_on_disk_and_read_again_where_it_is_damaged(tmp_path, monkeypatch):
    wordy = poster(5)
    first = PosterReader(cache=tmp_path).texts(wordy)
    (entry,) = tmp_path.rglob("*.json")
    kept = entry.read_bytes()
    fresh = PosterReader(cache=tmp_path)
    assert fresh.texts(wordy) == first and "_engine" not in vars(fresh.reader)  # no model was loaded
    for damage in (b"{}", kept[:-20], b'{"answer": "[[1]]"}', b'{"answer": "["}'):
        entry.write_bytes(damage)
        mended, reading = PosterReader(cache=tmp_path), Reading([("READ ANEW", (0.0, 0.0, 90.0, 20.0), 0.99)])
        monkeypatch.setattr(mended, "reader", reading)
        assert [text.text for text in mended.texts(wordy)] == ["READ ANEW"] and reading.count == 1


class Reading:
    """A reader that always reads the same, and counts."""

    limit, enlarge_to = None, SMALLEST

    def __init__(self, lines: list) -> None:
        self.lines, self.count = [Line(*line) for line in lines], 0

    def __call__(self, image: Image.Image) -> list[Line]:
        self.count += 1
        return self.lines
