"""How a run ends early: numbers that are not finite, a full disk, another run in its folder, missing processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import Line, Numbers, train, weights

from posterkit.training.config import RunConfig
from posterkit.training.errors import WrongCall, setting_up
from posterkit.training.guard import check_processes, hold_folder
from posterkit.training.run import Run
from posterkit.training.state import newest_state

SUPPORT = Path(__file__).resolve().parents[1] / "support"


class Named(list):
    """A batch whose samples have names."""

    def __init__(self, rows, ids):
        super().__init__(rows)
        self.ids, self.tasks = ids, ["text"] * len(ids)


class NamedNumbers(Numbers):
    """`Numbers`, each batch with two names: `poster-<n>a` and `poster-<n>b`."""

    def __iter__(self):
        for rows in super().__iter__():
            yield Named(rows, [f"poster-{self.position}{half}" for half in "ab"])


def learn(folder, bad: str = "", loader=NamedNumbers, **settings) -> torch.Tensor:
    """A run whose loss is nan wherever a batch holds `bad`."""
    run, model = Run(RunConfig(run_dir=str(folder), max_steps=6, learning_rate=0.05, log_every=1, **settings)), Line()
    for batch in run.steps(model, loader()):
        rows = torch.stack(batch)
        noise = run.noise_like(rows)
        loss = (model.module(rows + 0.1 * noise) - rows.sum(1, keepdim=True)).square().mean()
        run.backward(loss * (float("nan") if bad in batch.ids else 1))
    run.finish(model)
    return weights(model)


@pytest.mark.parametrize("settings", [{}, {"accumulation": 2, "ema_decay": 0.9}])
def test_a_loss_that_is_nan_saves_the_state_before_its_batch_and_names_it(tmp_path, capsys, settings):
    with pytest.raises(SystemExit) as ended:
        learn(tmp_path / "run", bad="poster-4b", save_every=100, **settings)
    step = {1: 4, 2: 2}[settings.get("accumulation", 1)]  # batches 3 and 4 are step 2's where two make a step
    assert ended.value.code == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"step {step}: the loss is nan on the batch poster-4a, poster-4b" in line
    assert "the state before it is saved; the same command meets it again; with skip=[poster-4a]" in line
    found = json.loads((tmp_path / "run" / "bad_batch.json").read_text())
    assert found["step"] == step and found["faults"][0]["ids"] == ["poster-4a", "poster-4b"]
    mended = learn(tmp_path / "run", **settings)  # the batch was mended: as if nothing had been
    assert torch.equal(mended, learn(tmp_path / "whole", **settings))


def test_a_batch_to_skip_is_left_out_as_if_it_had_never_been(tmp_path):
    class WithoutFour(NamedNumbers):
        def __iter__(self):
            return (batch for batch in super().__iter__() if "poster-4a" not in batch.ids)

    with pytest.raises(SystemExit):
        learn(tmp_path / "run", bad="poster-4b")
    skipped = learn(tmp_path / "run", bad="poster-4b", skip=["poster-4a"])
    assert torch.equal(skipped, learn(tmp_path / "whole", loader=WithoutFour))
    learn(tmp_path / "halves", bad="poster-4b", skip=["poster-4a"], stop_at=5)
    assert torch.equal(skipped, learn(tmp_path / "halves", bad="poster-4b", skip=["poster-4a"]))


def test_skipping_everything_ends_and_does_not_turn_for_ever(tmp_path):
    class Same(Numbers):
        def __iter__(self):
            return (Named(rows, ["it"]) for rows in super().__iter__())

    with pytest.raises(SystemExit, match="skip leaves no batch out of 10000"):
        learn(tmp_path, loader=Same, skip=["it"])


def test_weights_that_are_not_finite_are_not_saved_over_those_that_were(tmp_path):
    train(tmp_path, max_steps=4, stop_at=2)
    run, model = Run(RunConfig(run_dir=str(tmp_path), max_steps=4, learning_rate=0.05)), Line()
    with pytest.raises(SystemExit, match="the weights are not finite either: the last checkpoint stays"):
        for rows in run.steps(model, Numbers()):
            with torch.no_grad():
                model.module[0].weight[0, 0] = float("inf")
            run.backward(model.module(rows).mean() * float("nan"))
    assert json.loads((tmp_path / "last" / "state.json").read_text())["step"] == 2
    train(tmp_path, max_steps=4)


def test_a_gradient_that_is_not_finite_ends_the_run_too(tmp_path):
    run, model = Run(RunConfig(run_dir=str(tmp_path), max_steps=4)), Line()
    with pytest.raises(SystemExit, match="step 1: the gradient is not finite"):
        for rows in run.steps(model, Numbers()):
            run.backward(model.module(rows).sub(model.module(rows).detach()).abs().sum().sqrt())  # 0, slope infinite
    assert torch.equal(weights(model), weights(Line()))


def test_a_strategys_own_loss_ends_the_run_in_the_same_way(tmp_path, capsys):
    run, model = Run(RunConfig(run_dir=str(tmp_path), max_steps=4)), Line()
    with pytest.raises(SystemExit) as ended:
        for _batch in run.steps(model, NamedNumbers()):
            with run.autocast():
                raise FloatingPointError("the reconstruction's error is nan")
    assert ended.value.code == 1
    assert "step 1: the reconstruction's error is nan on the batch poster-1a" in capsys.readouterr().err
    assert newest_state(tmp_path / "last") is not None


def small_disk(tmp_path: Path, size: str) -> Path:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    return disk


@pytest.fixture
def disk(tmp_path):
    made = small_disk(tmp_path, "400k")
    yield made
    subprocess.run(["umount", "-l", made], check=True)


def fill(disk: Path) -> Path:
    """Take all that is left of a disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1024)):
            pass
    return ballast


@pytest.mark.parametrize("where", ["checkpoint", "log", "sample", "model"])
def test_a_full_disk_ends_the_run_with_a_line_and_the_last_checkpoint_stays(disk, capsys, where):
    """Each of the four is the first thing to be written after the disk is full."""
    folder = disk / "run"
    train(folder, max_steps=6, stop_at=2, ema_decay=0.9, tracker="none")
    tell = {"log": 1, "checkpoint": 100, "sample": 100, "model": 100}[where]
    settings = {"max_steps": 6, "ema_decay": 0.9, "tracker": "none", "learning_rate": 0.05, "log_every": tell}
    settings |= {"save_every": 4 if where == "checkpoint" else 100, "sample_every": 4 if where == "sample" else 0}
    run, model = Run(RunConfig(run_dir=str(folder), **settings)), Line()
    before = {file.name: file.read_bytes() for file in (folder / "last").iterdir()}
    ballast = None
    with pytest.raises(SystemExit) as ended:
        for rows in run.steps(model, Numbers(), sample=lambda: Image.effect_noise((96, 96), 50)):
            if run.step == 3:
                if where == "log":  # what a row takes of a page that the file has already would still fit
                    with (folder / "metrics.jsonl").open("a") as log:
                        log.write('{"step": 3, "pad": "' + "x" * (4073 - log.tell() % 4096) + '"}\n')
                ballast = fill(disk)
            if where == "model" and run.step == 5:
                run.config.log_every = 1000
                run.log.row = lambda *_: None
                run._save = lambda: None
            noise = run.noise_like(rows)
            run.backward((model.module(rows + 0.1 * noise) - rows.sum(1, keepdim=True)).square().mean())
        run.finish(model)
    assert ended.value.code == 1
    line = capsys.readouterr().err
    what = {"checkpoint": "a checkpoint", "log": "the log", "sample": "a sample sheet", "model": "model/"}[where]
    assert line.count("\n") == 1 and f"{what} cannot be written: " in line and "no space left" in line.lower()
    assert {file.name: file.read_bytes() for file in (folder / "last").iterdir()} == before
    assert not [file for file in folder.rglob("*") if ".tmp" in file.name]
    assert (folder / "model" / "model.safetensors").is_file()  # that of the stop at 2
    ballast.unlink()
    assert torch.equal(weights(train(folder, max_steps=6, ema_decay=0.9)), weights(plain(folder.parent / "plain")))


def plain(folder: Path) -> Line:
    return train(folder, max_steps=6, ema_decay=0.9)


def test_a_disk_that_is_full_from_the_start_is_no_wrong_call(disk, capsys):
    (disk / "run").mkdir()
    fill(disk)
    with pytest.raises(SystemExit) as ended:
        train(disk / "run", max_steps=1)
    assert ended.value.code == 1 and "No space left" in capsys.readouterr().err


def test_a_fault_in_the_call_is_code_2_and_one_line(capsys):
    with pytest.raises(SystemExit) as ended, setting_up():
        raise ValueError("two\nlines")
    assert ended.value.code == 2 and capsys.readouterr().err == "posterkit: two lines\n"


OWNER = """
import sys, time
from pathlib import Path
from posterkit.training.guard import hold_folder
hold_folder(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_a_folder_is_one_runs_until_its_process_is_gone(tmp_path):
    folder = tmp_path / "run"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, folder], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(WrongCall, match=rf"another run is at work in this folder \(process {owner.pid} on ") as no:
            hold_folder(folder)
        assert no.value.code == 2
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    hold_folder(folder)
    hold_folder(folder)  # a process is not its own enemy
    other = subprocess.run([sys.executable, "-c", OWNER, folder], capture_output=True, text=True)
    assert other.returncode == 2 and other.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environment", "asked", "started", "said"),
    [
        ({"WORLD_SIZE": "2"}, None, 1, "the launcher started 2 processes, but one trains here, alone; "
         "start them by: torchrun --standalone --nproc-per-node 2 "),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_ADDR": "127.0.0.1"}, None, 1,
         "accelerate launch was asked for several processes, but one trains here"),
        ({}, 4, 1, "processes is 4, but one trains here, alone; start them by: torchrun --standalone --nproc-per-"),
        ({"WORLD_SIZE": "4"}, 8, 4, "processes is 8, but 4 train together"),
        ({"WORLD_SIZE": "2"}, 1, 2, "processes is 1, but 2 train together; start them by: python "),
    ],
)  # fmt: skip
def test_a_number_of_processes_that_was_not_asked_for_is_refused(monkeypatch, environment, asked, started, said):
    clean(monkeypatch, environment)
    with pytest.raises(WrongCall) as ended:
        check_processes(asked, started)
    assert ended.value.code == 2 and said in str(ended.value)


@pytest.mark.parametrize(
    ("environment", "asked", "started"),
    [({}, None, 1), ({"WORLD_SIZE": "2"}, None, 2), ({"WORLD_SIZE": "1"}, None, 1), ({"WORLD_SIZE": "2"}, 2, 2),
     ({"ACCELERATE_MIXED_PRECISION": "no"}, None, 1), ({"MASTER_ADDR": "10.0.0.1"}, None, 1)],
)  # fmt: skip
def test_as_many_processes_as_were_asked_for_may_train(monkeypatch, environment, asked, started):
    clean(monkeypatch, environment)
    check_processes(asked, started)


def clean(monkeypatch, environment):
    for name in ("WORLD_SIZE", "ACCELERATE_MIXED_PRECISION", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from small_runs import Line, Numbers
from posterkit.training.config import RunConfig
from posterkit.training.run import Run
run = Run(RunConfig(run_dir=sys.argv[2], max_steps=2, tracker="none"))
model = Line()
for rows in run.steps(model, Numbers()):
    bad = len(sys.argv) > 3 and run.step == 1 and run.accelerator.process_index == 1
    run.backward(model.module(rows).square().mean() * (float("nan") if bad else 1))
run.finish(model)
"""


@pytest.mark.slow
def test_accelerates_launcher_starting_one_of_two_processes_is_noticed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", script]
    ended = subprocess.run([*launch, SUPPORT, tmp_path / "run"], capture_output=True, text=True, timeout=300)
    assert ended.returncode and not (tmp_path / "run").exists()
    assert "posterkit: accelerate launch was asked for several processes, but one trains here" in ended.stderr
    assert "torchrun --standalone --nproc-per-node N " in ended.stderr


@pytest.mark.slow
def test_two_processes_share_a_folder_and_one_that_meets_nan_ends_both(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        script,
        SUPPORT,
    ]
    subprocess.run([*torchrun, tmp_path / "good"], check=True, timeout=300)
    began = time.monotonic()
    ended = subprocess.run([*torchrun, tmp_path / "bad", "bad"], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1 and time.monotonic() - began < 200
    assert ended.stderr.count("posterkit: ") == 1 and "step 2: the loss is nan on a batch" in ended.stderr
    state = newest_state(tmp_path / "bad" / "last")
    assert json.loads((state / "state.json").read_text())["step"] == 1
    assert json.loads((tmp_path / "bad" / "bad_batch.json").read_text())["faults"][0]["process"] == 1
