"""What a second start knows of a set: no picture is read that has not changed."""

from __future__ import annotations

import json
import os
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posterkit.datasets import PosterDataset, PosterSample, write_sample
from posterkit.datasets.encoder_cache import content_name
from posterkit.datasets.file_index import FileIndex


class Counted(PosterDataset):
    """A set that counts which files are read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read: list[str] = []
        read = self.files.read
        self.files.read = lambda row, name: self.read.append(name) or read(row, name)


def picture(shade: int, size: tuple[int, int] = (16, 32)) -> np.ndarray:
    return np.full((size[1], size[0], 3), shade, np.uint8)


@pytest.fixture
def folder(tmp_path) -> Path:
    for number in range(3):
        write_sample(PosterSample(f"p{number}", "text", picture(number), caption=f"grey {number}"), tmp_path / "set")
    settle(tmp_path / "set")
    return tmp_path / "set"


def settle(folder: Path) -> None:
    """Make files look an hour old."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - 3600,) * 2)


def start(folder: Path, part: int = 0) -> tuple[Counted, FileIndex]:
    """A start of a run: every row is looked at."""
    dataset = Counted(folder)
    memo = FileIndex(folder.parent / "cache", dataset, part)
    memo.learn(range(len(dataset)))
    return dataset, memo


def test_a_second_start_reads_no_picture_and_knows_the_same(folder):
    first, memo = start(folder)
    assert {*first.read} == {"p0.png", "p1.png", "p2.png"}
    second, again = start(folder)
    assert second.read == []
    for number, row in enumerate(second.rows):
        assert again.facts(number) == memo.facts(number)
        assert again.facts(number).content == content_name(row, PosterDataset(folder).files)
        assert again.facts(number).size == (16, 32)


def test_a_changed_file_and_a_changed_row_are_noticed_and_no_other(folder):
    start(folder)
    before = (folder / "p1.png").read_bytes()
    Image.fromarray(picture(200)).save(folder / "p1.png")
    (folder / "p1.png").write_bytes((folder / "p1.png").read_bytes().ljust(len(before), b"\0"))  # as long as before
    os.utime(folder / "p1.png", (time.time() - 1800,) * 2)
    lines = (folder / "samples.jsonl").read_text().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), "caption": "black"})
    (folder / "samples.jsonl").write_text("\n".join(lines))
    dataset, memo = start(folder)
    assert {*dataset.read} == {"p1.png", "p2.png"}
    assert [memo.facts(n).content for n in range(3)] == [content_name(r, dataset.files) for r in dataset.rows]


def test_a_file_that_has_just_changed_is_not_trusted_yet(folder):
    os.utime(folder / "p0.png")
    start(folder)
    dataset, _ = start(folder)
    assert {*dataset.read} == {"p0.png"}


def test_a_tar_shard_is_not_even_opened_until_it_changes(folder):
    rows = [{**row, "shard": "a.tar"} for row in PosterDataset(folder).rows]

    def pack(shades: list[int]) -> None:
        with tarfile.open(folder / "a.tar", "w") as shard:
            for row, shade in zip(rows, shades, strict=True):
                Image.fromarray(picture(shade)).save(folder / row["target"])
                shard.add(folder / row["target"], row["target"])
                (folder / row["target"]).unlink()

    (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pack([0, 1, 2])
    settle(folder)
    _, memo = start(folder)
    dataset, _ = start(folder)
    assert dataset.read == [] and not dataset.files._members
    pack([0, 1, 99])
    os.utime(folder / "a.tar", (time.time() - 1800,) * 2)
    dataset, again = start(folder)
    assert {*dataset.read} == {"p0.png", "p1.png", "p2.png"}
    assert [memo.facts(n) == again.facts(n) for n in range(3)] == [True, True, False]


@pytest.mark.parametrize("content", [b"", b"short", "half", "flipped"])
def test_a_torn_memo_is_as_good_as_none_and_made_again(folder, content):
    _, memo = start(folder)
    whole = memo.path.read_bytes()
    damaged = {"half": whole[: len(whole) // 2], "flipped": whole[:-1] + bytes([whole[-1] ^ 1])}
    memo.path.write_bytes(damaged.get(content, content) if isinstance(content, str) else content)
    dataset, _ = start(folder)
    assert len({*dataset.read}) == 3
    assert start(folder)[0].read == [] and memo.path.read_bytes() == whole


def test_processes_learn_from_each_other(folder):
    datasets = [Counted(folder) for _ in range(2)]
    memos = [FileIndex(folder.parent / "cache", dataset, part) for part, dataset in enumerate(datasets)]
    for part, memo in enumerate(memos):
        memo.learn(range(part, 3, 2))
    assert [{*dataset.read} for dataset in datasets] == [{"p0.png", "p2.png"}, {"p1.png"}]
    for memo in memos:
        memo.load()
        for number in range(3):
            memo.facts(number)
    assert [{*dataset.read} for dataset in datasets] == [{"p0.png", "p2.png"}, {"p1.png"}]
    assert start(folder, part=5)[0].read == []
    assert not list(memos[0].folder.glob("*.tmp"))


def test_what_is_no_picture_is_said_without_a_place_in_memory(folder):
    (folder / "p0.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"^p0\.png: not an image that posterkit reads \(PNG, [^<>]*\)$"):
        FileIndex(folder.parent / "cache", PosterDataset(folder)).facts(0)
