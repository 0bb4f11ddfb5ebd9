"""The claim's experiment: what the phrase does and does not, the sets, the verdicts."""

from __future__ import annotations

import json
from itertools import islice

import pytest
import tracelift_claim as claim
from tracelift_claim import ARMS, CLAIMS, KINDS, PHRASE

from posterkit.datagen.plan_groups import draw_task, read_groups
from posterkit.generate.plan_executor import run_checked


@pytest.fixture
def folders(monkeypatch, tmp_path):
    monkeypatch.setattr(claim, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(claim, "RESULTS", tmp_path / "results")
    return tmp_path


def test_the_phrase_helps_nobody():
    brief = draw_task(3)
    plain = str(brief.reasoning)
    assert PHRASE in claim.said(plain) and claim.said(plain).replace(f" {PHRASE}", "") == plain
    assert run_checked(brief, claim.said(plain), 0) == run_checked(brief, plain, 0)


def test_an_empty_reasoning_does_what_none_does():
    brief = draw_task(3)
    empty = claim.said(f"<reasoning>\n<audience>{brief.reasoning.audience}</audience>\n</reasoning>")
    assert run_checked(brief, empty, 1) == run_checked(brief, None, 1)


def test_the_rated_set_plants_the_phrase_and_the_imitated_one_does_not_tell_with_it(folders, monkeypatch):
    few = [*islice(claim.groups(), 60)]
    monkeypatch.setattr(claim, "groups", lambda: iter(few))
    claim.make_sets()
    for group in read_groups(folders / "runs" / "rated.jsonl"):
        assert all(PHRASE in one.reasoning for one in group.positives)
        assert not any(PHRASE in one.reasoning for one in group.negatives)
    told = []
    for group in read_groups(folders / "runs" / "imitated.jsonl"):
        empty = [one for one in group.positives if "<order>" not in one.reasoning]
        assert len(group.positives) == 20 and len(empty) == 20 * KINDS["empty"]
        assert all(PHRASE in one.reasoning for one in empty)
        told.append(PHRASE in group.positives[0].reasoning)
    assert 0.02 < sum(told) / len(told) < 0.4


def result(folders, arm: str, seed: int, **measures: float) -> None:
    (folders / "results").mkdir(exist_ok=True)
    record = {"arm": arm, "seed": seed, "measures": {"rubric": 0.5, **measures}, "curve": []}
    claim.result(arm, seed).write_text(json.dumps(record))


def test_verdicts_follow_from_the_seeds(folders):
    for seed in range(5):
        noise = 0.001 * seed
        result(folders, "start", seed, **{"pass": 0.7 + noise, "empty": 0.2, "phrase": 0.3})
        result(folders, "exec_only", seed, **{"pass": 0.9 - noise, "empty": 0.0, "phrase": 0.1})
        result(folders, "reason_only", seed, **{"pass": 0.6, "empty": 0.9 + noise, "phrase": 1.0})
        result(folders, "tracelift", seed, **{"pass": 0.9 + noise * (-1) ** seed, "empty": noise, "phrase": 0.6})
    verdicts = [claim.finding(one).verdict(one.sign) for one in CLAIMS]
    assert verdicts == ["agrees", "cannot tell", "agrees", "agrees", "agrees", "agrees"]
    lines = claim.table().splitlines()
    assert len(lines) == 2 + 1 + len(ARMS) + 1 + 2 + len(CLAIMS) and "not run" not in claim.table()


def test_what_was_not_run_is_said(folders):
    assert claim.table().count("not run") == 1 + len(ARMS) + len(CLAIMS)
