"""The judge bench: judges of known behaviour are measured right, replies are kept, failures are no wrong answers."""

from __future__ import annotations

import json
from random import Random

import pytest
from PIL import Image

from posterkit.evaluation.judge_bench import JudgeBench, queries_of
from posterkit.evaluation.judge_figures import answer_figures, shift_figures
from posterkit.evaluation.judge_questions import judge_questions
from posterkit.evaluation.judges import BriefReader, Judge
from posterkit.llm.answer_cache import pixel_hash
from posterkit.llm.client import AnswerError
from posterkit.rewards.reliability import judge_faults
from posterkit.rewards.reward import RewardResult

FEW = 2


class Fixture:
    """Follows what is suggested with probability p, and answers from the brief else; sees pictures by their pixels."""

    def __init__(self, bench: JudgeBench, p: float) -> None:
        self.name, self.p, self.asked = f"mixture {p}", p, 0
        self.said = {query.question.shown(query.suggested): query.suggested for query in bench.queries
                     if query.suggested}  # fmt: skip
        self.seen = {pixel_hash(image): query.suggested for query in bench.queries if query.track == "pictures"
                     for image in query.images()}  # fmt: skip

    def ask(self, system, user, images=(), schema=None):
        self.asked += 1
        caption = self.said.get(user.partition("Caption of the picture: ")[2].partition(".\n")[0])
        suggested = caption or next((self.seen.get(pixel_hash(image)) for image in images), None)
        follows = suggested and Random(f"{user} {suggested}").random() < self.p
        return f"I would say {suggested}." if follows else BriefReader().ask(system, user)


class Scores:
    """Takes the score of each poster from a table of its rows; see `test_shifts_are_those_of_the_table`."""

    name = "table"

    def __init__(self, bench: JudgeBench, of_ground) -> None:
        grounds = ("plain", "picture", "award", "rating", "face", "brand")
        self.values = {
            pixel_hash(poster.on(ground)): of_ground(number, ground)
            for number, poster in enumerate(bench.posters) for ground in grounds
        }  # fmt: skip

    def __call__(self, images, requests):
        return [RewardResult(self.values[pixel_hash(image)]) for image in images]


def judge(answers=None, reward=None) -> Judge:
    return Judge("fixture", "fixture", "", answers, reward)


@pytest.fixture(scope="module")
def bench() -> JudgeBench:
    return JudgeBench(questions=FEW, tracks=("pictures",))


def test_a_question_is_shown_alone_with_a_neutral_picture_its_answer_and_five_that_mislead():
    question = judge_questions(1)[0]
    queries = queries_of(question, "pictures")
    assert [query.condition for query in queries] == ["none", "neutral", "factual", *["misleading"] * 5]
    assert [len(query.images()) for query in queries] == [0, *[1] * 7]
    assert [query.suggested for query in queries[2:]] == [question.answer, *question.misleading]
    captions = queries_of(question, "captions")
    assert len({pixel_hash(query.images()[0]) for query in captions}) == 1  # the same pixels
    assert [query.suggested is not None and f"picture: {query.suggested}." in query.words() for query in captions] == [
        False, *[True] * 6
    ]  # fmt: skip


@pytest.mark.parametrize(("p", "factual", "spurious", "follow"), [(0.0, 1, 1, 0), (1.0, 1, 0, 1)])
def test_the_oracle_and_the_follower_are_measured_as_what_they_are(bench, tmp_path, p, factual, spurious, follow):
    report = bench.run(judge(Fixture(bench, p)), tmp_path)
    found = report["tracks"]["pictures"]
    means = {name: found[name]["mean"] for name in ("acc_none", "factual", "spurious", "drop", "harm", "follow")}
    drop = factual - spurious
    assert means == {"acc_none": 1, "factual": factual, "spurious": spurious, "drop": drop, "harm": drop,
                     "follow": follow}  # fmt: skip
    assert report["rows"] == FEW * 8 and report["complete"]
    assert bool(judge_faults(report)) == (p > 0)
    assert json.loads((tmp_path / "judge.json").read_text()) == report
    misled = bench.misled(tmp_path)  # the replies that gave what was shown
    assert len(misled) == FEW * 5 * p
    assert all(query.suggested in reply and query.condition == "misleading" for query, reply in misled)


@pytest.mark.slow
def test_a_mixture_follows_as_often_as_it_was_made_to(tmp_path):
    bench = JudgeBench(questions=95, tracks=("captions",))
    found = bench.run(judge(Fixture(bench, 0.3)), tmp_path)["tracks"]["captions"]
    assert found["follow"]["low"] <= 0.3 <= found["follow"]["high"]
    assert found["follow"]["high"] - found["follow"]["low"] < 0.15
    assert found["acc_none"]["mean"] == 1 == found["factual"]["mean"]
    assert found["drop"]["mean"] == pytest.approx(found["follow"]["mean"], abs=1e-4)


@pytest.mark.slow
def test_the_rules_judge_is_moved_by_nothing(tmp_path):
    bench = JudgeBench(questions=38, tracks=("captions",))
    found = bench.run(judge(BriefReader()), tmp_path)["tracks"]["captions"]
    assert found["drop"]["mean"] == found["harm"]["mean"] == found["follow"]["mean"] == 0
    assert found["acc_none"]["mean"] == 1


def test_figures_are_those_of_a_table_worked_out_by_hand():
    first, second = judge_questions(2)
    rows = [(first, "none", "right"), (first, "neutral", "right"), (first, "factual", "right"),
            (first, "misleading", "right"), (first, "misleading", "followed"), (first, "misleading", "failed"),
            (second, "none", "right"), (second, "neutral", "other"), (second, "factual", "refused"),
            (second, "misleading", "followed"), (second, "misleading", "ambiguous")]  # fmt: skip
    found = answer_figures(rows)
    means = {name: one["mean"] for name, one in found.items() if isinstance(one, dict) and "mean" in one}
    # misleading: one of four right (the failed row counts nowhere), two of four followed
    assert means == {"acc_none": 1, "acc_neutral": 0.5, "factual": 0.5, "spurious": 0.25, "drop": 0.25, "harm": 0.75,
                     "follow": 0.5}  # fmt: skip
    assert found["outcomes"] == {"right": 5, "followed": 2, "failed": 1, "other": 1, "refused": 1, "ambiguous": 1}
    # two questions: the mean is that of the first, of both, or of the second
    assert (found["factual"]["low"], found["factual"]["high"]) == (0, 1)


def test_shifts_flips_and_orders_are_those_of_a_table_worked_out_by_hand():
    values = [[0.2, 0.3, 0.2], [0.5, 0.1, 0.6], [0.9, 0.8, None]]
    found = shift_figures(values, ("plain", "a", "b"))
    moves = [0.1, 0.0, 0.4, 0.1, 0.1]
    assert found["shift"]["mean"] == pytest.approx(sum(moves) / 5)
    assert found["shift_p95"]["mean"] == pytest.approx(0.34)  # between 0.1 and 0.4, at 3.8 of 4 steps
    assert found["lift"]["mean"] == pytest.approx((0.1 + 0 - 0.4 + 0.1 - 0.1) / 5)
    # on a: the pair of the first two is reversed, the two others are not; on b: one pair, not reversed
    assert found["flips"]["mean"] == pytest.approx(1 / 4)
    assert found["tau"]["mean"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-4)
    assert found["by_ground"]["a"]["mean"] == pytest.approx(0.2)


def test_a_score_that_an_award_lifts_shifts_by_that_much(tmp_path):
    bench = JudgeBench(posters=2, tracks=("grounds",))
    lifted = Scores(bench, lambda number, ground: 0.2 * number + 0.5 * (ground == "award"))
    report = bench.run(judge(reward=lifted), tmp_path)
    found = report["tracks"]["grounds"]
    assert found["by_ground"]["award"]["mean"] == pytest.approx(0.5)
    assert found["shift"]["mean"] == pytest.approx(0.1) == found["lift"]["mean"]
    assert found["flips"]["mean"] == 0 and found["tau"]["mean"] == 1
    assert any("scores shift by 0.50" in line for line in judge_faults(report))


@pytest.mark.slow
def test_a_judge_that_dies_is_not_asked_on_and_the_same_call_goes_on_later(bench, tmp_path):
    class Dying(Fixture):
        def ask(self, *args, **named):
            if self.asked >= 5:
                raise AnswerError("the endpoint is gone")
            return super().ask(*args, **named)

    report = bench.run(judge(Dying(bench, 0.0)), tmp_path, threads=1)
    assert report["failed"] == FEW * 8 - 5 and not report["complete"]
    assert "the endpoint is gone" in report["faults"]
    assert report["tracks"]["pictures"]["outcomes"] == {"right": 5, "failed": FEW * 8 - 5}
    assert report["tracks"]["pictures"]["spurious"] is None or report["tracks"]["pictures"]["spurious"]["mean"] == 1
    assert "rows have no answer" in judge_faults(report)[0]
    with (tmp_path / "replies.jsonl").open("a") as file:
        file.write('{"id": "pictures/q0-000')  # as a crash leaves it
    healthy = Fixture(bench, 0.0)
    report = bench.run(judge(healthy), tmp_path)
    assert report["complete"] and healthy.asked == FEW * 8 - 5


def test_judges_that_refuse_or_always_say_yes_are_named_and_do_not_pass(bench, tmp_path):
    for reply, outcome in (("Sorry, I cannot tell.", "refused"), ("Yes.", "other")):

        class Says(BriefReader):
            def ask(self, *args, said=reply, **named):
                return said

        report = bench.run(judge(Says()), tmp_path / outcome)
        assert report["tracks"]["pictures"]["outcomes"] == {outcome: FEW * 8}
        assert report["tracks"]["pictures"]["follow"]["mean"] == 0
        assert "answers 0% of the questions rightly" in judge_faults(report)[0]


def test_a_folder_of_another_bench_is_refused(bench, tmp_path):
    bench.run(judge(BriefReader()), tmp_path)
    with pytest.raises(ValueError, match="holds a bench with questions 2, now it is 3; take another folder"):
        JudgeBench(questions=3, tracks=("pictures",)).run(judge(BriefReader()), tmp_path)


def test_halves_share_no_question():
    train, heldout = (JudgeBench(questions=57, split=split, tracks=("captions",)) for split in ("train", "heldout"))
    ids = [{query.question.id for query in half.queries} for half in (train, heldout)]
    assert len(ids[0]) == 38 and len(ids[1]) == 19 and not ids[0] & ids[1]
    assert isinstance(train.queries[0].images()[0], Image.Image)
