"""One run: exact resume, torn checkpoints, averages, what a person sees."""

from __future__ import annotations

import json
import signal

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from small_runs import Line, Numbers, train, weights
from torch import nn

from posterkit.training.config import RunConfig, rate_at
from posterkit.training.run import Run
from posterkit.training.state import EMA, kept_steps, newest_state


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"accumulation": 3},
        {"ema_decay": 0.9, "schedule": "cosine", "warmup_steps": 3},
        {"precision": "bf16", "sample_every": 2},
        {"optimizer": "adafactor", "weight_decay": 0.1},
        {"optimizer": "adamw8bit", "weight_decay": 0.1, "betas": [0.8, 0.95]},
    ],
)
def test_stopping_and_going_on_equals_never_stopping_bit_for_bit(tmp_path, settings):
    whole = train(tmp_path / "whole", max_steps=10, **settings)
    train(tmp_path / "halves", max_steps=10, stop_at=5, **settings)
    halves = train(tmp_path / "halves", max_steps=10, **settings)
    assert torch.equal(weights(whole), weights(halves))
    for name in ("optimizer", "ema") if settings.get("ema_decay") else ("optimizer",):
        a, b = ((tmp_path / run / "last" / f"{name}.safetensors").read_bytes() for run in ("whole", "halves"))
        assert a == b


def test_a_torn_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    train(tmp_path, max_steps=8, stop_at=4)
    last = tmp_path / "last"
    last.rename(tmp_path / "last.previous")
    last.mkdir()
    for file in (tmp_path / "last.previous").iterdir():
        (last / file.name).write_bytes(file.read_bytes())
    (last / "weights.safetensors").write_bytes(b"torn")
    assert newest_state(last) == tmp_path / "last.previous"
    (last / "sealed.json").unlink()
    assert newest_state(last) == tmp_path / "last.previous"


def test_a_run_is_not_overwritten_by_one_that_must_not_resume(tmp_path):
    train(tmp_path, max_steps=2)
    with pytest.raises(SystemExit, match="holds a run already"):
        train(tmp_path, max_steps=2, resume="never")


@pytest.mark.parametrize(
    "change", [{"max_steps": 6}, {"seed": 1}, {"accumulation": 2}, {"warmup_steps": 1}, {"init_from": "x"}]
)
def test_another_config_is_refused_and_the_runs_own_stays_on_disk(tmp_path, change):
    train(tmp_path, max_steps=4, stop_at=2)
    written = (tmp_path / "config.yaml").read_text()
    with pytest.raises(SystemExit, match=f"begun with {next(iter(change))}="):
        train(tmp_path, **{"max_steps": 4, **change})
    assert (tmp_path / "config.yaml").read_text() == written


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_finished_run_goes_on_where_it_is_extended_and_says_what_the_rate_does(tmp_path, capsys, schedule):
    train(tmp_path, max_steps=4, schedule=schedule)
    capsys.readouterr()
    with pytest.raises(SystemExit, match=r"begun with max_steps=4, now 8; .* or extend=true to go on with it so"):
        train(tmp_path, max_steps=8, schedule=schedule)
    train(tmp_path, max_steps=8, schedule=schedule, extend=True)
    said = capsys.readouterr().out
    # cosine: a tenth of 0.05 at its end, and halfway of the longer one 0.1 + 0.9 / 2
    rates = {"constant": ("0.05", "0.05"), "cosine": ("0.005", "0.0275")}[schedule]
    assert f"extended at step 4: max_steps 4 -> 8; the rate there was {rates[0]} and is {rates[1]}" in said
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [*range(1, 9)]
    assert rows[4]["lr"] == pytest.approx(float(rates[1]))


def test_a_constant_run_that_was_extended_equals_one_of_the_whole_length_bit_for_bit(tmp_path):
    train(tmp_path / "longer", max_steps=4, ema_decay=0.9)
    longer = train(tmp_path / "longer", max_steps=8, ema_decay=0.9, extend=True)
    assert torch.equal(weights(longer), weights(train(tmp_path / "whole", max_steps=8, ema_decay=0.9)))
    train(tmp_path / "longer", max_steps=8, ema_decay=0.9)  # the longer length is now the run's own


def test_a_run_is_not_made_shorter_than_it_is_and_extending_changes_no_other_key(tmp_path):
    train(tmp_path, max_steps=4)
    with pytest.raises(SystemExit, match=r"has taken 4 steps already; max_steps=3 is fewer"):
        train(tmp_path, max_steps=3, extend=True)
    with pytest.raises(SystemExit, match=r"begun with seed=0, now 1; .* in another run_dir\n?$"):
        train(tmp_path, max_steps=8, seed=1, extend=True)


def test_the_last_checkpoints_are_kept_and_a_run_goes_back_to_one_bit_for_bit(tmp_path):
    settings = {"max_steps": 6, "ema_decay": 0.9, "save_every": 1, "keep_last": 3}
    whole = weights(train(tmp_path, **settings))
    assert [path.name for path in sorted((tmp_path / "steps").iterdir())] == ["0000004", "0000005"]
    assert list(kept_steps(tmp_path / "last")) == [4, 5, 6]
    with pytest.raises(SystemExit, match=r"keeps no checkpoint of step 2, only of 4, 5, 6; see keep_last"):
        train(tmp_path, **settings, resume_at=2)
    again = train(tmp_path, **settings, resume_at=5)
    assert torch.equal(weights(again), whole) and list(kept_steps(tmp_path / "last")) == [4, 5, 6]
    train(tmp_path, **{**settings, "keep_last": 1, "max_steps": 7}, extend=True)
    assert not list((tmp_path / "steps").iterdir())


def test_going_back_drops_what_came_later(tmp_path):
    train(tmp_path, max_steps=6, save_every=2, keep_last=9)
    train(tmp_path, max_steps=6, save_every=2, keep_last=9, resume_at=2, stop_at=3)
    assert list(kept_steps(tmp_path / "last")) == [2, 3]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]


@pytest.mark.parametrize(("best", "kept"), [("made.recall", 4), ("-made.recall", 2), ("heldout.reward", 6)])
def test_the_best_weights_are_kept_by_a_figure_of_the_sample_sheets(tmp_path, best, kept):
    figures = {0: (0.5, [0.1]), 2: (0.1, [0.2, float("nan")]), 4: (0.9, [float("nan")]), 6: (0.9, [0.3])}
    config = RunConfig(run_dir=str(tmp_path), max_steps=6, sample_every=2, best=best, learning_rate=0.05)
    run, model, seen = Run(config), Line(), {}

    def sheet() -> Image.Image:
        recall, reward = figures[run.step]
        seen[run.step] = weights(model)
        read = {"f_score": 0.5, "exact": 0.5}
        said = {"made": {"recall": recall, **read}, "posters": {"recall": 1.0, **read}, "heldout": {"reward": reward}}
        (tmp_path / "samples" / f"{run.step:07d}.json").write_text(json.dumps(said))
        return Image.new("RGB", (4, 4))

    for rows in run.steps(model, Numbers(), sample=sheet):
        run.backward((model.module(rows) - rows.sum(1, keepdim=True)).square().mean())
    saved, other = load_file(tmp_path / "best" / "model.safetensors"), Line(seed=5)
    other.module.load_state_dict(saved)
    assert torch.equal(weights(other), seen[kept])
    assert json.loads((tmp_path / "best" / "figure.json").read_text())["step"] == kept


def test_a_figure_that_the_sheets_do_not_have_is_named_beside_those_they_have(tmp_path):
    config = RunConfig(run_dir=str(tmp_path), max_steps=2, sample_every=1, best="made.beauty")
    run, model = Run(config), Line()

    def sheet() -> Image.Image:
        (tmp_path / "samples" / f"{run.step:07d}.json").write_text('{"made": {"recall": 0.5, "exact": 1}}')
        return Image.new("RGB", (4, 4))

    with pytest.raises(SystemExit, match=r"best=made\.beauty: .* no such figure, but made\.recall, made\.exact"):
        for rows in run.steps(model, Numbers(), sample=sheet):
            run.backward(model.module(rows).square().mean())
    with pytest.raises(ValueError, match="needs sample_every above 0"):
        RunConfig(best="made.recall").check()


def test_the_log_forgets_steps_that_are_taken_again(tmp_path):
    train(tmp_path, max_steps=6, stop_at=2)
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"step": 3, "loss": 0.5}\n{"step": 4, "lo')  # killed after the last save
    train(tmp_path, max_steps=6)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_and_it_goes_on_bit_for_bit(tmp_path, number):
    whole = train(tmp_path / "whole", max_steps=6)
    run, model = Run(RunConfig(run_dir=str(tmp_path / "run"), max_steps=6, learning_rate=0.05, log_every=1)), Line()
    with pytest.raises(SystemExit, match="stopped at step 3 and saved"):
        for rows in run.steps(model, Numbers()):
            if run.step == 2:
                signal.raise_signal(number)
            rows = rows.to(run.device)
            noise = run.noise_like(rows)
            run.backward((model.module(rows + 0.1 * noise) - rows.sum(1, keepdim=True)).square().mean())
    assert torch.equal(weights(train(tmp_path / "run", max_steps=6)), weights(whole))


def test_a_picture_that_fails_loses_no_step(tmp_path):
    run = Run(RunConfig(run_dir=str(tmp_path), max_steps=4, save_every=2, sample_every=2))
    model = Line()

    def fail() -> Image.Image:
        if run.step == 0:
            return Image.new("RGB", (4, 4))
        raise RuntimeError("no picture")

    with pytest.raises(RuntimeError, match="no picture"):
        for rows in run.steps(model, Numbers(), sample=fail):
            run.backward(model.module(rows.to(run.device)).square().mean())
    state = newest_state(tmp_path / "last")
    assert state is not None and json.loads((state / "state.json").read_text())["step"] == 2


@pytest.mark.parametrize(
    "setting",
    [{"clip": 0.0}, {"warmup_steps": -1}, {"ema_decay": 1.0}, {"max_steps": 0}, {"minutes": -1.0}, {"seed": -1},
     {"sample_every": -1}, {"run_dir": ""}, {"init_from": ""}],
)  # fmt: skip
def test_settings_that_cannot_work_are_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        RunConfig(**setting).check()


def test_accumulating_two_halves_steps_like_one_whole_batch(tmp_path):
    class Halves(Numbers):
        def __iter__(self):
            for rows in super().__iter__():
                yield from rows.chunk(2)

    made = []
    for name, loader, parts in (("whole", Numbers(), 1), ("halves", Halves(), 2)):
        config = RunConfig(run_dir=str(tmp_path / name), max_steps=3, learning_rate=0.05, accumulation=parts)
        run, model = Run(config), Line()
        for rows in run.steps(model, loader):
            run.backward(model.module(rows.to(run.device)).square().mean())
        made.append(weights(model))
    assert torch.allclose(*made, atol=1e-6)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    train(tmp_path, max_steps=4, stop_at=2)
    run, model = Run(RunConfig(run_dir=str(tmp_path), max_steps=4, learning_rate=0.05)), Line()
    with pytest.raises(SystemExit, match="step 3: the loss is nan on a batch whose samples have no names") as ended:
        for rows in run.steps(model, Numbers()):
            run.backward(model.module(rows.to(run.device)).mean() * float("nan"))
    assert ended.value.code == 1
    assert newest_state(tmp_path / "last") == tmp_path / "last"


def test_the_average_follows_early_steps_fast_and_swaps_back():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = EMA(model, decay=0.999)
    nn.init.ones_(model.weight)
    ema.update(model, step=0)  # decay is min(0.999, 1/10)
    assert ema.shadow["weight"].item() == pytest.approx(0.9)
    ema.swap(model)
    assert model.weight.item() == pytest.approx(0.9)
    ema.swap(model)
    assert model.weight.item() == 1.0


def test_the_rate_warms_up_and_falls_to_a_tenth_at_the_last_step(tmp_path):
    config = RunConfig(run_dir=str(tmp_path), max_steps=100, learning_rate=1.0, schedule="cosine", warmup_steps=10)
    assert rate_at(config, 0) == pytest.approx(0.1, rel=1e-3)
    assert rate_at(config, 100) == pytest.approx(0.1)
    assert rate_at(config, 50) == pytest.approx(0.55)


def test_the_run_folder_holds_log_samples_and_config(tmp_path):
    train(tmp_path, max_steps=4, sample_every=2, ema_decay=0.9)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "0000000.png", "0000002.png", "0000004.png"
    ]  # fmt: skip
    assert (tmp_path / "config.yaml").is_file() and (tmp_path / "ema" / "model.safetensors").is_file()
