"""Misled replies become pairs: the brief's answer is chosen, what followed a picture is rejected, and nothing else."""

from __future__ import annotations

import json

import pytest

from posterkit.evaluation.judge_bench import JudgeBench
from posterkit.evaluation.judges import Judge
from posterkit.evaluation.misled_pairs import MisledPairs, encode_misled


class Follower:
    """Says what every second misleading row suggests, and else the truth."""

    name = "follower"

    def __init__(self, bench: JudgeBench) -> None:
        self.replies = [query.suggested if query.condition == "misleading" and number % 2 else query.question.answer
                        for number, query in enumerate(bench.queries)]  # fmt: skip

    def ask(self, system, user, images=(), schema=None):
        return self.replies.pop(0)


def run(tmp_path, split):
    bench = JudgeBench(22, 2, split=split, tracks=("pictures",))
    bench.run(Judge("follower", "follower", "", Follower(bench), None), tmp_path, threads=1)
    return bench


@pytest.mark.slow
def test_every_followed_reply_is_a_pair_and_no_other(tmp_path):
    bench = run(tmp_path, "train")
    pairs = MisledPairs(tmp_path)
    wrong = [query for number, query in enumerate(bench.queries) if query.condition == "misleading" and number % 2]
    assert len(pairs) == len(wrong) > 10
    row, files = encode_misled(pairs[0])
    assert row["rejected"] == wrong[0].suggested and row["chosen"] == wrong[0].question.answer
    assert row["prompt"] == wrong[0].words() and set(files) == {row["target"], row["weakened"]}
    assert json.dumps(row)


def test_the_half_that_measures_is_not_learnt_from(tmp_path):
    run(tmp_path, "heldout")
    with pytest.raises(ValueError, match="asked the questions of split 'heldout'"):
        MisledPairs(tmp_path)
    with pytest.raises(ValueError, match="holds no replies of posterkit bench judge"):
        MisledPairs(tmp_path / "nowhere")
