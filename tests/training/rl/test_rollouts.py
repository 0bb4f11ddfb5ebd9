"""From rewards to lessons, through the real recipe: which posters are learnt from, and which way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from served_rewards import serve
from small_stages import log_of, write_stage

from posterkit.rewards import RewardResult
from posterkit.rewards.service.pool import RewardPool
from posterkit.training import rl

RECIPE, IMAGES = "stage3_reward", 4
ROLLOUTS = {"images": IMAGES, "draws": 2, "steps": 3, "least_std": 0.0, "most_mean": 1.0}


class Bright:
    """The mean brightness of a poster, but for the numbers in `shut` and for the first prompts."""

    name = "bright"

    def __init__(self) -> None:
        self.shut: set[int] = set()
        self.dull = 0  # how many of the first prompts get 0.5 whatever is drawn
        self.seen: Counter[str] = Counter()

    def __call__(self, images, rows):
        return [self._worth(image, row.id) for image, row in zip(images, rows, strict=True)]

    def _worth(self, image, asked):
        number = self.seen[asked] % IMAGES
        self.seen[asked] += 1
        if list(self.seen).index(asked) < self.dull:
            return RewardResult(0.5)
        return RewardResult(float("nan"), why="eye shut") if number in self.shut else RewardResult(brightness(image))


def brightness(image) -> float:
    return float(np.asarray(image).mean()) / 255


@pytest.fixture
def bright():
    """The reward, behind a real server, and its spec."""
    reward = Bright()
    with serve(RewardPool(reward, workers=0, tolerated=1.0)) as url:
        yield reward, {"source": f"reward+{url}", "workers": 0, "tolerated": 1.0}


@pytest.fixture
def epoch(base, posters, bright, run_recipe, tmp_path, monkeypatch):
    """`epoch("nft")` runs one epoch of stage 3; what was drawn, and the passes of learning from it."""
    recorded = []
    policy_batches = rl.policy_batches

    def recording(rollouts, *others):
        recorded.append((rollouts, list(policy_batches(rollouts, *others))))
        return recorded[-1][1]

    monkeypatch.setattr(rl, "policy_batches", recording)

    def run(objective: str, **overrides: Any):
        options: dict[str, Any] = {
            "batch_size": 1, "max_steps": 1, "trainable": {"weights": "lora", "rank": 2}, "reward": bright[1],
            "rollouts": ROLLOUTS, "dpo": {"gap": 0.0},
        }  # fmt: skip
        run_recipe(
            RECIPE, write_stage(tmp_path, "run", base, posters, **{**options, "objective": objective, **overrides})
        )
        return recorded[0]

    return run


def places(lesson, one) -> list[int]:
    """The numbers of a lesson's posters among those drawn of its prompt."""
    return [next(n for n in range(IMAGES) if torch.equal(x0, one.x0[n])) for x0 in lesson.x0]


def of_prompt(drawn, lesson):
    (found,) = (one for one in drawn if one.ids[0] == lesson.ids[0])
    return found


@pytest.mark.parametrize("objective", ["nft", "grpo"])
def test_brighter_posters_have_the_higher_advantages_where_brightness_is_the_reward(epoch, objective):
    drawn, passes = epoch(objective)
    scored = [[brightness(picture) for picture in one.images] for one in drawn]
    spread = np.std(scored)
    assert len(drawn) == 2 and {len(set(one.ids)) for one in drawn} == {1} and spread > 1e-3
    assert len(passes) == 2 * 2  # of two prompts, at two of three times
    for lesson in passes:
        one = of_prompt(drawn, lesson)
        own = np.array([brightness(picture) for picture in one.images])
        assert sorted(places(lesson, one)) == list(range(IMAGES))
        expected = (own - own.mean())[places(lesson, one)] / (spread + 1e-4)
        assert lesson.advantages.numpy() == pytest.approx(expected, abs=1e-4) and lesson.share == 1


def test_the_best_of_a_group_is_chosen_and_its_worst_rejected(epoch):
    drawn, passes = epoch("dpo")
    for lesson in passes:
        one = of_prompt(drawn, lesson)
        scored = [brightness(picture) for picture in one.images]
        assert places(lesson, one) == [int(np.argmax(scored)), int(np.argmin(scored))]
        assert len(set(lesson.ids)) == 1


@pytest.mark.parametrize("objective", ["nft", "dpo"])
def test_a_poster_without_a_reward_is_in_no_lesson_counts_nowhere_and_is_named(
    epoch, bright, tmp_path, capsys, objective
):
    bright[0].shut = {1}
    drawn, passes = epoch(objective)
    kept = np.array([[brightness(one.images[n]) for n in (0, 2, 3)] for one in drawn])
    for lesson in passes:
        one = of_prompt(drawn, lesson)
        own = {n: brightness(one.images[n]) for n in (0, 2, 3)}
        if objective == "dpo":
            assert places(lesson, one) == [max(own, key=own.__getitem__), min(own, key=own.__getitem__)]
            continue
        assert sorted(places(lesson, one)) == [0, 2, 3]
        mean = np.mean(list(own.values()))
        expected = [(own[n] - mean) / (kept.std() + 1e-4) for n in places(lesson, one)]
        assert lesson.advantages.numpy() == pytest.approx(np.array(expected), abs=1e-4)
    row = log_of(tmp_path / "run")[0]
    assert row["reward_failed"] == 0.25 and row["reward"] == pytest.approx(kept.mean(), abs=1e-6)
    said = next(line for line in capsys.readouterr().out.splitlines() if "without a reward" in line)
    for one in drawn:
        assert f"{one.ids[0]}: the reward is nan, not in [0, 1] (eye shut)" in said


def test_of_many_posters_without_a_reward_three_are_named_and_the_others_counted(epoch, bright, capsys):
    bright[0].shut = {0, 1}
    epoch("nft")
    said = capsys.readouterr().out
    assert said.count("eye shut") == 3 and "; and 1 more" in said


@pytest.mark.parametrize("objective", ["nft", "grpo", "dpo"])
def test_a_group_without_spread_teaches_nothing(epoch, bright, tmp_path, objective):
    bright[0].dull = 1
    drawn, passes = epoch(objective)
    lively = drawn[1].ids[0]
    taught = [lesson for lesson in passes if lesson.share]
    assert taught and {name for lesson in taught for name in lesson.ids} == {lively}
    assert {lesson.share for lesson in taught} == {2.0}, "what one batch lacks the other makes up for"
    assert log_of(tmp_path / "run")[0]["kept"] == (0.5 if objective != "dpo" else 0.25)


@pytest.mark.parametrize(("objective", "see"), [
    ("nft", "least_std, and"), pytest.param("dpo", "dpo.gap, and", marks=pytest.mark.slow),
])  # fmt: skip
def test_a_reward_that_tells_nothing_apart_ends_the_run_in_a_line(epoch, bright, capsys, objective, see):
    bright[0].dull = 99
    with pytest.raises(SystemExit) as ended:
        epoch(objective)
    said = capsys.readouterr()
    assert ended.value.code == 1 and "10 epochs in a row had no group to learn from" in said.err and see in said.err
    assert said.out.count("no group has anything to teach; others are drawn") == 10


def test_a_reward_that_weighs_nothing_for_a_task_is_refused_before_any_set_is_drawn(epoch, tmp_path, capsys):
    file = tmp_path / "own.yaml"
    file.write_text("weights: {text: {aesthetics: 1}, layout_driven: {layout: 1}}")
    with pytest.raises(SystemExit) as ended:
        epoch("nft", reward={"source": str(file), "workers": 0})
    assert ended.value.code == 2
    assert "own.yaml: weighs nothing for extending, filling, id_driven" in capsys.readouterr().err


TWO = """
import json, os, runpy, sys
from pathlib import Path
from posterkit.training import rl
policy_batches = rl.policy_batches
config = Path(sys.argv[2])
def recording(rollouts, advantages, *others):
    batches = list(policy_batches(rollouts, advantages, *others))
    seen = {"ids": [name for one in rollouts for name in one.ids],
            "rewards": [result.value for one in rollouts for result in one.results],
            "advantages": advantages.values.tolist(), "learnt": sorted({name for one in batches for name in one.ids})}
    config.with_name(f"rank{os.environ['RANK']}.json").write_text(json.dumps(seen))
    return batches
rl.policy_batches = recording
sys.argv = [sys.argv[1], "--config", sys.argv[2]]
sys.path.insert(0, str(Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_two_processes_draw_whole_groups_and_share_the_spread_of_all_rewards(base, posters, bright, tmp_path):
    script, recipe = tmp_path / "two.py", Path(__file__).resolve().parents[3] / "train" / "stage3_reward.py"
    script.write_text(TWO)
    config = write_stage(
        tmp_path, "run", base, posters, batch_size=1, max_steps=1, rollouts={**ROLLOUTS, "draws": 1},
        trainable={"weights": "lora", "rank": 2}, reward=bright[1],
    )  # fmt: skip
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, script, recipe, config], check=True, timeout=300, capture_output=True)
    told = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(2)]
    prompts = [set(one["ids"]) for one in told]
    assert [len(one) for one in prompts] == [1, 1] and prompts[0] != prompts[1], "a group lies in one process"
    assert all(one["learnt"] == sorted(one["ids"][:1]) and len(one["rewards"]) == IMAGES for one in told)
    spread = np.std([one["rewards"] for one in told])
    for one in told:
        rewards = np.array(one["rewards"])
        assert one["advantages"] == pytest.approx((rewards - rewards.mean()) / (spread + 1e-4), abs=1e-4)
