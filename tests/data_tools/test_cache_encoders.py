"""Encoding a set with frozen text encoders, through the adapters and through the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_flux
import tiny_qwen
import torch
from PIL import Image

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.datasets import PosterDataset, SyntheticPosters, write_sample
from posterkit.datasets.encoder_cache import EncoderCache, content_name
from posterkit.tasks import TASKS
from posterkit.training.adapters.flux import FluxAdapter
from posterkit.training.adapters.qwen import QwenAdapter

ROOT = Path(__file__).parents[2]
AREAS = {"native_area": 64 * 96, "reference_area": 64 * 64, "condition_area": 56 * 56}


@pytest.fixture(scope="module")
def craft(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("craft")
    PosterCraftPipeline(**tiny_flux.components(), max_sequence_length=48).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def omni(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("omni")
    PosterOmniPipeline(**tiny_qwen.components(), **AREAS).save_pretrained(folder)
    return folder


def a_set(folder: Path, tasks: tuple[str, ...], count: int = 4, start: int = 0) -> Path:
    source = SyntheticPosters(seed=6, tasks=tasks, sizes=((64, 96),))
    for number in range(start, start + count):
        write_sample(source.sample(number, task=tasks[number % len(tasks)]), folder)
    return folder


def test_frozen_flux_encoders_say_once_what_the_pipeline_would_say_each_time(craft, tmp_path):
    model = FluxAdapter.from_pretrained(craft, frozen_text=True)
    assert list(model.module) == ["transformer"]
    samples = list(PosterDataset(a_set(tmp_path, ("text",), 2)))
    with torch.no_grad():
        rows = model.precompute(samples)
        _, condition = model.encode(model.collate(rows), torch.tensor([False, True]))
        prompt, pooled, _ = model.pipeline().encode_prompt([samples[0].caption, ""])
    assert set(rows[0]) == {"latents", "prompt", "pooled"}
    assert torch.allclose(condition.prompt, prompt, atol=1e-6)
    assert torch.allclose(condition.pooled, pooled, atol=1e-6)


@pytest.mark.slow
def test_frozen_and_trained_qwen_encoders_give_the_same_condition_for_every_task_and_for_dropped_words(omni, tmp_path):
    samples = list(PosterDataset(a_set(tmp_path, tuple(TASKS), 6)))
    drop = torch.tensor([False, True])
    conditions = []
    for frozen in (True, False):
        model = QwenAdapter.from_pretrained(omni, frozen_text=frozen)
        with torch.no_grad():
            rows = model.precompute(samples)
            # id_driven and its neighbour have pictures of one geometry
            pairs = [[rows[n], rows[n]] for n in range(6)]
            conditions.append([model.encode(model.collate(pair), drop)[1] for pair in pairs])
    for kept, live in zip(*conditions, strict=True):
        for number in range(2):
            a, b = kept.prompt[number][kept.mask[number]], live.prompt[number][live.mask[number]]
            assert a.shape == b.shape and torch.allclose(a, b, atol=1e-5)
        assert not torch.equal(kept.mask[0], kept.mask[1])


def test_the_fingerprint_tells_frozen_from_trained_and_one_text_encoder_from_another(craft):
    trained, frozen = (FluxAdapter.from_pretrained(craft, frozen_text=frozen) for frozen in (False, True))
    before = frozen.fingerprint()
    assert trained.fingerprint() != before
    without = FluxAdapter.from_pretrained(craft, frozen_text=True, encoders_only=True)
    assert without.fingerprint() == before and "transformer" not in without.module
    with torch.no_grad():
        frozen.readers[1].shared.weight[0, 0] += 1
    assert frozen.fingerprint() != before


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "data_tools/cache_encoders.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_command_encodes_a_set_once_and_what_was_added_later(omni, tmp_path):
    folder = a_set(tmp_path / "set", tuple(TASKS), 6)
    first = run(folder, "--out", tmp_path / "cache", "--model", omni)
    assert first.returncode == 0 and "6 of 6 samples" in first.stdout, first.stderr
    (made,) = (tmp_path / "cache").glob("*/*.safetensors")
    before = made.read_bytes()
    a_set(folder, tuple(TASKS), 2, start=6)
    assert "8 of 8 samples" in run(folder, "--out", tmp_path / "cache", "--model", omni, "--part", "0/2").stdout
    assert made.read_bytes() == before and len(list(made.parent.glob("*.safetensors"))) == 2

    data = PosterDataset(folder)
    model = QwenAdapter.from_pretrained(omni, frozen_text=True)
    key = {"family": "posteromni", "text": "states", "model": model.fingerprint()}
    cache = EncoderCache(tmp_path / "cache", key, [content_name(row, data.files) for row in data.rows])
    with torch.no_grad():
        live = model.precompute([data[7]])[0]
    assert all(torch.equal(cache[7][name], live[name]) for name in live)


@pytest.mark.slow
def test_the_command_says_what_is_wrong(craft, omni, tmp_path):
    folder = a_set(tmp_path / "set", ("text",), 3)
    rows = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    (folder / rows[0]["target"]).write_bytes(b"\x89PNG broken")
    Image.new("RGB", (400, 96)).save(folder / rows[1]["target"])
    damaged = run(folder, "--out", tmp_path / "cache", "--model", craft)
    assert damaged.returncode == 1 and "1 of 3 samples" in damaged.stdout
    assert (
        f"samples.jsonl:1: {rows[0]['id']}: {rows[0]['target']}: not an image that posterkit reads" in damaged.stderr
    )
    assert f"samples.jsonl:2: {rows[1]['id']}: left out, longer than 3 to 1 (400x96)" in damaged.stderr
    wrong = run(a_set(tmp_path / "omni", ("filling",), 1), "--out", tmp_path / "cache", "--model", craft)
    assert wrong.returncode == 2 and "holds a sample of filling; postercraft learns text; see --tasks" in wrong.stderr
    assert "Traceback" not in damaged.stderr + wrong.stderr
    assert run(tmp_path / "none", "--out", tmp_path / "cache").returncode == 2
