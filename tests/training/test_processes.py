"""Two processes over gloo train as one with twice the batches."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys
import torch
from torch import nn
from safetensors.torch import save_model
from posterkit.data.buckets import BucketedLoader
from posterkit.training.config import RunConfig
from posterkit.training.loop import Run

class Line:
    def __init__(self):
        self.module = nn.Linear(4, 1)
    def save(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.module, str(folder / "model.safetensors"))

rows = torch.randn(48, 4, generator=torch.Generator().manual_seed(0))
run = Run(RunConfig(run_dir=sys.argv[1], max_steps=4, learning_rate=0.05, accumulation=int(sys.argv[2])))
model = Line()
share = run.accelerator.process_index, run.accelerator.num_processes
loader = BucketedLoader(list(rows), [0] * 48, 4, torch.stack, 0, *share)
for batch in run.steps(model, loader):
    run.backward((model.module(batch) - batch.sum(1, keepdim=True)).square().mean())
run.finish(model)
assert run.accelerator.num_processes == int(sys.argv[3])
"""


@pytest.mark.slow
def test_two_processes_equal_one_that_accumulates_both_their_batches(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, script, tmp_path / "one", "2", "1"], check=True, timeout=300)
    subprocess.run([*torchrun, script, tmp_path / "two", "1", "2"], check=True, timeout=300)
    one, two = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
