"""Is the reward earned or cheated? Held-out posters, and what a rising reward must not be paid with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image

from posterkit.metrics.expected_texts import request_from_sample
from posterkit.rewards import RewardError
from posterkit.rewards.parts.text_reward import TextReward
from posterkit.schema import PosterSample
from posterkit.training.monitor.log import ROWS
from posterkit.training.run import Run

FALLEN = 0.02  # of a share; less is nothing to speak of
LESS_DIVERSE = 0.1  # of the distance between a prompt's posters at the start
_ROWS = 5  # of the log, whose mean is compared


class RewardWatch:
    """Scores the posters of each sample sheet, and says where the reward rose while something else fell.

    The sheet's posters are held out and drawn from the same noise each time, so that each is compared with itself at
    step 0: a fall counts where its mean is larger than twice its standard error. Diversity within groups and kept
    pixels are compared over the posters that the run learns from, as the log has them: the pipeline that draws a sheet
    puts kept pixels back.

    Args:
        rewards: `submit(images, rows)` gives what `result()` waits for.
    """

    def __init__(self, run: Run, rewards: Any) -> None:
        self.run, self.rewards, self._text = run, rewards, TextReward()

    def __call__(self, samples: Sequence[PosterSample], pictures: Sequence[np.ndarray]) -> dict[str, list[float]]:
        """What held-out posters are worth: `reward` and `text`, a number for each, nan where there is none."""
        images, rows = (
            [Image.fromarray(picture) for picture in pictures],
            [request_from_sample(sample) for sample in samples],
        )
        try:
            worths = self.rewards.submit(images, rows).result()
        except RewardError as error:
            self.run.print(f"the sample sheet has no rewards: {error}")
            return {}
        texts = self._text(images, rows)
        found = {
            "reward": [worth.value if worth else float("nan") for worth in worths],
            "text": [worth.value if worth.parts else float("nan") for worth in texts],
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
