"""The harm detector through its real recipe: what it learns, what it calibrates with, exact resume."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import harm_detector as recipe
import pytest
from safetensors.torch import load_file

from posterkit.datagen.safety_lines import HarmPairs
from posterkit.evaluation.harm_detectors import detector_table, judge_pairs
from posterkit.safety.detectors.tiny import TinyDetector
from posterkit.training.config import load_config

ROOT = Path(__file__).resolve().parents[3]
CONFIG = ROOT / "configs" / "mini" / "harm_detector.yaml"


def train(folder: Path, *overrides: str) -> Path:
    command = [sys.executable, "train/harm_detector.py", f"run_dir={folder}", "pairs.count=2400", *overrides]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=600)
    return folder / "model" / "tiny.safetensors"


def test_no_line_is_trained_on_and_calibrated_with_or_held_out():
    config = load_config(recipe.HarmDetectorConfig, CONFIG, ["pairs.count=2400"])
    train_pairs, calibration, heldout = recipe.split_pairs(config)
    trained = {line for pair in train_pairs for line in (pair.safer, pair.other)}
    assert trained and calibration and heldout
    assert not trained.intersection(calibration)
    assert not {line.text for line in calibration if line.harmful} & {pair.other.text for pair in heldout}
    assert {line.harmful for line in calibration} == {True, False}


def test_a_set_without_a_held_out_half_is_refused(tmp_path):
    row = {"prompt": "p", "response_0": "a", "response_1": "b", "is_response_0_safe": True,
           "is_response_1_safe": False, "safer_response_id": 0}  # fmt: skip
    (tmp_path / "train.jsonl").write_text(json.dumps(row))
    config = load_config(recipe.HarmDetectorConfig, CONFIG, [f"pairs.path={tmp_path}"])
    with pytest.raises(ValueError, match="nothing to"):
        recipe.split_pairs(config)


@pytest.mark.slow
def test_it_learns_and_a_stopped_run_goes_on_to_the_same_bits(tmp_path):
    steps = ("max_steps=60", "save_every=30", "warmup_steps=5")
    whole = train(tmp_path / "whole", *steps)
    train(tmp_path / "parts", *steps, "stop_at=30")
    parts = train(tmp_path / "parts", *steps)
    one, other = load_file(whole), load_file(parts)
    assert all((one[name] == other[name]).all() for name in one)
    source = HarmPairs(0)
    heldout = [pair for number in range(960) if (pair := source[number]).split == "heldout"]
    table = {row.name: row for row in detector_table(judge_pairs(TinyDetector(whole), heldout))}
    # chance is 0.5, and its standard error on so many lines is 0.02 (Hanley and McNeil 1982)
    assert table["all"].harmful > 300 and table["all"].auroc > 0.6 and table["harmless: brief"].auroc > 0.6
    assert (tmp_path / "whole" / "heldout.md").read_text().startswith("| | harmful")
