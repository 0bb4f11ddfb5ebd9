"""What a person sees of a run: lines, a bar, rows of the log, curves, sheets before and after."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
import tiny_flux
import torch
from PIL import Image
from rich.console import Console
from small_runs import Line, Numbers, train, weights
from torch import nn

from posterkit.training.config import RunConfig
from posterkit.training.monitor.log import RunLog
from posterkit.training.monitor.screen import Bar, Lines, clock, picture_of, screen_for
from posterkit.training.run import Run


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def curves_of(folder):
    """Steps and values of every curve, and the steps of pictures, as TensorBoard itself reads the folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    read.Reload()
    scalars = {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    images = {tag: [event.step for event in read.Images(tag)] for tag in read.Tags()["images"]}
    return scalars, images


def test_tokens_are_those_of_the_pictures_and_of_the_text_in_passes_that_train(tmp_path):
    transformer = tiny_flux.components()["transformer"]
    log = RunLog(tmp_path, RunConfig(run_dir=str(tmp_path), tracker="none"), Run(RunConfig(str(tmp_path))).accelerator)
    inputs = {
        "hidden_states": torch.randn(2, 6, transformer.config.in_channels),
        "encoder_hidden_states": torch.randn(2, 5, transformer.config.joint_attention_dim),
        "pooled_projections": torch.randn(2, transformer.config.pooled_projection_dim),
        "timestep": torch.rand(2),
        "guidance": torch.ones(2),
        "img_ids": torch.zeros(6, 3),
        "txt_ids": torch.zeros(5, 3),
    }
    transformer.enable_gradient_checkpointing()  # blocks are then computed twice
    with log.following(nn.ModuleDict({"transformer": transformer}), 0, 4):
        transformer(**inputs)[0].sum().backward()
        with torch.no_grad():  # a teacher
            transformer(**inputs)
        assert log._tokens == 2 * (6 + 5)
    transformer(**inputs)
    assert log._tokens == 2 * (6 + 5)  # nothing is left hanging on the model


def test_a_row_holds_rates_memory_and_the_share_of_time_that_data_took(tmp_path):
    train(tmp_path, max_steps=2)
    for row in rows_of(tmp_path):
        assert row["images_per_s"] > 0 and 0 <= row["data_wait"] <= 1
        assert 0.05 < row["memory_gib"] < 50  # a Python with torch in it
        assert "tokens_per_s" not in row  # two linear layers read none


def test_elsewhere_than_on_a_terminal_a_row_is_a_line(tmp_path, capsys):
    train(tmp_path, max_steps=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    assert all(said in lines[0] for said in ("loss ", "grad ", " images/s", " GiB", "wait ", " left"))


@pytest.mark.parametrize("width", [80, 120])
def test_the_bar_takes_two_lines_however_large_the_numbers(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    figures = {"loss": 0.1234, "grad_norm": 12.5, "images_per_s": 123.4, "tokens_per_s": 123456, "memory_gib": 131.2,
               "data_wait": 0.03}  # fmt: skip
    console.print(picture_of(123456, 300000, figures, 200000.0))
    first, second = console.file.getvalue().rstrip("\n").split("\n")
    assert len(first) <= width and len(second) <= width
    assert "step 123456/300000" in first and "2 d 7:33 left, ends " in first
    assert "123456 tokens/s" in second and second.rstrip().endswith("  wait 3%")


def test_the_bar_says_when_a_run_ends_and_of_another_day_which():
    def shown(left):
        console = Console(file=io.StringIO(), width=100)
        console.print(picture_of(1, 2, {}, left))
        return console.file.getvalue()

    assert f"ends {datetime.now() + timedelta(days=2):%a %d %b}" in shown(2 * 86400)
    assert [clock(seconds) for seconds in (35, 725, 11525, 184320)] == ["0:35", "12:05", "3:12:05", "2 d 3:12"]


def test_a_bar_is_drawn_on_a_terminal_only_and_keeps_what_rows_alone_tell():
    out = io.StringIO()
    assert isinstance(screen_for(Console(file=out), 9), Lines)
    bar = screen_for(Console(file=out, force_terminal=True, width=100, legacy_windows=False, _environ={}), 9)
    assert isinstance(bar, Bar)
    bar.show(1, {"loss": 0.5, "grad_norm": 3.25}, 10, row=True)
    bar.show(2, {"loss": 0.25}, 10, row=False)
    bar.close()
    assert "grad 3.25" in out.getvalue().rsplit("step 2/9")[-1]


def test_curves_follow_a_run_that_stopped_was_killed_and_went_on_without_a_step_twice(tmp_path):
    train(tmp_path, max_steps=6, stop_at=4, save_every=2, sample_every=2)
    state = tmp_path / "last"
    record = json.loads((state / "state.json").read_text())
    train(tmp_path / "other", max_steps=6, stop_at=2)
    for file in (tmp_path / "other" / "last").iterdir():  # as if step 4 had never been saved
        (state / file.name).write_bytes(file.read_bytes())
    assert record["step"] == 4
    train(tmp_path, max_steps=6, save_every=2, sample_every=2)
    scalars, images = curves_of(tmp_path)
    assert [step for step, _ in scalars["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [value for _, value in scalars["train/loss"]] == pytest.approx([row["loss"] for row in rows_of(tmp_path)])
    assert images["samples"] == [0, 2, 4, 6]


def test_no_tracker_writes_no_curves(tmp_path):
    train(tmp_path, max_steps=1, tracker="none")
    assert not (tmp_path / "tensorboard").exists()


def test_asking_for_a_tracker_that_is_not_installed_is_an_error_and_auto_is_none(tmp_path, monkeypatch):
    import posterkit.training.config as config
    import posterkit.training.monitor.log as log

    monkeypatch.setattr(config, "can_draw_curves", lambda: False)
    monkeypatch.setattr(log, "can_draw_curves", lambda: False)
    with pytest.raises(ValueError, match=r"tracker is tensorboard, which is not installed; pip install 'posterkit\[t"):
        RunConfig(tracker="tensorboard").check()
    train(tmp_path, max_steps=1)
    assert not (tmp_path / "tensorboard").exists()


def test_a_stage_shows_what_it_began_with_and_what_came_of_it_and_learns_the_same(tmp_path):
    drawn = []

    def run(folder, **settings):
        config = RunConfig(run_dir=str(folder), learning_rate=0.05, max_steps=5, ema_decay=0.5, **settings)
        run, model = Run(config), Line()

        def sheet():
            drawn.append((run.step, weights(model)))
            torch.rand(7)  # a picture that draws on the run's own random numbers
            return Image.new("RGB", (4, 4))

        for rows in run.steps(model, Numbers(), sample=sheet):
            noise = run.noise_like(rows) + torch.rand(1).item()
            run.backward((model.module(rows + noise) - rows.sum(1, keepdim=True)).square().mean())
        run.finish(model)
        return weights(model)

    plain = run(tmp_path / "plain")
    assert not drawn
    run(tmp_path / "shown", sample_every=3, stop_at=2)
    shown = run(tmp_path / "shown", sample_every=3)
    assert torch.equal(plain, shown)
    assert [step for step, _ in drawn] == [0, 2, 3, 5]  # before, where it was told to stop, on the way, after
    assert torch.equal(drawn[0][1], weights(Line()))


def test_figures_do_not_count_the_time_of_pictures(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("posterkit.training.monitor.log.time", SimpleNamespace(monotonic=lambda: now[0]))
    log = RunLog(tmp_path, RunConfig(run_dir=str(tmp_path), tracker="none"), Run(RunConfig(str(tmp_path))).accelerator)
    with log.following(nn.Linear(1, 1), 0, 4):
        with log.waiting():
            now[0] += 1
        now[0] += 3
        with log.aside():
            now[0] += 100
        log.stepped(1)
        log.row({}, {})
    (row,) = rows_of(tmp_path)
    assert row["images_per_s"] == 16 / 4 and row["data_wait"] == 0.25
