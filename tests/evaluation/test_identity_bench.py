"""The identity bench: replies are read right, and judges of known behaviour get the figures that they deserve."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from posterkit.datagen.identities import SyntheticIdentities
from posterkit.datagen.identity_questions import ABSENT, NEGATIVES
from posterkit.evaluation.identity_bench import (
    IdentityBench,
    as_markdown,
    best_threshold,
    identity_figures,
    read_answer,
)
from posterkit.evaluation.judges import Judge
from posterkit.llm.client import AnswerError
from posterkit.rewards.reward import RewardResult
from posterkit.sizing import Size


@pytest.fixture(scope="module")
def bench() -> IdentityBench:
    return IdentityBench(SyntheticIdentities(24), 32, size=Size(96, 144))


class Answers:
    """Answers every question as `say` does; fails where that raises."""

    name = "fixture"

    def __init__(self, bench: IdentityBench, say) -> None:
        self.known, self.say, self.asked = {one.prompt: one for one in bench.questions}, say, 0

    def ask(self, system, user, images=(), schema=None):
        self.asked += 1
        one = self.known[user]
        assert len(images) == one.references + 1
        return self.say(one)


def judge(answers=None, reward=None) -> Judge:
    return Judge("fixture", "fixture", "", answers, reward)


def test_an_oracle_is_right_on_both_and_one_that_always_refuses_or_never_has_a_half(bench, tmp_path):
    said = {"oracle": lambda one: one.answer, "refuser": lambda one: ABSENT.format(name=one.names[-1]),
            "yes": lambda one: one.answer if one.negative is None else "It stands on the left."}  # fmt: skip
    found = {name: bench.run(judge(Answers(bench, say)), tmp_path / name) for name, say in said.items()}
    means = {name: [report[key]["mean"] for key in ("answerable", "unanswerable", "balanced", "over_refusal")]
             for name, report in found.items()}  # fmt: skip
    assert means == {"oracle": [1, 1, 1, 0], "refuser": [0, 1, 0.5, 1], "yes": [1, 0, 0.5, 0]}


def test_every_negative_and_every_number_of_references_is_asked_for(bench):
    asked = {(one.negative, one.references) for one in bench.questions}
    assert {negative for negative, _ in asked} == {None, *NEGATIVES}
    assert {references for negative, references in asked if negative} == {1, 2, 3, 4}
    assert all(one.split == "heldout" for one in bench.questions)


def test_a_dying_endpoint_is_counted_and_asked_again_and_no_row_counts_as_wrong(bench, tmp_path):
    def dies(one):
        if one.id == bench.questions[3].id:
            raise AnswerError("fixture: connection refused")
        return one.answer

    first = bench.run(judge(Answers(bench, dies)), tmp_path, threads=1)
    assert first["failed"] == 1 and first["faults"] == ["fixture: connection refused"]
    assert first["balanced"]["mean"] == 1.0 and first["outcomes"]["failed"] == 1
    again = Answers(bench, lambda one: one.answer)
    assert bench.run(judge(again), tmp_path)["failed"] == 0 and again.asked == 1


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("{answer}", "right"), ("Answer: {answer}", "right"), ("**{answer}**", "right"), ("{other}", "wrong"),
        ("I do not see it on this poster.", "refused"), ("Velmo isn’t on this poster.", "refused"),
        ("It is nowhere.", "refused"), ("I was never introduced to Velmo.", "refused"), ("", "wrong"),
        ("{place}", "right"),
    ],
)  # fmt: skip
def test_replies_to_a_choice_are_read_by_letter_place_or_refusal(bench, reply, outcome):
    one = next(one for one in bench.questions if one.question == "choice" and not one.negative)
    place = one.prompt.partition(f"{one.answer}: ")[2].partition(".")[0]
    other = next(letter for letter in "ABCD" if letter != one.answer)
    assert read_answer(reply.format(answer=one.answer, other=other, place=place), one) == outcome


def test_what_is_no_refusal_is_wrong_where_there_is_no_answer(bench):
    one = next(one for one in bench.questions if one.negative)
    assert read_answer("A", one) == "wrong"
    assert read_answer(one.answer, one) == "refused"


def test_a_reward_is_calibrated_on_one_half_and_reported_on_the_other(bench, tmp_path):
    class Presence:
        name = "presence"

        def __call__(self, images, requests):
            known = {one.id: one for one in bench.questions}
            noise = Random(requests[0].id).random() * 0.2
            return [RewardResult(0.1 + noise if known[requests[0].id].negative else 0.6 + noise)]

    report = bench.run(judge(reward=Presence()), tmp_path)
    assert 0.3 < report["threshold"] <= 0.8 and report["balanced"]["mean"] == 1.0
    kinds = {kind for kind, row in report["cells"].items() if row["all"]}
    assert {"answerable", "unanswerable"} <= kinds and "unknown" not in kinds
    assert 6 < sum(report["outcomes"].values()) < 26


def test_the_best_threshold_splits_what_can_be_split():
    values = [(0.9, True), (0.8, True), (0.2, False), (0.85, False)]
    threshold = best_threshold(values)
    assert 0.2 < threshold <= 0.8
    with pytest.raises(ValueError, match="posters without it"):
        best_threshold([(0.4, True)])


def test_the_table_has_both_sides_beside_each_other(bench):
    few = [replace(one, identity=number) for number, one in enumerate(bench.questions)]
    figures = identity_figures(few, ["refused"] * len(few))
    table = as_markdown({"judge": "always no", **figures})
    assert "balanced accuracy 0.500" in table and "| always no | all | 1 | 2 | 3 | 4+ |" in table
    assert "| lookalike | 1.00" in table and "| answerable | 0.00" in table
