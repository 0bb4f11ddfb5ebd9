"""A real local cluster of two workers, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from posterkit import PosterMaker, PosterRequest
from posterkit.batch.engines import run_local
from posterkit.sizing import Size

pytest.importorskip("ray")


class Silent:
    def start(self, rows): ...
    def found(self, before): ...
    def row(self, entry): ...
    def stopping(self): ...


def actors() -> list[psutil.Process]:
    """The processes of this cluster's workers."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "RayWorker" in line or "MapWorker" in line:
            found.append(process)
    return found


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_worker_that_is_killed_costs_no_row_and_changes_no_byte(tmp_path: Path, craft: str) -> None:
    from posterkit.batch.ray_engine import RayPool, run_ray

    rows = [
        PosterRequest(f"poster {n}", texts=[f"NIGHT {n}"], size=Size(96, 144), steps=8, id=f"r{n}", out=f"{n}.png")
        for n in range(12)
    ]
    with PosterMaker(model=craft) as maker:
        assert run_local(rows, maker, tmp_path / "local", Silent()).made == 12
    killed = []

    def kill_one() -> None:
        until = time.monotonic() + 300
        while time.monotonic() < until and not killed:
            if any((tmp_path / "ray").glob("*.png")) and (running := actors()):
                running[0].send_signal(signal.SIGKILL)
                killed.append(running[0].pid)
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    result = run_ray(rows, {"model": craft}, tmp_path / "ray", Silent(), pool=RayPool(2))
    killer.join()
    assert killed and (result.made, result.failures, result.left) == (12, 0, 0)
    for n in range(12):
        assert (tmp_path / "ray" / f"{n}.png").read_bytes() == (tmp_path / "local" / f"{n}.png").read_bytes()
    assert not list((tmp_path / "ray").glob(".*.tmp"))
