"""A reward that misbehaves costs its own rows and nothing else, until it misbehaves too often."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import odd_rewards
import pytest
from odd_rewards import Odd, Slow
from PIL import Image

from posterkit.rewards import RewardError, RewardResult
from posterkit.rewards.service.pool import RewardPool
from posterkit.schema import PosterRequest


def rows(*prompts: str) -> tuple[list[Image.Image], list[PosterRequest]]:
    """Posters whose red is 51, 102, ..., so that their results are 0.2, 0.4, ..."""
    images = [Image.new("RGB", (8, 8), (51 * (n % 5 + 1), 0, 0)) for n in range(len(prompts))]
    return images, [PosterRequest(prompt, id=f"row-{n}") for n, prompt in enumerate(prompts)]


@pytest.mark.parametrize("fault", ["raise", "short", "nan", "high"])
def test_a_row_that_fails_comes_back_as_none_and_the_others_keep_their_worth(fault):
    with RewardPool(Odd(), workers=0, tolerated=0.5) as reward:
        scoring = reward.submit(*rows("", fault, ""))
        results = scoring.result()
    assert [result and result.value for result in results] == [pytest.approx(0.2), None, pytest.approx(0.6)]
    assert len(scoring.faults) == 1 and scoring.faults[0].startswith("row-1: ") and "\n" not in scoring.faults[0]
    assert (reward.seen, reward.failed) == (3, 1)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_fault_is_said_in_one_line_without_the_class_of_our_own_errors(workers):
    with RewardPool(Odd(), workers=workers, at_once=1, tolerated=1.0) as reward:
        scoring = reward.submit(*rows("no answer", "raise"))
        assert scoring.result() == [None, None]
    assert scoring.faults == ["row-0: eye: no usable answer", "row-1: RuntimeError: no such font"]


def test_a_call_that_hangs_in_this_process_is_left_behind():
    with RewardPool(Odd(), workers=0, limit=0.2, tolerated=0.5) as reward:
        began = time.monotonic()
        results = reward(*rows("", "hang", ""))
        assert time.monotonic() - began < 20
    assert results[1] is None and results[0] == RewardResult(0.2, {"red": 0.2}) and results[2] is not None


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["hang", "die"])
def test_a_worker_that_hangs_or_dies_is_replaced_and_the_other_rows_are_scored(fault):
    with RewardPool(Odd(), workers=1, limit=1.0, tolerated=0.5) as reward:
        results = reward(*rows("", fault, "", "", ""))
        assert [result is None for result in results] == [False, True, False, False, False]
        assert reward(*rows(""))[0] == RewardResult(0.2, {"red": 0.2})


def test_more_failures_than_are_tolerated_raise_one_line_that_says_how_many_and_why():
    with RewardPool(Odd(), workers=0, tolerated=0.1) as reward:
        # one of few rows is no share yet: as if there were 16
        assert reward(*rows("raise")) == [None]
        with pytest.raises(RewardError, match=r"2 of the last 2 posters failed, 10% are .*no such font") as error:
            reward(*rows("raise"))
    assert "\n" not in str(error.value)


def test_submit_returns_before_the_posters_are_scored():
    with RewardPool(Slow(), workers=0) as reward:
        began = time.monotonic()
        scoring = reward.submit(*rows("", ""))
        assert time.monotonic() - began < 0.3 and not scoring.done()
        assert [result and result.value for result in scoring.result()] == [0.5, 0.5]


@pytest.mark.slow
def test_a_worker_opens_the_reward_by_its_spec_and_says_what_the_reward_says_here(tmp_path):
    from posterkit.rewards import open_reward

    images = [Image.new("RGB", (64, 96), "navy"), Image.effect_noise((64, 96), 90).convert("RGB")]
    asked = [PosterRequest("A poster.", texts=()) for _ in images]
    with RewardPool("text:0.5+aesthetics:0.5", workers=2, at_once=1, cache=str(tmp_path)) as reward:
        assert reward(images, asked) == open_reward("text:0.5+aesthetics:0.5")(images, asked)
    assert len(list(tmp_path.rglob("*.json"))) == 4  # two results and what OCR read in two posters


def test_after_its_end_a_reward_fails_and_does_not_wait_for_ever():
    reward = RewardPool(Odd(), workers=0, tolerated=1.0)
    reward.close()
    scoring = reward.submit(*rows("", ""))
    assert scoring.result() == [None, None] and "closed" in scoring.faults[0]


def test_numbers_out_of_range_and_a_mistyped_reward_are_refused_at_once():
    with pytest.raises(ValueError, match="tolerated in"):
        RewardPool(Odd(), tolerated=1.5)
    with pytest.raises(ValueError, match="did you mean 'rules'"):
        RewardPool("rulez")


@pytest.mark.slow
def test_a_worker_that_is_ended_while_it_scores_leaves_nothing_behind(tmp_path):
    script = tmp_path / "ends.py"
    script.write_text(
        "import time\nfrom pathlib import Path\nfrom odd_rewards import Odd\nfrom PIL import Image\n"
        "from posterkit.schema import PosterRequest\n"
        "from posterkit.rewards.service.pool import RewardPool\n"
        "if __name__ == '__main__':\n"
        "    reward = RewardPool(Odd(), workers=1)\n"
        "    reward.submit([Image.new('RGB', (8, 8))], [PosterRequest('lock')])\n"
        "    while not Path('locked').exists():\n        time.sleep(0.1)\n"
        "    reward.close()\n"
    )
    paths = {**os.environ, "PYTHONPATH": str(Path(odd_rewards.__file__).parent)}
    ended = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=paths, capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (0, "")
