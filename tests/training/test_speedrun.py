"""The speedrun at its small scale: every step of it, on two cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from diffusers import FluxPipeline

from posterkit import PosterCraftPipeline, PosterOmniPipeline

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_speedrun_makes_both_checkpoints_and_their_report_from_nothing(tmp_path):
    env = os.environ | {"SCALE": "small", "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    subprocess.run(["bash", str(ROOT / "train" / "speedrun.sh"), str(tmp_path / "run")], env=env, check=True)
    measures = json.loads((tmp_path / "run" / "report" / "report.json").read_text())["measures"]["mini"]
    assert measures["text: named background obeyed"]["count"] == 4
    weights = tmp_path / "run" / "weights"
    assert all(file.stat().st_size <= 15 * 2**20 for file in weights.rglob("*"))
    PosterOmniPipeline.from_pretrained(weights / "posteromni")
    FluxPipeline.from_pretrained(weights / "postercraft")
    pipe = PosterCraftPipeline.from_pretrained(weights / "postercraft")
    poster = pipe(prompt="red cat left navy background", width=128, height=192, num_inference_steps=2).images[0]
    assert poster.size == (128, 192) and np.asarray(poster).std() > 0
