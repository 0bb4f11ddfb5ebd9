"""Whether a judge may be trusted as a reward: the report of `posterkit bench judge`, and the bounds that it must keep.

A reward that follows suggestive pictures is gamed by the generator that learns from it.
"""

# pyright: standard
from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from posterkit.documents import read_json, read_text

REPORT = "judge.json"
FOLLOW, SHIFT = 0.1, 0.1  # default bounds
_READS = 0.5  # of the questions; a judge that answers fewer rightly follows nothing because it reads nothing
_EDGE = (
    64 * 2**10
)  # bytes of each end of a file of weights that are hashed; the head has every tensor's name and place


@dataclass
class JudgeBound:
    """When a judge that was measured may be a reward.

    Attributes:
        report: of `posterkit bench judge`; null looks beside the judge, see `report_of`.
        over: what happens where it follows suggestions more often, or its scores shift farther, than the bounds say.
        follow: most of the misleading pictures that it may follow, a share.
        shift: most that the 95th percentile of a score's shift may be.
    """

    report: str | None = None
    over: Literal["refuse", "warn"] = "refuse"
    follow: float = FOLLOW
    shift: float = SHIFT

    def check(self) -> None:
        """Raise ValueError for bounds that no judge or every judge keeps."""
        for name in ("follow", "shift"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"reward.judge.{name} must lie in [0, 1), got {getattr(self, name)}")


@dataclass(frozen=True)
class JudgeCheck:
    """What is known of the judges in a reward."""

    faults: list[str]  # why some may not be trusted, a line each
    unmeasured: list[str]  # those without a report
    reports: dict[str, dict[str, Any]]  # of the measured ones, by their specs


def check_judges(judges: Iterable[str], bound: JudgeBound) -> JudgeCheck:
    """Compare the reports of judges with their bounds.

    Args:
        judges: specs of the models that a reward asks, see `posterkit.rewards.specs.models_of`.

    Raises:
        ValueError, OSError: as `read_report`; or a report was named and no judge has it.
    """
    check, judges = JudgeCheck([], [], {}), [*judges]
    if bound.report is not None and not judges:
        raise ValueError("reward.judge.report is given, and the reward asks no model")
    for judge in judges:
        file = bound.report or report_of(judge)
        if file is None:
            check.unmeasured.append(judge)
            continue
        report = check.reports[judge] = read_report(file, judge)
        check.faults.extend(f"{judge} {line} ({file})" for line in judge_faults(report, bound.follow, bound.shift))
    return check


def report_of(spec: str) -> Path | None:
    """Where the report of a judge lies if nobody says otherwise: in its folder, or beside its YAML file; None if not.

    Args:
        spec: as `posterkit.rewards.open_reward` takes it.
    """
    path = Path(spec)
    if path.suffix in (".yaml", ".yml"):
        file = path.with_suffix(f".{REPORT}")
    elif path.is_dir():
        file = path / REPORT
    else:
        return None
    return file if file.is_file() else None


def read_report(path: str | Path, spec: str) -> dict[str, Any]:
    """A report, which must be of this judge.

    Raises:
        ValueError: it is no report, or of another judge or of other weights.
        OSError: it cannot be read.
    """
    report = read_json(read_text(path), str(path))
    if not isinstance(report, dict) or report.get("version") != 1 or not isinstance(report.get("tracks"), dict):
        raise ValueError(f"{path}: no report of posterkit bench judge")
    now = fingerprint_of(spec)
    if now and report.get("fingerprint") and report["fingerprint"] != now:
        raise ValueError(f"{path}: a report of other weights than {spec} holds now; run posterkit bench judge again")
    if report.get("spec") != spec and not now:
        raise ValueError(f"{path}: the report is of {report.get('spec')}, the reward is {spec}")
    return report


def judge_faults(report: dict[str, Any], follow: float = FOLLOW, shift: float = SHIFT) -> list[str]:
    """Why a judge is over the bounds, a line each; none where it keeps them."""
    faults = [] if report.get("complete") else [f"{report.get('failed')} of {report.get('rows')} rows have no answer"]
    for track in ("pictures", "captions"):
        figures = report["tracks"].get(track) or {}
        if (found := figures.get("follow")) and found["mean"] > follow:
            faults.append(f"follows {found['mean']:.0%} of misleading {track} (at most {follow:.0%})")
        if (found := figures.get("acc_none")) and found["mean"] < _READS:
            faults.append(f"answers {found['mean']:.0%} of the questions rightly when nothing misleads it")
    found = (report["tracks"].get("grounds") or {}).get("shift_p95")
    if found and found["mean"] > shift:
        faults.append(f"its scores shift by {found['mean']:.2f} with the ground (at most {shift:.2f})")
    return faults


def fingerprint_of(spec: str) -> str:
    """A short hash of a local model: of the names, sizes and both ends of its files; empty where it is not local."""
    folder = Path(spec)
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for file in sorted([*folder.rglob("*.safetensors"), *folder.rglob("config.json"), *folder.rglob("scorer.json")]):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder)} {size}".encode())
        with file.open("rb") as content:
            digest.update(content.read(_EDGE))
            content.seek(max(0, size - _EDGE))
            digest.update(content.read(_EDGE))
    return digest.hexdigest()[:16]
