"""Reports of judges as rewards: bounds, other weights, where a report lies."""

from __future__ import annotations

import json

import pytest

from posterkit.rewards.reliability import (
    JudgeBound,
    check_judges,
    fingerprint_of,
    judge_faults,
    read_report,
    report_of,
)
from posterkit.rewards.specs import models_of


def estimate(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean, "high": mean, "count": 10}


def report(follow=0.0, shift=0.0, reads=1.0, **more):
    tracks = {"pictures": {"follow": estimate(follow), "acc_none": estimate(reads)},
              "grounds": {"shift_p95": estimate(shift)}}  # fmt: skip
    return {"version": 1, "spec": "judge", "fingerprint": "", "complete": True, "rows": 8, "failed": 0,
            "tracks": tracks, **more}  # fmt: skip


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (report(), []),
        (report(follow=0.1, shift=0.1), []),
        (report(follow=0.25), ["follows 25% of misleading pictures (at most 10%)"]),
        (report(shift=0.4), ["its scores shift by 0.40 with the ground (at most 0.10)"]),
        (report(reads=0.2), ["answers 20% of the questions rightly when nothing misleads it"]),
        (report(complete=False, failed=3), ["3 of 8 rows have no answer"]),
        (report(tracks={"pictures": {"follow": None, "acc_none": None}}), []),
    ],
)
def test_a_judge_over_a_bound_is_named_with_its_figure(found, said):
    assert judge_faults(found) == said


@pytest.fixture
def folder(tmp_path):
    judge = tmp_path / "judge"
    judge.mkdir()
    (judge / "config.json").write_text('{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}')
    (judge / "model.safetensors").write_bytes(bytes(1000))
    return judge


def test_a_report_in_the_judges_folder_is_found_and_kept(folder):
    assert report_of(str(folder)) is None
    assert check_judges([str(folder)], JudgeBound()).unmeasured == [str(folder)]
    (folder / "judge.json").write_text(json.dumps(report(follow=0.5, fingerprint=fingerprint_of(str(folder)))))
    found = check_judges([str(folder)], JudgeBound())
    assert len(found.faults) == 1 and found.faults[0].startswith(f"{folder} follows 50%")
    assert found.reports[str(folder)]["tracks"]["pictures"]["follow"]["mean"] == 0.5
    assert not check_judges([str(folder)], JudgeBound(follow=0.6)).faults


def test_a_report_of_other_weights_is_refused(folder):
    (folder / "judge.json").write_text(json.dumps(report(fingerprint=fingerprint_of(str(folder)))))
    (folder / "model.safetensors").write_bytes(bytes([*[0] * 999, 1]))
    with pytest.raises(ValueError, match="a report of other weights"):
        check_judges([str(folder)], JudgeBound())


def test_a_report_of_another_judge_or_none_at_all_is_refused(tmp_path):
    file = tmp_path / "judge.json"
    file.write_text(json.dumps(report()))
    assert read_report(file, "judge")["rows"] == 8
    with pytest.raises(ValueError, match="the report is of judge, the reward is http://host/v1"):
        read_report(file, "http://host/v1")
    file.write_text("{}")
    with pytest.raises(ValueError, match="no report of posterkit bench judge"):
        read_report(file, "judge")
    with pytest.raises(ValueError, match="the reward asks no model"):
        check_judges([], JudgeBound(report=str(file)))


def test_the_models_of_a_reward_are_those_that_answer_or_score(folder, tmp_path):
    assert models_of("rules", {}) == models_of("text:0.6+aesthetics:0.4", {}) == []
    assert models_of("rules", {"text": str(folder)}) == [str(folder)]
    assert models_of("reward+http://host:1", {"aesthetics": "http://host:2/v1"}) == ["http://host:2/v1"]


@pytest.mark.parametrize("name", ["follow", "shift"])
def test_a_bound_that_every_judge_keeps_is_refused(name):
    with pytest.raises(ValueError, match=f"reward.judge.{name} must lie in"):
        JudgeBound(**{name: 1.0}).check()
