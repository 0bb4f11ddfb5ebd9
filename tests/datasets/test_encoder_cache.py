"""The encoder cache: what is encoded when, what lies on disk, and who may write at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posterkit.datasets import PosterDataset, SyntheticPosters, write_sample
from posterkit.datasets.encoder_cache import EncoderCache, content_name

KEY = {"model": "a"}


class Encoder:
    """Says of each number its tenfold, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, numbers):
        self.asked.extend(numbers)
        return [{"x": torch.full((2,), 10.0 * n), "n": torch.tensor([n])} for n in numbers]


def names(count: int) -> list[str]:
    return [f"{n:08d}" for n in range(count)]


def test_each_sample_is_encoded_once_and_reads_the_same_back(tmp_path):
    encode = Encoder()
    for _ in range(2):
        cache = EncoderCache(tmp_path, KEY, names(10), shard=4).fill(encode)
    assert encode.asked == list(range(10))
    assert [row["n"].item() for row in cache] == list(range(10))
    assert torch.equal(cache[7]["x"], torch.full((2,), 70.0))
    assert len(list(cache.folder.glob("*.safetensors"))) == 3


def test_a_set_that_grew_encodes_only_what_is_new_wherever_it_stands(tmp_path):
    EncoderCache(tmp_path, KEY, ["b", "d"], shard=4).fill(Encoder())
    encode = Encoder()
    seen: list[tuple[int, int]] = []
    cache = EncoderCache(tmp_path, KEY, ["a", "b", "c", "d", "c"], shard=4)
    cache.fill(encode, progress=lambda done, count: seen.append((done, count)))
    assert encode.asked == [0, 2] and seen == [(5, 5)]
    assert [row["n"].item() for row in cache] == [0, 0, 2, 1, 2]


def test_shapes_are_told_without_reading(tmp_path):
    cache = EncoderCache(tmp_path, KEY, names(3)).fill(Encoder())
    shapes = list(cache.shapes())
    assert [{name: tuple(t.shape) for name, t in row.items()} for row in shapes] == [{"x": (2,), "n": (1,)}] * 3
    assert all(tensor.is_meta for row in shapes for tensor in row.values())


def test_shards_of_numbered_samples_from_before_are_found(tmp_path):
    cache = EncoderCache(tmp_path, KEY, names(4))
    flat = {f"{n:08d}/x": torch.tensor([n + 0.5]) for n in range(2)}
    save_file(flat, cache.folder / "00000000-00000002.safetensors")
    encode = Encoder()
    cache.fill(encode)
    assert encode.asked == [2, 3]
    assert [cache[n]["x"][0].item() for n in range(4)] == [0.5, 1.5, 20.0, 30.0]


def test_another_model_is_another_cache_and_the_old_one_can_be_dropped(tmp_path):
    keys = [{"family": "flux", "model": "a"}, {"family": "flux", "model": "b"}, {"family": "qwen", "model": "a"}]
    old, mine, foreign = (EncoderCache(tmp_path, key, names(1)).fill(Encoder()) for key in keys)
    assert len({cache.folder for cache in (old, mine, foreign)}) == 3
    assert mine.drop_stale("family") == [old.folder]
    assert not old.folder.exists() and mine.folder.is_dir() and foreign.folder.is_dir()


def test_a_writer_that_fails_halfway_leaves_no_half_shard(tmp_path, monkeypatch):
    def dies(tensors, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    cache = EncoderCache(tmp_path, KEY, names(2))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("posterkit.datasets.encoder_cache.save_file", dies)
        cache.fill(Encoder())
    assert [path.name for path in cache.folder.iterdir()] == ["key.json"]
    with pytest.raises(KeyError, match=r"sample 1 \(00000001\) is not encoded"):
        cache[1]
    assert [row["n"].item() for row in cache.fill(Encoder())] == [0, 1]


def test_a_damaged_shard_is_made_again(tmp_path):
    cache = EncoderCache(tmp_path, KEY, names(4), shard=2).fill(Encoder())
    shard = sorted(cache.folder.glob("*.safetensors"))[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    again = EncoderCache(tmp_path, KEY, names(4), shard=2).fill(Encoder())
    assert [row["n"].item() for row in again] == [0, 1, 2, 3] and shard.read_bytes() == whole


FILLING = """
import sys, time
import torch
from posterkit.datasets.encoder_cache import EncoderCache
folder, part, log = sys.argv[1], (int(sys.argv[2]), int(sys.argv[3])), sys.argv[4]
def encode(numbers):
    time.sleep(0.1)
    with open(log, "a") as file:
        file.writelines(f"{number}\\n" for number in numbers)
    return [{"x": torch.full((64,), float(number))} for number in numbers]
names = [f"{n:08d}" for n in range(60)]
cache = EncoderCache(folder, {"model": "a"}, names, shard=4).fill(encode, part=part)
assert [row["x"][0].item() for row in cache] == list(range(60))
"""


def filling(folder: Path, part: int, of: int, log: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", FILLING, str(folder), str(part), str(of), str(log)])


def asked(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()]


@pytest.mark.slow
def test_two_processes_fill_one_cache_and_share_the_work(tmp_path):
    logs = [tmp_path / "log0", tmp_path / "log1"]
    writers = [filling(tmp_path / "cache", part, 2, log) for part, log in enumerate(logs)]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert {*asked(logs[0]), *asked(logs[1])} == set(range(60))
    cache = EncoderCache(tmp_path / "cache", KEY, names(60)).fill(Encoder())
    assert [row["x"][0].item() for row in cache] == list(range(60))
    assert not list(cache.folder.glob("*.tmp"))


@pytest.mark.slow
def test_two_processes_that_write_the_very_same_shards_do_no_harm(tmp_path):
    writers = [filling(tmp_path / "cache", 0, 1, tmp_path / f"log{n}") for n in range(2)]
    assert [writer.wait(120) for writer in writers] == [0, 0]


@pytest.mark.slow
def test_killed_and_started_again_is_the_same_to_the_byte(tmp_path):
    def content(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.glob("*/*.safetensors")}

    killed = filling(tmp_path / "killed", 0, 1, tmp_path / "log")
    deadline = time.monotonic() + 60
    while len(content(tmp_path / "killed")) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait(60) == -signal.SIGKILL
    assert 3 <= len(content(tmp_path / "killed")) < 15
    for name in ("killed", "whole"):
        assert filling(tmp_path / name, 0, 1, tmp_path / f"log-{name}").wait(120) == 0
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert len(asked(tmp_path / "log-killed")) <= 48  # what was there was not encoded again


@pytest.fixture
def rows(tmp_path):
    source = SyntheticPosters(seed=4, tasks=("extending",), sizes=((64, 96),))
    write_sample(source[0], tmp_path / "one")
    return json.loads((tmp_path / "one" / "samples.jsonl").read_text())


def name_of(folder: Path, row: dict, **changed) -> str:
    (folder / "samples.jsonl").write_text(json.dumps({**row, **changed}) + "\n")
    dataset = PosterDataset(folder)
    return content_name(dataset.rows[0], dataset.files)


def test_a_sample_is_named_by_what_it_says_and_shows_not_by_where_it_lies(tmp_path, rows):
    folder = tmp_path / "one"
    name = name_of(folder, rows)
    (folder / rows["target"]).rename(folder / "moved.png")
    moved = {**rows, "target": "moved.png", "id": "other", "split": "heldout", "judged": {"a": {"by": "rules"}}}
    assert name_of(folder, moved) == name
    assert name_of(folder, moved, instruction="Something else.") != name
    assert name_of(folder, moved, mask=None) != name
    assert name_of(folder, moved, target=rows["references"][0], references=["moved.png"]) != name
    content = bytearray((folder / "moved.png").read_bytes())
    content[-20] ^= 1
    (folder / "moved.png").write_bytes(content)
    assert name_of(folder, moved) != name
