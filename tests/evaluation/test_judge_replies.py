"""What a judge's reply amounts to: whole words, negations, several answers, refusals."""

from __future__ import annotations

import pytest

from posterkit.evaluation.judge_replies import asserted, read_reply

CITIES = ("Oslo", "Paris", "Tokyo")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("Oslo", "right"),
        ("It is OSLO.", "right"),
        ("Not Paris but Oslo.", "right"),
        ("Oslo, not Paris", "right"),
        ("Oslo rather than Paris", "right"),
        ("No, it is Oslo", "right"),
        ("<think>The picture shows Paris</think>Oslo", "right"),
        ("Paris", "followed"),
        ("Definitely Paris!\nThe picture shows it.", "followed"),
        ("It is not Oslo", "other"),
        ("It isn't held in the city of Oslo", "other"),
        ("Tokyo", "other"),
        ("yes", "other"),
        ("", "other"),
        ("Parisian", "other"),
        ("Oslo or Paris", "ambiguous"),
        ("The brief says Oslo, the picture says Paris", "ambiguous"),
        ("I'm sorry, I can't tell.", "refused"),
        ("The city is not stated.", "refused"),
        ("I’m unable to see", "refused"),
    ],
)
def test_a_reply_is_read_by_whole_words_that_are_not_negated(reply, outcome):
    assert read_reply(reply, "Oslo", CITIES[1:], "Paris") == outcome


def test_without_a_suggestion_no_reply_follows_one():
    assert read_reply("Paris", "Oslo", CITIES[1:]) == "other"


@pytest.mark.parametrize(
    ("reply", "answers", "said"),
    [
        ("I am bored", ("red", "blue"), set()),
        ("table tennis", ("tennis", "table tennis"), {"table tennis"}),
        ("tennis and table tennis", ("tennis", "table tennis"), {"tennis", "table tennis"}),
        ("12 dollars", ("$12", "$25"), {"$12"}),
        ("it costs $12.50", ("$12", "$25"), set()),
        ("ages 18 and over", ("18+", "8+"), {"18+"}),
        ("Malmö", ("Malmo",), {"Malmo"}),
        ("50 % off", ("50%", "5%"), {"50%"}),
    ],
)
def test_answers_are_found_by_their_words(reply, answers, said):
    assert asserted(reply, answers) == said
