"""Two processes over gloo train as one with batches twice the size."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops
from safetensors.torch import load_file
from small_stages import save_tiny_flux, write_posters, write_stage

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import sys
import torch
from torch import nn
from safetensors.torch import save_model
from posterkit.datasets.buckets import BucketedLoader
from posterkit.training.config import RunConfig
from posterkit.training.run import Run

class Line:
    def __init__(self):
        self.module = nn.Linear(4, 1)
    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.module, str(folder / "model.safetensors"))

rows = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
stop_at = int(sys.argv[4]) if len(sys.argv) > 4 else None
config = {"max_steps": 4, "learning_rate": 0.05, "batch_size": int(sys.argv[2]), "stop_at": stop_at}
run = Run(RunConfig(run_dir=sys.argv[1], **config))
model = Line()
share = run.accelerator.process_index, run.accelerator.num_processes
loader = BucketedLoader(list(rows), [0] * 48, run.config.batch_size, torch.stack, 0, *share)
for batch in run.steps(model, loader):
    noisy = batch + (0.5 * run.noise_like(batch) if len(sys.argv) > 4 else 0)
    run.backward((model.module(noisy) - batch.sum(1, keepdim=True)).square().mean())
run.finish(model)
assert run.accelerator.num_processes == int(sys.argv[3])
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_batches_twice_the_size(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, script, tmp_path / "one", "8", "1"], check=True, timeout=300)
    subprocess.run([*torchrun, script, tmp_path / "two", "4", "2"], check=True, timeout=300)
    one, two = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)


@pytest.mark.slow
def test_two_processes_go_on_where_they_stopped_each_with_its_own_noise(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    for folder, stops in (("whole", "4"), ("halves", "24")):
        for stop in stops:
            subprocess.run([*torchrun, tmp_path / folder, "4", "2", stop], check=True, timeout=300)
    whole, halves = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("whole", "halves"))
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    states = json.loads((tmp_path / "whole" / "last" / "state.json").read_text())["random"]
    assert len(states) == 2 and states[0]["run"] != states[1]["run"]


@pytest.mark.slow
def test_a_sample_sheet_that_two_processes_divide_is_the_one_that_one_process_draws(tmp_path):
    base, posters = save_tiny_flux(tmp_path / "base"), write_posters(tmp_path / "set", 4, heldout=3)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for run, launcher in (("one", [sys.executable]), ("two", torchrun)):
        config = write_stage(tmp_path, run, base, posters, max_steps=1, sample_every=1)
        subprocess.run(
            [*launcher, ROOT / "train" / "stage1_text_render.py", "--config", config], check=True, timeout=300
        )
    sheets = [Image.open(tmp_path / run / "samples" / "0000000.png") for run in ("one", "two")]
    assert sheets[0].size == sheets[1].size
    assert max(high for _, high in ImageChops.difference(*sheets).getextrema()) <= 2  # a rounding
    said = [json.loads((tmp_path / run / "samples" / "0000000.json").read_text()) for run in ("one", "two")]
    assert said[0] == said[1]
