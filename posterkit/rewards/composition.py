"""Several rewards as one: weights per task, and gates, which cap the whole where a part fails."""

# pyright: standard
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posterkit.documents import read_text, read_yaml
from posterkit.messages import one_line
from posterkit.rewards.reward import NOTHING_TO_JUDGE, Reward, RewardResult, check_count
from posterkit.schema import TEXT, PosterRequest
from posterkit.tasks import TASKS

WEAK = 0.6  # below it a part says why
RULES_FILE = Path(__file__).with_name("rules.yaml")  # the default composition


@dataclass(frozen=True)
class Gate:
    """Where the value of a part is below `least`, the whole is at most `cap`."""

    part: str
    least: float
    cap: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.least <= 1 and 0 <= self.cap <= 1):
            raise ValueError(
                f"gate on {self.part}: least and cap must lie in [0, 1], got {self.least:g}, {self.cap:g}"
            )


GENERIC_WEIGHTS: dict[str, float] = {"aesthetics": 0.5, "agreement": 0.5}  # whatever the task


def read_composition(path: str | Path) -> tuple[dict[str, dict[str, float]], tuple[Gate, ...]]:
    """Weights of each task and gates, from a YAML file.

        weights:  # parts, or any other spec of one reward, such as a model's folder
          text: {text: 0.5, aesthetics: 0.5}
          layout_driven: {layout: 0.6, text: 0.4}
        gates:
          - {part: layout, least: 0.2, cap: 0.4}

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds anything else.
    """
    try:
        content: Any = read_yaml(read_text(path), f"reward {path}")
    except FileNotFoundError:
        raise FileNotFoundError(f"reward {path}: there is no such file") from None
    content = content if isinstance(content, dict) else {}
    weights, gates = content.get("weights"), content.get("gates", [])
    if not (isinstance(weights, dict) and isinstance(gates, list)) or content.keys() - {"weights", "gates"}:
        found = one_line(", ".join(f"{key}: {value!r}" for key, value in content.items()))
        raise ValueError(
            f"reward {path}: it must say weights: {{task: {{part: number}}}} and may say gates: "
            f"[{{part: ..., least: ..., cap: ...}}], nothing else; it says {found or 'none of them'}"
        )
    try:
        numbers = {task: {part: float(weight) for part, weight in parts.items()} for task, parts in weights.items()}
        return numbers, tuple(Gate(**gate) for gate in gates)
    except (AttributeError, TypeError, ValueError) as fault:
        raise ValueError(f"reward {path}: {fault}") from None


class ComposedReward:
    """A weighted mean of rewards by task, with gates.

    Args:
        label: the beginning of its name; a hash of everything that decides the results follows.
        rewards: by the names that weights and gates use.
        weights: per task; requests of other tasks are refused.
        gates: apply where the request's task has their part.

    Raises:
        ValueError: there are no weights, one is not positive and finite, a task is unknown, or a part or a gate has no
            reward.
    """

    def __init__(
        self,
        label: str,
        rewards: Mapping[str, Reward],
        weights: Mapping[str, Mapping[str, float]],
        gates: Sequence[Gate] = (),
    ) -> None:
        if not weights:
            raise ValueError(f"reward {label}: no task has weights")
        for task, parts in weights.items():
            if task not in (TEXT, *TASKS):
                raise ValueError(f"reward {label}: unknown task {task!r}; the tasks are {TEXT}, {', '.join(TASKS)}")
            if not parts:
                raise ValueError(f"reward {label}: {task} weighs nothing; leave it out or give it parts")
            for part, weight in parts.items():
                if not 0 < weight < math.inf:
                    raise ValueError(
                        f"reward {label}: the weight of {part} in {task} must be above 0 and finite, got {weight:g}"
                    )
                if part not in rewards:
                    raise ValueError(f"reward {label}: {task} weighs {part!r}; there are {', '.join(rewards)}")
        for gate in gates:
            if gate.part not in rewards:
                raise ValueError(f"reward {label}: a gate on {gate.part!r}, which no task weighs")
        self.label, self.weights, self.gates = label, weights, tuple(gates)
        self.rewards: dict[str, Reward] = dict(rewards)

    @property
    def name(self) -> str:
        parts = {name: reward.name for name, reward in self.rewards.items()}
        gates = [[gate.part, gate.least, gate.cap] for gate in self.gates]
        table = {task: dict(parts) for task, parts in self.weights.items()}
        table_json = json.dumps([parts, table, gates], sort_keys=True)
        return f"{self.label} {sha256(table_json.encode()).hexdigest()[:8]}"

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        check_count(self.label, images, requests)
        for request in requests:
            if request.task not in self.weights:
                known = ", ".join(self.weights)
                raise ValueError(f"reward {self.label}: row {request.id!r} is of {request.task!r}; it knows {known}")
        found: list[dict[str, RewardResult]] = [{} for _ in requests]
        for name, reward in self.rewards.items():
            those = [n for n, request in enumerate(requests) if name in self.weights[request.task]]
            results = reward([images[n] for n in those], [requests[n] for n in those]) if those else []
            for n, result in zip(those, results, strict=True):
                if result.parts or result.why != NOTHING_TO_JUDGE:
                    found[n][name] = result
        return [self._whole(request.task, parts) for request, parts in zip(requests, found, strict=True)]

    def _whole(self, task: str, found: dict[str, RewardResult]) -> RewardResult:
        """The weighted mean over the parts that apply; the measures of a part are kept as PART/MEASURE."""
        if not found:
            return RewardResult(1.0, {}, NOTHING_TO_JUDGE)
        weights = {name: self.weights[task][name] for name in found}
        value = sum(weight * found[name].value for name, weight in weights.items()) / sum(weights.values())
        reasons = []
        for gate in self.gates:
            if gate.part in found and found[gate.part].value < gate.least:
                value = min(value, gate.cap)
                reasons.append(f"{gate.part} below {gate.least:g}")
        for low, name in sorted((result.value, name) for name, result in found.items() if result.value < WEAK):
            reasons.append(f"{name} {low:.2f}" + (f" ({found[name].why})" if found[name].why else ""))
        parts = {name: result.value for name, result in found.items()}
        for name, result in found.items():
            parts |= {f"{name}/{part}": measure for part, measure in result.parts.items()}
        return RewardResult(float(np.clip(value, 0, 1)), parts, "; ".join(reasons))
