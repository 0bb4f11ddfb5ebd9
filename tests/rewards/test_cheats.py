"""The obvious cheats score less than an honest poster under the composed reward of the task they attack.

Where a single reward is fooled, a test says so: that is why it does not stand alone.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from cheats import CHEATS, cheat
from glyph_posters import GlyphPosters
from PIL import Image

from posterkit.metrics.expected_texts import request_from_sample
from posterkit.rewards import RewardResult, open_reward
from posterkit.schema import PosterRequest
from posterkit.synthetic import SyntheticPosters
from posterkit.tasks import TASKS

SIZE, REFERENCES = (256, 384), 192 * 288
LEAD = 0.05  # an honest poster is ahead by more than that


@cache
def honest(task: str) -> tuple[Image.Image, PosterRequest]:
    """A held-out poster of a set that says something, and what it was asked to be."""
    drawn = SyntheticPosters(seed=2, size=SIZE, tasks=(task,), split="heldout", reference_area=REFERENCES)
    sample = next(
        s for s in (drawn[n] for n in range(30)) if request_from_sample(s).texts or s.task in ("extending", "filling")
    )
    return Image.fromarray(sample.target), request_from_sample(sample)


@cache
def score(task: str, reward: str, name: str = "") -> RewardResult:
    """What a reward says of the honest poster of a task, or of a cheat in its place."""
    poster, row = honest(task)
    shown = cheat(name, row) if name else poster
    assert shown is not None
    return open_reward(reward, fast=True)([shown], [row])[0]


def cheats_of(task: str) -> list[str]:
    return [name for name in CHEATS if cheat(name, honest(task)[1]) is not None]


def test_each_task_has_its_cheats():
    assert set(CHEATS) == {name for task in ("text", *TASKS) for name in cheats_of(task)}
    assert {"blank", "noise", "sprayed text"} <= set(cheats_of("text"))
    assert {"copied input", "edge replication", "shuffled reference"} <= set(cheats_of("extending"))
    assert "pasted reference" in cheats_of("id_driven")


ALL = [(task, name) for task in ("text", *TASKS) for name in cheats_of(task)]
QUICK = [("text", "blank"), ("text", "sprayed text"), ("extending", "edge replication"), ("filling", "copied input"),
         ("id_driven", "pasted reference"), ("style_driven", "copied input")]  # fmt: skip


def ahead(task: str, name: str) -> None:
    best, cheated = score(task, "rules"), score(task, "rules", name)
    assert cheated.value < best.value - LEAD, f"{cheated} against {best}"


@pytest.mark.parametrize(("task", "name"), QUICK)
def test_a_cheat_scores_less_than_an_honest_poster(task, name):
    ahead(task, name)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), [one for one in ALL if one not in QUICK])
def test_every_other_cheat_scores_less_too(task, name):
    ahead(task, name)


def test_text_alone_is_fooled_by_words_on_an_empty_ground_and_not_by_words_everywhere():
    assert score("text", "text", "words alone").value > 0.9
    assert score("text", "text", "sprayed text").value < 0.3


def test_preservation_alone_is_fooled_by_the_input_handed_back():
    assert score("filling", "preservation", "copied input").value == 1
    assert score("filling", "rules", "copied input").value <= 0.2


def test_identity_and_style_alone_are_fooled_by_the_reference_itself():
    assert score("id_driven", "identity", "pasted reference").value > 0.75
    assert score("style_driven", "style", "shuffled reference").value > score("style_driven", "style").value


def test_a_generic_reward_is_fooled_by_edges_drawn_out_and_the_tasks_own_is_not():
    assert score("extending", "generic", "edge replication").value > score("extending", "generic").value - 0.1
    assert score("extending", "rules", "edge replication").value <= 0.2 < score("extending", "rules").value


def test_letters_everywhere_else_do_not_fool_the_glyph_reward_and_do_not_harm_it():
    sample = GlyphPosters(0)[0]
    row, reward = request_from_sample(sample), open_reward("glyphs")
    x0, y0, x1, y1 = sample.regions[0].box
    title = sample.target[y0:y1, x0:x1]
    sprayed = np.zeros_like(sample.target)
    for y in range(y0 % 28, 96 - 27, 28):
        sprayed[y : y + 28, x0:x1] = title
    lower = np.roll(sample.target, 40, axis=0)
    results = reward([Image.fromarray(one) for one in (sample.target, sprayed, lower)], [row] * 3)
    assert results[0].value == results[1].value == 1 and results[2].value < 0.5
