"""The rewards of drawn posters: the pool, the epoch's results and figures, and a watch for reward hacking."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor

from posterkit.image_io import written_whole
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.metrics.fidelity import diversity
from posterkit.rewards import RewardError
from posterkit.rewards.parts.text_reward import TextReward
from posterkit.rewards.reliability import REPORT, check_judges
from posterkit.rewards.service.pool import RewardPool
from posterkit.rewards.specs import models_of, reach
from posterkit.schema import PosterRequest, PosterSample
from posterkit.training.loading.fitting import fit_sample
from posterkit.training.loading.sets import PosterSet
from posterkit.training.monitor.log import ROWS
from posterkit.training.rl.samplers import Rollout
from posterkit.training.rl.settings import RewardSource
from posterkit.training.run import Run

Requests = Callable[[Rollout], list[PosterRequest]]  # the request of each poster of a rollout
_NAMED = 3  # posters without a reward that are named
FALLEN = 0.02  # of a share; a smaller fall is not reported
LESS_DIVERSE = 0.1  # of the distance between a prompt's posters at the start
_ROWS = 5  # of the log, whose mean is compared


def open_rewards(config: RewardSource, run: Run, tasks: Sequence[str]) -> RewardPool:
    """The reward of a stage; its workers end with the run. Raises as `open_reward`, `reach` and `_check_judges`."""
    reach(config.source, config.sources)
    _check_judges(config, run)
    settings = {name: value for name, value in vars(config).items() if name != "judge"}
    if config.device == "cuda":  # each process's workers on its own card
        settings["device"] = f"cuda:{run.accelerator.local_process_index}"
    rewards = RewardPool(**settings, tasks=tasks)
    run.afterwards(rewards.close)
    return rewards


def _check_judges(config: RewardSource, run: Run) -> None:
    """Refuse a judge that was measured and is over its bound, or warn; keep the reports beside the run's config.

    Raises:
        ValueError: a judge is over its bound and `reward.judge.over` is refuse; or a report is of another judge.
    """
    found = check_judges(models_of(config.source, config.sources), config.judge)
    if found.faults and config.judge.over == "refuse":
        raise ValueError(f"{found.faults[0]}; take another judge, or reward.judge.over=warn")
    for line in found.faults:
        run.print(f"warning: {line}")
    for judge in found.unmeasured:
        run.print(f"{judge} was never measured as a judge; posterkit bench judge {judge} does")
    if found.reports and run.accelerator.is_main_process and not run.config.dry_run:
        with written_whole(run.folder / REPORT) as file:
            file.write_text(json.dumps(found.reports, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def requests_of(posters: PosterSet) -> Requests:
    """A function from a rollout to the request of each of its posters."""
    numbers = {str(row["id"]): number for number, row in enumerate(posters.train.rows)}

    def requests(rollout: Rollout) -> list[PosterRequest]:
        samples = {one: fit_sample(posters.train[numbers[one]], rollout.size) for one in dict.fromkeys(rollout.ids)}
        of_prompt = {one: request_from_sample(sample) for one, sample in samples.items()}
        return [of_prompt[one] for one in rollout.ids]

    return requests


def collect_rewards(run: Run, rollouts: Sequence[Rollout], epoch: int) -> Tensor:
    """Wait for the rewards of an epoch's posters: `(B,)` of this process; nan where one failed, which is printed.

    RunFailed where in some process more posters failed than are tolerated; the run is saved.
    """
    error = ""
    try:
        for rollout in rollouts:
            rollout.results = rollout.scoring.result()
    except RewardError as raised:
        error = str(raised)
    if errors := [one for one in gather_object([error]) if one]:
        run.stop(errors[0])
    if failed := gather_object([line for one in rollouts for line in one.scoring.faults]):
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        run.print(f"epoch {epoch}: posters without a reward are left out: {'; '.join(failed[:_NAMED])}{more}")
    return torch.tensor([result.value if result else torch.nan for one in rollouts for result in one.results])


def epoch_figures(rollouts: Sequence[Rollout], rewards: Tensor, kept: Tensor, images: int) -> dict[str, float]:
    """The log's figures of an epoch: rewards and their parts, spread and diversity within groups, what was left out.

    `rewards` and `kept` are `(B,)`, of this process; `images` is K.
    """
    scored = rewards[~rewards.isnan()]
    groups = rewards.view(-1, images)
    spread = [group[~group.isnan()].std(correction=0).item() for group in groups if (~group.isnan()).any()]
    figures = {"reward": scored.mean().item(), "reward_std": scored.std(correction=0).item(),
               "reward_std_in_group": float(np.mean(spread)), "kept": kept.float().mean().item(),
               "reward_failed": rewards.isnan().float().mean().item()}  # fmt: skip
    results = [result for one in rollouts for result in one.results if result]
    for name in sorted({name for result in results for name in result.parts}):
        figures[f"reward_{name}"] = float(np.mean([one.parts[name] for one in results if name in one.parts]))
    distances = [
        diversity([np.asarray(image) for image in one.images[start : start + images]])
        for one in rollouts
        for start in range(0, len(one.images), images)
    ]
    return {**figures, "diversity": float(np.mean(distances))}


class RewardWatch:
    """Scores the posters of each sample sheet, and warns where the reward rose while something else fell.

    The sheet's posters are held out and drawn from the same noise each time, so that each is compared with itself at
    step 0: a fall counts where its mean is larger than twice its standard error. Diversity within groups and kept
    pixels are compared over the posters that the run learns from, as the log has them: the pipeline that draws a sheet
    puts kept pixels back.
    """

    def __init__(self, run: Run, rewards: RewardPool) -> None:
        self.run, self.rewards, self._text = run, rewards, TextReward()

    def __call__(self, samples: Sequence[PosterSample], pictures: Sequence[np.ndarray]) -> dict[str, list[float]]:
        """The scores of held-out posters: `reward` and `text`, a number for each, nan where there is none."""
        images, rows = [Image.fromarray(one) for one in pictures], [request_from_sample(one) for one in samples]
        try:
            results = self.rewards.submit(images, rows).result()
        except RewardError as error:
            self.run.print(f"the sample sheet has no rewards: {error}")
            return {}
        texts = self._text(images, rows)
        found = {
            "reward": [one.value if one else float("nan") for one in results],
            "text": [one.value if one.parts else float("nan") for one in texts],
        }
        self._compare(found)
        return found

    def _compare(self, found: dict[str, list[float]]) -> None:
        start = self.run.folder / "samples" / "0000000.json"
        if not self.run.step or not start.is_file():
            return
        first = json.loads(start.read_text(encoding="utf-8")).get("heldout", {})
        if len(first.get("reward", ())) != len(found["reward"]):
            return
        rise, _ = paired_change(first["reward"], found["reward"])
        said = f"step {self.run.step}: held-out reward {np.nanmean(found['reward']):.3f} ({rise:+.3f} since the start)"
        fallen = []
        change, error = paired_change(first["text"], found["text"])
        if change < -max(FALLEN, 2 * error):
            fallen.append(f"held-out text accuracy fell by {-change:.3f}")
        began, now = ends_of(self.run.folder / ROWS)
        if "diversity" in began and now["diversity"] < (1 - LESS_DIVERSE) * began["diversity"]:
            fallen.append(f"diversity fell from {began['diversity']:.1f} to {now['diversity']:.1f}")
        kept = "reward_preservation"
        if kept in began and now.get(kept, 1) < began[kept] - FALLEN:
            fallen.append(f"preservation fell from {began[kept]:.3f} to {now[kept]:.3f}")
        self.run.print(f"{said}; HACKING? {', '.join(fallen)}" if fallen and rise > 0 else said)


def paired_change(first: Sequence[float], now: Sequence[float]) -> tuple[float, float]:
    """Mean of the differences of pairs, and its standard error; pairs with a nan do not count. 0, 0 without any."""
    differences = np.asarray(now, float) - np.asarray(first, float)
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return 0.0, 0.0
    error = differences.std(ddof=1) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return float(differences.mean()), float(error)


def ends_of(log: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Means of the first rows of a log and of its last ones, of the figures that all of them have."""
    if not log.is_file():
        return {}, {}
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    found = []
    for part in (rows[:_ROWS], rows[-_ROWS:]):
        names = set.intersection(*(set(row) for row in part)) if part else set()
        found.append({name: mean(row[name] for row in part) for name in names})
    return found[0], found[1]
