"""Tar shards of others: what is read, and what is refused in a line."""

from __future__ import annotations

import io
import struct
import tarfile
import time
from pathlib import Path

import pytest

from posterkit.datasets import shards
from posterkit.datasets.shards import TarShard, shard_members


def packed(*files: tuple[str, bytes], **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as file:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def announcing(size: bytes) -> bytes:
    """A member whose header has this in its size field, with a checksum that is right."""
    header = bytearray(packed(("a.png", b"x" * 100))[:512])
    header[124:136] = size.ljust(12, b"\0")
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 100 + bytes(412 + 1024)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_lie_where_they_are_said_to(tmp_path, kind):
    files = [("a.png", b"first"), ("sub/" + "n" * (90 if kind == tarfile.USTAR_FORMAT else 120) + ".png", b"second")]
    (tmp_path / "a.tar").write_bytes(packed(*files, format=kind))
    whole = (tmp_path / "a.tar").read_bytes()
    found = shard_members(tmp_path / "a.tar")
    assert {name: whole[start : start + size] for name, (start, size) in found.items()} == dict(files)


def test_what_we_write_is_read_back(tmp_path):
    with TarShard(tmp_path, 0) as shard:
        shard.put({"id": "one"}, {"one.png": b"pixels"})
    (start, size) = shard_members(tmp_path / "00000.tar")["one.png"]
    assert (tmp_path / "00000.tar").read_bytes()[start : start + size] == b"pixels"


@pytest.mark.parametrize("size", [2**40, 2**62, 2**80, -1, -(2**40), -512])
def test_a_size_that_the_file_does_not_have_is_damage(tmp_path, size):
    (tmp_path / "a.tar").write_bytes(
        announcing(b"%011o" % size if 0 <= size < 8**11 else size.to_bytes(12, "big", signed=True)
                   if size < 0 else b"\x80" + size.to_bytes(11, "big"))
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"a\.tar: damaged tar file") as error:
        found = shard_members(tmp_path / "a.tar")
        assert found != {"a.png": (512, size)} and all(0 <= end <= 100 for _, end in found.values()), found
        raise ValueError("a.tar: damaged tar file: read up to its end")
    assert "\n" not in str(error.value)


def test_links_and_devices_are_no_files(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("disk", tarfile.BLKTYPE),
                           ("pipe", tarfile.FIFOTYPE), ("folder", tarfile.DIRTYPE)):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            file.addfile(member)
    assert shard_members(tmp_path / "a.tar") == {}


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_headers_without_end_cost_neither_memory_nor_time(tmp_path, kind):
    member = tarfile.TarInfo("long")
    member.type, member.size = kind, 2**35
    chain = member.tobuf(tarfile.GNU_FORMAT)
    member.size = 512
    link = member.tobuf(tarfile.GNU_FORMAT) + b"1" * 512
    for content in (chain + bytes(2**16), link * 5000):
        (tmp_path / "a.tar").write_bytes(content)
        began = time.monotonic()
        with pytest.raises(ValueError, match=r"a\.tar: damaged tar file"):
            shard_members(tmp_path / "a.tar")
        assert time.monotonic() - began < 10


def test_too_many_files_and_what_is_no_tar_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.tar").write_bytes(packed(*((str(n), b"") for n in range(9))))
    monkeypatch.setattr(shards, "MAX_MEMBERS", 8)
    with pytest.raises(ValueError, match="more than 8 files"):
        shard_members(tmp_path / "a.tar")
    for content in (b"no tar" * 200, b"\x1f\x8b" + bytes(600), struct.pack("<512I", *range(512))):
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.tar: damaged tar file"):
            shard_members(tmp_path / "a.tar")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        shard_members(Path(tmp_path / "none.tar"))
