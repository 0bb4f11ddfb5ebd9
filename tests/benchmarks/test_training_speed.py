"""The arithmetic of benchmarks/training_speed.py, and the clock that it times other programs with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/training_speed.py as a module."""
    spec = importlib.util.spec_from_file_location("training_speed", ROOT / "benchmarks" / "training_speed.py")
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules["training_speed"] = benchmark
    spec.loader.exec_module(benchmark)
    return benchmark


def test_a_ratio_leaves_the_encoders_out_that_the_other_one_runs_in_every_step(benchmark):
    seen = {"image_tokens": 100, "text_tokens": 72, "batch": 4, "loaded": 500 * 2**20}
    ours = {"cpu": 4.0, "frozen_cpu": 0.0, "wall": 6.0, "frozen_wall": 0.0, "peak": 590 * 2**20, **seen}
    theirs = {"cpu": 10.0, "frozen_cpu": 2.0, "wall": 16.0, "frozen_wall": 4.0, "peak": 600 * 2**20, **seen}
    cells = benchmark.table_row({"pairs": [(ours, theirs)] * 3, "steps": 2, "data_wait": 0.012}).split(" | ")
    assert cells == [
        "100 + 72, x 4", "2.000", "5.000 (1.000 encoders)", "0.40", "0.50 (0.50 to 0.50)", "0.50", "90 and 100",
        "0.90", "1.2%",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_script_takes_as_many_steps_as_it_is_told_to_and_waits(benchmark, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "weight = torch.nn.Parameter(torch.zeros(1))\n"
        "optimizer = torch.optim.SGD([weight], lr=0.1)\n"
        "for step in range(1000):\n"
        "    open(sys.argv[1], 'w').write(str(step + 1))\n"
        "    weight.square().sum().backward()\n"
        "    optimizer.step()\n"
    )
    trainer = benchmark.Trainer(sys.executable, script, [str(tmp_path / "taken")], tmp_path / "run", warm_up=2)
    assert (tmp_path / "taken").read_text() == "2"
    assert 0 < trainer.take(3)["cpu"] < 60
    assert (tmp_path / "taken").read_text() == "5"
    trainer.end()
    assert trainer.process.returncode == 0


@pytest.mark.slow
def test_a_script_that_ends_early_is_an_error_with_its_last_words(benchmark, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no such checkpoint')\n")
    with pytest.raises(RuntimeError, match="no such checkpoint"):
        benchmark.Trainer(sys.executable, script, [], tmp_path / "run", warm_up=1)
