"""Critiques of synthetic posters: true ones pass the check, each of seven errors is found, lengths match."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from posterkit.datagen.critiques import (
    ERRORS,
    WEAKENED,
    PosterFacts,
    draw_critic_poster,
    false_claims,
    inject_error,
    match_length,
    weaken,
)
from posterkit.metrics.poster_reader import open_poster_reader
from posterkit.prompts import COLORS
from posterkit.sizing import Size

FACTS = PosterFacts(
    "FOX CLUB", ("FOX CLUB", "Open daily"), "at the top", "white", "navy", "fox", "red", frozenset({"fox", "disc"})
)
TRUE = (
    'Subject: red fox. Background: navy. Texts: 2. Title: "FOX CLUB" at the top, white letters. Line: "Open daily". '
    "Fault: none. Verdict: pass."
)


def test_the_critique_says_what_was_drawn_and_passes_its_check():
    assert FACTS.critique() == TRUE and not false_claims(TRUE, FACTS)
    misspelt = replace(FACTS, texts=("FXO CLUB",))
    assert misspelt.critique() == (
        'Subject: red fox. Background: navy. Texts: 1. Title: "FXO CLUB" at the top, white letters. Line: none. '
        "Fault: title misspelt. Verdict: fail."
    )


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("FOX CLUB", "FOX CLUP", "wrong_text"),
        ("Open daily", "Open today", "wrong_text"),
        ("Texts: 2", "Texts: 3", "wrong_count"),
        ("at the top", "at the bottom left", "wrong_position"),
        ("navy", "red", "wrong_colour"),
        ("white letters", "green letters", "wrong_colour"),
        ("red fox", "blue fox", "wrong_colour"),
        ("red fox", "red pizza", "phantom_element"),
        ("red fox", "red fox, rocket", "phantom_element"),
        ("Verdict: pass", "Verdict: fail", "inverted_verdict"),
    ],
)
def test_a_false_claim_is_found_as_what_it_is(old, new, kind):
    assert [one for one, _ in false_claims(TRUE.replace(old, new), FACTS)] == [kind]


@pytest.mark.parametrize(
    ("old", "new"),
    [("navy", "blue"), ("at the top", "at the top left"), ("at the top", "in the middle"), ("FOX CLUB", "Fox club"),
     ("red fox", "disc"), (TRUE, "A nice poster."), (TRUE, ""), ("Fault: none. ", "")],
)  # fmt: skip
def test_what_is_not_said_or_nearly_right_is_not_false(old, new):
    assert not false_claims(TRUE.replace(old, new), FACTS)


def test_a_missed_defect_names_both_titles():
    facts = replace(FACTS, texts=("FXO CLUB", "Open daily"))
    assert false_claims("Fault: none.", facts) == [("missed_defect", 'the title is "FXO CLUB", not "FOX CLUB"')]


def test_every_error_that_can_be_injected_is_found_and_keeps_the_length():
    made = dict.fromkeys(ERRORS, 0)
    for number in range(60):
        poster = draw_critic_poster(Random(number), Size(128, 192))
        true = poster.facts.critique()
        assert not false_claims(true, poster.facts)
        for kind in ERRORS:
            wrong = inject_error(Random(number), poster.facts, kind)
            if wrong is not None:
                made[kind] += 1
                assert kind in [one for one, _ in false_claims(wrong, poster.facts)]
                assert match_length(wrong, true) == wrong
    assert min(made.values()) > 15 and made["missed_defect"] < 45  # half of the posters have a defect


@pytest.mark.slow
def test_the_facts_are_on_the_poster():
    for number in range(4):
        poster = draw_critic_poster(Random(number), Size(384, 576))
        read = " ".join(text.text for text in open_poster_reader().texts(poster.picture)).casefold()
        assert set(re.findall(r"\w+", poster.facts.texts[0].casefold())) <= set(re.findall(r"\w+", read)), read


def test_the_letters_have_the_colour_that_the_critique_says():
    for number in range(20):
        poster = draw_critic_poster(Random(number), Size(192, 288))
        x0, y0, x1, y1 = poster.boxes[0]
        area = np.asarray(poster.picture)[y0:y1, x0:x1].reshape(-1, 3).astype(int)
        said = np.array(COLORS[poster.facts.letters])
        near = np.abs(area - said).max(1) < 70
        assert near.mean() > 0.05, (number, poster.facts.letters)


@pytest.mark.parametrize("kind", WEAKENED)
def test_a_weakened_poster_differs_and_follows_from_its_seed(kind):
    poster = draw_critic_poster(Random(3), Size(192, 288))
    made = np.asarray(weaken(poster, kind, 5)).astype(int)
    assert np.abs(made - np.asarray(poster.picture)).max() > 20
    assert np.array_equal(made, weaken(poster, kind, 5))


def test_long_answers_are_cut_at_a_sentence_and_short_ones_are_no_match():
    chosen = "One two three. Four five six. Seven eight nine. Ten."
    assert match_length(chosen + " Eleven twelve thirteen. Fourteen.", chosen) == chosen
    assert match_length("One two.", chosen) is None
    assert match_length("word " * 40, chosen) is None
