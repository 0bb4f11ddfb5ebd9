"""LoPT through the loop: going on, logs, rates, and several processes."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_flux
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small_halves import STREAMS, adapter, inputs, late_names, task_loss

from posterkit.training.run import Run
from posterkit.training.strategies import (
    HalvesConfig,
    StrategyConfig,
    build_strategy,
)


class Batches:
    """Endless noise, times and conditions that follow from the position alone."""

    def __init__(self, family: str) -> None:
        self.family, self.position = family, 0

    def __iter__(self):
        while True:
            self.position += 1
            yield inputs(self.family, seed=self.position)

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def train(folder, family: str, lora: tuple[str, ...] = (), checkpointing: bool = False, **settings):
    """Four steps through the real loop; the folder then holds what is released as well."""
    halves = HalvesConfig(**settings.pop("halves", {}))
    settings = {"max_steps": 4, "strategy": "lopt", "learning_rate": 1e-3, **settings}
    config = StrategyConfig(run_dir=str(folder), log_every=1, halves=halves, **settings)
    config.check()
    run, model = Run(config), adapter(family, lora)
    if checkpointing:
        model.module["transformer"].enable_gradient_checkpointing()
    strategy = build_strategy(config, model)
    for batch in run.steps(model, Batches(family), strategy):
        with run.autocast():
            loss = task_loss(strategy.velocity(*batch))
        run.backward(loss)
    run.finish(model)
    return model


@pytest.mark.parametrize(
    ("family", "lora", "settings"),
    [
        ("flux", (), {"accumulation": 2, "ema_decay": 0.9}),
        ("qwen", ("to_q",), {"halves": {"target": "anchor"}, "ema_decay": 0.9}),
        pytest.param("flux", ("to_q",), {"halves": {"target": "anchor", "early_rate": 0.5}, "clip": 0.01},
                     marks=pytest.mark.slow),
        pytest.param("qwen", (), {"strategy": "frozen_half", "precision": "bf16"}, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_stopping_and_going_on_equals_never_stopping_bit_for_bit(tmp_path, family, lora, settings):
    train(tmp_path / "whole", family, lora, **copy.deepcopy(settings))
    train(tmp_path / "halves", family, lora, stop_at=2, **copy.deepcopy(settings))
    train(tmp_path / "halves", family, lora, **copy.deepcopy(settings))
    for file in ("weights", "optimizer", *(["ema"] if settings.get("ema_decay") else [])):
        whole, again = (load_file(tmp_path / run / "last" / f"{file}.safetensors") for run in ("whole", "halves"))
        assert whole.keys() == again.keys() and all(torch.equal(whole[key], again[key]) for key in whole)


@pytest.mark.parametrize("strategy", ["end_to_end", "lopt", "frozen_half"])
@pytest.mark.parametrize("lora", [(), pytest.param(("to_q",), marks=pytest.mark.slow)])
def test_a_run_that_checkpoints_ends_where_one_that_does_not_ends(tmp_path, strategy, lora):
    for checkpointing in (False, True):
        train(tmp_path / str(checkpointing), "flux", lora, checkpointing, strategy=strategy, precision="bf16")
    plain, again = (load_file(tmp_path / run / "last" / "weights.safetensors") for run in ("False", "True"))
    assert plain.keys() == again.keys() and all(torch.equal(plain[key], again[key]) for key in plain)


def test_heads_are_in_the_train_state_and_never_in_what_is_released(tmp_path):
    model = train(tmp_path, "flux", ema_decay=0.9)
    heads = {f"reconstruction.{stream}.{n}" for stream in STREAMS for n, _ in model.module["reconstruction"][stream].named_parameters()}  # fmt: skip # noqa: E501
    assert len(heads) == 12
    for file in ("weights", "ema"):
        assert heads <= load_file(tmp_path / "last" / f"{file}.safetensors").keys()
    fresh = set(tiny_flux.transformer(layers=2, single_layers=2).state_dict())
    for folder in ("model", "ema"):
        (file,) = (tmp_path / folder / "transformer").glob("*.safetensors")
        with safe_open(file, "pt") as saved:
            assert set(saved.keys()) == fresh
        assert not any("reconstruction" in path.name for path in (tmp_path / folder).rglob("*"))


def test_the_log_tells_the_reconstruction_and_each_halfs_gradient(tmp_path):
    train(tmp_path, "flux", max_steps=40, learning_rate=3e-3)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "reconstruction", "grad_norm_first_half", "grad_norm_second_half"} <= rows[0].keys()
    assert rows[0]["reconstruction"] == pytest.approx(1, abs=0.2)  # heads near zero know little more than the mean
    assert rows[-1]["reconstruction"] < 0.8 * rows[0]["reconstruction"]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_a_steep_reconstruction_takes_no_step_from_the_second_half(tmp_path):
    """One common clip would let the first half's gradient shrink the second half's."""
    for name, weight in (("flat", 1e-3), ("steep", 1e3)):
        train(tmp_path / name, "flux", max_steps=1, clip=0.1, optimizer="adafactor", halves={"weight": weight})
    flat, steep = (load_file(tmp_path / name / "last" / "weights.safetensors") for name in ("flat", "steep"))
    late = late_names(adapter("flux").module["transformer"], 2)
    assert all(torch.equal(flat[name], steep[name]) for name in late)


def test_the_first_half_has_a_rate_of_its_own(tmp_path):
    before = dict(adapter("flux").module.named_parameters())
    for name, rate in (("one", 1.0), ("tenth", 0.1)):
        train(tmp_path / name, "flux", max_steps=1, halves={"early_rate": rate})
    one, tenth = (load_file(tmp_path / name / "last" / "weights.safetensors") for name in ("one", "tenth"))
    late = late_names(adapter("flux").module["transformer"], 2)
    for name, value in before.items():
        if name in late:
            assert torch.equal(one[name], tenth[name])
        else:
            assert torch.allclose(one[name] - value, 10 * (tenth[name] - value), atol=2e-6), name


SCRIPT = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
sys.path[:0] = sys.argv[3:]
from small_halves import adapter, inputs, task_loss
from test_lopt_runs import Batches
from posterkit.training.run import Run
from posterkit.training.strategies import HalvesConfig, LoPT, StrategyConfig, build_strategy

class Share(Batches):
    # every process its own of two batches; alone, one after the other
    def __iter__(self):
        world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
        for index, batch in enumerate(super().__iter__()):
            if index % world == rank:
                yield batch

folder, parts = sys.argv[1], int(sys.argv[2])
config = StrategyConfig(run_dir=folder, max_steps=3, learning_rate=1e-3, accumulation=parts, strategy="lopt", clip=0.1)
run, model = Run(config), adapter("qwen")
strategy = build_strategy(config, model)
for batch in run.steps(model, Share("qwen"), strategy):
    run.backward(task_loss(strategy.velocity(*batch)))
run.finish(model)
assert run.accelerator.num_processes * parts == 2

if parts == 1:
    from torch.distributed.fsdp import fully_shard
    wrapped, sharded, later = adapter("qwen"), adapter("qwen"), adapter("qwen")
    wrapped.module["transformer"] = DistributedDataParallel(wrapped.module["transformer"])
    whole = adapter("qwen")
    whole.module = DistributedDataParallel(whole.module)
    for block in sharded.module["transformer"].transformer_blocks:
        fully_shard(block)
    given = LoPT(later, HalvesConfig())
    fully_shard(later.module["transformer"])
    for refused in (lambda: LoPT(wrapped, HalvesConfig()), lambda: LoPT(whole, HalvesConfig()),
                    lambda: LoPT(sharded, HalvesConfig()), lambda: given.velocity(*inputs("qwen"))):
        try:
            refused()
        except TypeError as fault:
            assert "neither wrapped nor sharded" in str(fault) and "Run averages" in str(fault), fault
        else:
            raise AssertionError("a wrapper was taken")
"""


@pytest.mark.slow
def test_two_processes_equal_one_that_takes_both_their_batches(tmp_path):
    """One reduction a step, after both backward passes; what reduces by itself is refused."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = [str(Path(__file__).parent), str(Path(tiny_flux.__file__).parent)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, script, tmp_path / "one", "2", *paths], check=True, timeout=300)
    subprocess.run([*torchrun, script, tmp_path / "two", "1", *paths], check=True, timeout=300)
    one, two = (load_file(tmp_path / run / "last" / "weights.safetensors") for run in ("one", "two"))
    assert any(name.startswith("reconstruction") for name in one)
    assert all(torch.allclose(one[name], two[name], atol=2e-6) for name in one)
