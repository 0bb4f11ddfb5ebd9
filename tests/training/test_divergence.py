"""A run that diverges is told from a bad batch, and does not overwrite its last good checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_runs import Line, Numbers, train

from posterkit.training.config import RunConfig
from posterkit.training.divergence import Divergence
from posterkit.training.run import Run


def last_step(folder: Path) -> int:
    return json.loads((folder / "last" / "state.json").read_text())["step"]


def learn(folder: Path, rate: float, **settings) -> None:
    run, model = Run(RunConfig(run_dir=str(folder), learning_rate=rate, log_every=1, **settings)), Line()
    for rows in run.steps(model, Numbers()):
        run.backward((model.module(rows) - rows.sum(1, keepdim=True)).square().mean())
    run.finish(model)


@pytest.mark.parametrize("rate", [1e30, 1e12, 1e4])
@pytest.mark.parametrize("save_every", [1, 100])
def test_a_rate_that_is_too_high_leaves_the_last_good_checkpoint(tmp_path, capsys, rate, save_every):
    train(tmp_path, max_steps=4)
    before = (tmp_path / "last" / "weights.safetensors").read_bytes()
    with pytest.raises(SystemExit) as ended:
        learn(tmp_path, rate, max_steps=60, save_every=save_every, extend=True)
    line = capsys.readouterr().err
    assert ended.value.code == 1 and line.count("\n") == 1
    assert f"diverges at learning_rate={rate:g}: " in line and "the checkpoint of step 4 stays" in line
    assert "bad_batch" not in line and not (tmp_path / "bad_batch.json").exists()
    assert last_step(tmp_path) == 4 and (tmp_path / "last" / "weights.safetensors").read_bytes() == before
    learn(tmp_path, 0.01, max_steps=6, extend=True)
    assert last_step(tmp_path) == 6


def test_without_a_checkpoint_the_line_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        learn(tmp_path, 1e30, max_steps=60)
    assert "nothing is saved: start it with a lower learning_rate" in capsys.readouterr().err
    assert not (tmp_path / "last").exists()


def test_kept_checkpoints_are_named_as_places_to_go_back_to(tmp_path, capsys):
    train(tmp_path, max_steps=4, save_every=2, keep_last=3)
    with pytest.raises(SystemExit):
        learn(tmp_path, 1e30, max_steps=60, keep_last=3, extend=True)
    assert "or from an earlier one by resume_at=2" in capsys.readouterr().err


def test_a_loss_of_one_bad_batch_does_not_end_a_run(tmp_path):
    run, model = Run(RunConfig(run_dir=str(tmp_path), max_steps=12, learning_rate=1e-3)), Line()
    for rows in run.steps(model, Numbers()):
        run.backward(model.module(rows).square().mean() * (1e9 if run.step == 7 else 1))
    assert run.step == 12


def test_the_losses_scale_is_that_of_the_first_steps_also_after_going_on():
    first, weight = Divergence([torch.ones(2)]), torch.ones(2)
    for _ in range(6):
        first.loss(4.0)
        first.stepped()
    second = Divergence([weight])
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for _ in range(3):
        assert second.of_loss() is None
        second.loss(401.0)
        second.stepped()
    assert second.of_loss() == "the loss was 4 at the start and is 401"
    assert second.unsettled()
    weight[0] = float("nan")
    assert second.of_weights() == "the weights have grown to inf"
