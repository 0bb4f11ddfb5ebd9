"""Which texts a poster must show."""

from __future__ import annotations

from posterkit.metrics.expected_texts import expected_texts
from posterkit.schema import PosterRequest


def test_quoted_texts_and_those_of_the_request_are_expected_each_once() -> None:
    assert expected_texts(PosterRequest('a "JAZZ" night', texts=["8 pm"])) == ("JAZZ", "8 pm")
    assert expected_texts(PosterRequest('a "Jazz Night" poster', texts=["8 pm", "JAZZ NIGHT"])) == (
        "8 pm",
        "JAZZ NIGHT",
    )
    assert expected_texts(PosterRequest('says "OPEN"')) == ("OPEN",)


def test_nobody_knows_is_not_the_same_as_none() -> None:
    assert expected_texts(PosterRequest("waves")) is None
    assert expected_texts(PosterRequest("waves", texts=())) == ()


def test_a_quote_counts_wherever_the_instruction_has_it() -> None:
    assert expected_texts(PosterRequest(task="filling", instruction='Fill it. "Book now" below.')) == ("Book now",)
