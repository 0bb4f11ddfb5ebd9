"""The engine of the data tools, on numbers: it knows nothing about posters."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from posterkit.datagen.engine import Drop, Flow, run_flow


def halve(number: int):
    return number // 2 if number % 2 == 0 else Drop("odd", f"{number} is odd", Image.new("RGB", (400, 300), "red"))


def stumble(number: int):
    if number == 11:
        raise RuntimeError("eleven\nand a second line")
    return number if number < 15 else Drop("large", f"{number} > 14")


def encode(number: int):
    name = f"n{number:03d}"
    return {"id": name, "target": f"{name}.txt", "more": [f"{name}.b.txt"], "value": number}, {
        f"{name}.txt": str(number).encode() * 100,
        f"{name}.b.txt": b"b",
    }


FLOW = Flow(range(40), 40, (("halve", halve), ("stumble", stumble)), encode, {"seed": 0}, paths=("target", "more"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_item_becomes_a_row_or_a_line_that_says_why_not(tmp_path):
    outcome = run_flow(FLOW, tmp_path / "set", shard=7)
    assert (outcome.kept, outcome.dropped, outcome.faults) == (14, 26, 1)
    assert outcome.funnel == {
        "source": {"in": 40, "dropped": {}},
        "halve": {"in": 40, "dropped": {"odd": 20}},
        "stumble": {"in": 20, "dropped": {"failed": 1, "large": 5}},
        "encode": {"in": 14, "dropped": {}},
    }
    assert json.loads((tmp_path / "set/funnel.json").read_text()) == outcome.funnel
    kept = rows(tmp_path / "set/samples.jsonl")
    assert [row["value"] for row in kept] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14]
    assert (tmp_path / "set" / kept[-1]["target"]).read_text() == "14" * 100
    assert (tmp_path / "set" / kept[-1]["more"][0]).read_text() == "b"
    dropped = {row["id"]: row for row in rows(tmp_path / "set/dropped.jsonl")}
    assert dropped["22"] == {
        "id": "22",
        "step": "stumble",
        "reason": "failed",
        "detail": "RuntimeError: eleven",
        "fault": True,
    }
    assert dropped["38"]["detail"] == "19 > 14"
    with Image.open(tmp_path / "set" / dropped["1"]["thumbnail"]) as thumbnail:
        assert thumbnail.size == (160, 120)


def encode_namesake(number: int):
    return {"id": "a", "target": "a.png", "source": "a.png"}, {"a.png": b"a"}


def test_a_text_that_happens_to_be_a_files_name_stays_as_it_is(tmp_path):
    run_flow(Flow(range(1), 1, (), encode_namesake, {}), tmp_path / "set")
    assert rows(tmp_path / "set/samples.jsonl") == [{"id": "a", "target": "00000/a.png", "source": "a.png"}]


@pytest.mark.parametrize("layout", ["folder", pytest.param("webdataset", marks=pytest.mark.slow)])
def test_two_processes_make_the_same_bytes_as_one(tmp_path, layout):
    for name, workers in (("one", 1), ("two", 2)):
        run_flow(FLOW, tmp_path / name, shard=7, workers=workers, layout=layout)
    assert content(tmp_path / "one") == content(tmp_path / "two")


SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
from test_engine import FLOW, halve
from dataclasses import replace
from posterkit.datagen.engine import run_flow
def slow(number):
    time.sleep(0.02)
    return halve(number)
if __name__ == "__main__":
    flow = replace(FLOW, steps=(("halve", slow), FLOW.steps[1]))
    run_flow(flow, sys.argv[1], shard=7, workers=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_killed_and_started_again_is_the_same_to_the_byte(tmp_path, how):
    script = tmp_path / "slow.py"
    script.write_text(SLOW.format(tests=str(Path(__file__).parent)))
    run = [sys.executable, str(script), str(tmp_path / "killed")]
    # a shell that runs the tests in the background has its children ignore Ctrl-C
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    started = subprocess.Popen(run, start_new_session=True, stderr=subprocess.DEVNULL, **heed)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").glob(".flow/0*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(started.pid, how)
    assert started.wait(60) != 0
    assert not (tmp_path / "killed" / "samples.jsonl").exists()
    subprocess.run(run, check=True, timeout=120)
    run_flow(FLOW, tmp_path / "whole", shard=7)
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_workers_end_with_the_process_that_started_them(tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW.format(tests=str(Path(__file__).parent)))
    run = [sys.executable, str(script), str(tmp_path / "killed")]
    started = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").glob(".flow/0*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list((tmp_path / "killed").glob(".flow/0*.json"))
    started.kill()
    started.communicate(timeout=30)  # they hold its output open as long as they live


def test_what_was_broken_can_be_tried_again_and_the_set_is_as_if_it_had_never_been(tmp_path):
    def stumble_once(number: int):
        return stumble(number) if not mended else halve(2 * number)

    mended: list[bool] = []
    flow = replace(FLOW, steps=(("halve", halve), ("stumble", stumble_once)))
    assert run_flow(flow, tmp_path / "set", shard=10).faults == 1
    mended.append(True)
    assert run_flow(flow, tmp_path / "set", shard=10).faults == 1  # what has a record is not made again
    assert run_flow(flow, tmp_path / "set", shard=10, retry=True).faults == 0
    names = [row["id"] for row in rows(tmp_path / "set/samples.jsonl")]
    assert "n011" in names and len(names) == len(set(names))
    # the broken item alone was in the way: the shard of 20 to 29 was made again, the one of 30 to 39 was not
    assert [row["id"] for row in rows(tmp_path / "set/dropped.jsonl") if row["reason"] == "large"] == [
        "30",
        "32",
        "34",
        "36",
        "38",
    ]


def test_what_is_made_is_not_made_again_and_a_larger_set_goes_on(tmp_path):
    run_flow(FLOW, tmp_path / "set", shard=10)
    first = (tmp_path / "set/00000/n000.txt").stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    more = replace(FLOW, source=range(55), count=55)
    run_flow(more, tmp_path / "set", shard=10, progress=lambda done, count: seen.append((done, count)))
    assert seen == [(50, 55), (55, 55)]
    assert (tmp_path / "set/00000/n000.txt").stat().st_mtime_ns == first


def test_a_smaller_set_in_the_same_folder_is_refused_and_nothing_of_the_larger_one_is_lost(tmp_path):
    run_flow(FLOW, tmp_path / "set", shard=10)
    before = content(tmp_path / "set")
    with pytest.raises(ValueError, match="holds 40 items, now 35 are asked for"):
        run_flow(replace(FLOW, source=range(35), count=35), tmp_path / "set", shard=10)
    assert content(tmp_path / "set") == before


def test_another_seed_in_the_same_folder_is_refused(tmp_path):
    run_flow(FLOW, tmp_path / "set", shard=10)
    with pytest.raises(ValueError, match="holds a set made with seed=0, now 1"):
        run_flow(replace(FLOW, settings={"seed": 1}), tmp_path / "set", shard=10)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    with pytest.raises(ValueError, match="is not empty and holds no set"):
        run_flow(FLOW, tmp_path / "mine")


def test_a_full_disk_stops_the_run_and_leaves_whole_shards_only(tmp_path, monkeypatch):
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "n012.txt":
            real(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(Path, "write_bytes", full)
        run_flow(FLOW, tmp_path / "set", shard=10)
    assert not list((tmp_path / "set").rglob("n012*")) and not list((tmp_path / "set").glob(".*.tmp"))
    run_flow(FLOW, tmp_path / "set", shard=10)
    run_flow(FLOW, tmp_path / "whole", shard=10)
    assert content(tmp_path / "set") == content(tmp_path / "whole")


def test_a_disk_that_is_full_when_a_tar_is_closed_leaves_no_tar(tmp_path, monkeypatch):
    def full(file: tarfile.TarFile) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(tarfile.TarFile, "close", full)
        run_flow(FLOW, tmp_path / "set", layout="webdataset")
    assert not list((tmp_path / "set").glob("*.tar")) and not list((tmp_path / "set").glob(".*.tmp"))


def test_a_run_that_ends_before_its_settings_are_written_does_not_lock_the_folder(tmp_path):
    (tmp_path / "set/.flow").mkdir(parents=True)
    assert run_flow(FLOW, tmp_path / "set").kept == 14


def test_tar_shards_hold_files_and_rows_without_times_or_owners(tmp_path):
    run_flow(FLOW, tmp_path / "set", shard=20, layout="webdataset")
    with tarfile.open(tmp_path / "set/00000.tar") as file:
        members = file.getmembers()
        assert [m.name for m in members[:3]] == ["n000.txt", "n000.b.txt", "n000.json"]
        assert {(m.mtime, m.uid, m.uname) for m in members} == {(0, 0, "")}
        member = file.extractfile("n003.json")
        assert member is not None and json.load(member)["value"] == 3
    assert rows(tmp_path / "set/samples.jsonl")[0]["shard"] == "00000.tar"
