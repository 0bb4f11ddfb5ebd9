from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from posterkit.batch.claims import LOCK, FolderClaims
from posterkit.image_io import written_whole

_HOLDER = """
import sys, time
from pathlib import Path
from posterkit.batch.claims import FolderClaims
claims = FolderClaims(Path(sys.argv[1]))
print(claims.take("a.png"), flush=True)
time.sleep(60)
"""


def test_a_result_is_one_batchs_until_it_is_given_back(tmp_path: Path) -> None:
    with FolderClaims(tmp_path) as one, FolderClaims(tmp_path) as other:
        assert one.take("a.png") and other.take("b.png")
        assert not other.take("a.png") and not other.take("A.svg")  # what lies beside a result goes with it
        assert one.take("a.png")  # a second time by the same one
        one.give_back("a.png")
        assert not other.take("a.png")
        one.give_back("a.png")
        assert other.take("a.png")
    assert (tmp_path / LOCK).stat().st_size == 0


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_killed_batch_lets_its_claims_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder, FolderClaims(tmp_path) as claims:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        assert not claims.take("a.png")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert claims.take("a.png")


def test_what_a_dead_writer_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    dead = tmp_path / "sub" / ".b.png.abcd1234.tmp"
    dead.mkdir(parents=True)
    (dead / "b.png").write_bytes(b"half")
    theirs = tmp_path / ".notes.tmp"
    theirs.mkdir()
    with FolderClaims(tmp_path) as writer, FolderClaims(tmp_path) as claims:
        assert writer.take("a.png")
        with written_whole(tmp_path / "a.png") as temporary:
            temporary.write_bytes(b"whole")
            claims.sweep()
        assert (tmp_path / "a.png").read_bytes() == b"whole"
        assert not dead.exists() and theirs.is_dir()


def test_a_file_system_without_locks_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims = FolderClaims(tmp_path)

    def refuse(file: int, place: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("posterkit.batch.claims._lock_byte", refuse)
    with pytest.warns(UserWarning, match="its file system has no locks"):
        assert claims.take("a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert claims.take("b.png")
