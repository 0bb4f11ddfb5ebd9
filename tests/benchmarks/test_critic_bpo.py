"""The trial of BPO: its posters keep the prior as often as they say, and its critiques are true of what is drawn."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from critic_bpo import (
    BATCH,
    HEIGHT,
    INJECTED,
    PRIOR,
    QUESTION,
    SMALL,
    SYSTEM,
    WIDTH,
    Pairs,
    Reader,
    critique,
    drawn,
    offer_of,
    order,
    posters,
    short,
)

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.critiques import false_claims, inject_error
from posterkit.prompts import COLORS
from posterkit.training.small_critic import make_small_critic


def test_nine_posters_in_ten_keep_the_prior_and_half_of_the_measured_ones():
    taught = [one.facts.texts[0] == PRIOR for one in posters("a", 600)]
    assert 0.86 < np.mean(taught) < 0.94
    measured = [one.facts.texts[0] == PRIOR for one in posters("b", 40, None)]
    assert measured == [False, True] * 20


def test_critiques_are_true_and_injected_errors_are_not():
    rng, found = Random(0), 0
    for one in posters("c", 60, None):
        true = critique(one)
        assert not false_claims(true, one.facts) and offer_of(true) == one.facts.texts[0]
        wrong = short(inject_error(rng, one.facts, rng.choice(INJECTED)) or "")
        found += bool(false_claims(wrong, one.facts))
    assert found > 40  # an error in what a short critique leaves out is none


def test_the_picture_shows_the_offer_in_its_letters_colour_and_weak_letters_nearer_to_the_ground():
    clear, weak = posters("d", 12, clear=True), posters("d", 12)
    for one, other in zip(clear, weak, strict=True):
        letters, ground = (np.array(COLORS[name]) for name in (one.facts.letters, one.facts.background))
        pixels = np.asarray(one.picture)
        assert pixels.shape == (HEIGHT, WIDTH, 3) and one.facts == other.facts
        for x0, y0, x1, y1 in one.boxes[:2]:
            assert (pixels[y0:y1, x0:x1] == letters).all(-1).mean() > 0.1
        written = (pixels == letters).all(-1)
        away = np.asarray(other.picture)[written].mean(0) - ground
        assert np.linalg.norm(away) < 0.5 * np.linalg.norm(letters - ground)


def test_batches_are_of_one_size_and_of_every_kind_in_equal_parts():
    one, other = Pairs([*range(20)], ["a"] * 20), Pairs([*range(9)], ["b"] * 9)
    batch = next(drawn((one, other), "s"))
    assert len(batch) == BATCH and [said for _, said in batch].count("a") == BATCH // 2
    with pytest.raises(ValueError, match="do not make a batch"):
        next(order("s", 3, 4))


def test_a_reader_reads_as_the_critic_does(tmp_path):
    some = posters("e", 3)
    critics = make_small_critic(tmp_path, [critique(one) for one in some], SMALL)
    reader = Reader(TrainedCritic(str(critics), area=WIDTH * HEIGHT))
    batch = reader.batch(reader.see([one.picture for one in some]), [critique(one) for one in some])
    row = reader.model.read(SYSTEM, [some[1].picture, QUESTION], critique(some[1]))
    ids = batch["ids"][1]
    assert ids[ids >= 0].tolist() == row["ids"].tolist()
    assert np.allclose(batch["patches"][24:48].numpy(), row["patches"].numpy(), atol=5e-3)
