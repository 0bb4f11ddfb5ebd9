"""Pictures of the judge bench: they suggest what they should by an independent reader, and follow from their seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posterkit.evaluation.judge_questions import judge_questions
from posterkit.evaluation.judge_replies import asserted
from posterkit.evaluation.suggestive_pictures import (
    DRAWING,
    GROUNDS,
    SIZE,
    ground_posters,
    rendering_of,
    suggestive_picture,
)
from posterkit.metrics.poster_reader import open_poster_reader


def of_rendering(kind: str, count: int = 1):
    return [one for one in judge_questions(200) if rendering_of(one) == kind][:count]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lettering", "badge", "brand"])
def test_letters_of_a_picture_read_as_the_answer_that_it_suggests(kind):
    (question,) = of_rendering(kind)
    for answer in question.misleading[:1]:
        read = " ".join(text.text for text in open_poster_reader().texts(suggestive_picture(question, answer)))
        assert asserted(read, (question.answer, *question.misleading)) == {answer}, read
    read = " ".join(text.text for text in open_poster_reader().texts(suggestive_picture(question, None)))
    assert "welcome" in read.lower()


@pytest.mark.slow
def test_a_drawing_shows_the_thing_and_no_letters():
    (question,) = of_rendering(DRAWING)
    pictures = [suggestive_picture(question, one) for one in (question.answer, *question.misleading, None)]
    assert all(one.size == SIZE and one.mode == "RGB" for one in pictures)
    assert len({one.tobytes() for one in pictures}) == 7
    assert not open_poster_reader().texts(pictures[0])


def test_a_pictures_pixels_follow_from_the_question_alone():
    for question in judge_questions(4, seed=5):
        again = suggestive_picture(replace(question), question.misleading[0])
        assert np.array_equal(suggestive_picture(question, question.misleading[0]), again)


def test_the_ground_changes_and_the_letters_stay_where_they_are():
    poster = ground_posters(1)[0]
    on = {ground: np.asarray(poster.on(ground)).astype(int) for ground in GROUNDS}
    for ground in ("award", "rating", "face", "brand"):
        change = np.abs(on[ground] - on["plain"]).max(2)
        assert change[:225].max() <= 1 and 0.02 < (change > 20).mean() < 0.2  # a shadow below a text may differ by one
    assert (on["picture"] != on["plain"]).any(2).mean() > 0.5


def test_every_third_poster_is_sound_misspelt_or_lacks_its_line():
    posters = ground_posters(6, seed=2)
    for number, poster in enumerate(posters):
        title, line = poster.request.prompt.split('"')[1::2]
        assert poster.texts == (title, line) if number % 3 == 0 else poster.texts != (title, line)
        assert sorted(poster.texts[0]) == sorted(title)
        assert len(poster.texts) == (1 if number % 3 == 2 else 2)
