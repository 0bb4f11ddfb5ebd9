"""The upscaler: SRVGGNetCompact's keys, one result for any banding, and a recipe that runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from posterkit.pipelines import upscaler
from posterkit.pipelines.upscaler import CompactUpscaler


@pytest.fixture
def model():
    torch.manual_seed(0)
    return CompactUpscaler(features=8, depth=2, scale=4).eval()


def picture(size: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def test_a_saved_file_has_the_keys_of_srvggnetcompact_and_opens_again(model, tmp_path):
    model.save(tmp_path / "up.safetensors")
    weights = load_file(tmp_path / "up.safetensors")
    # conv, prelu, then (conv, prelu) for each layer between, then the last convolution of 3 * 4 * 4 channels
    assert sorted(weights) == sorted([f"body.{n}.weight" for n in range(7)] + [f"body.{n}.bias" for n in (0, 2, 4, 6)])
    assert weights["body.6.weight"].shape == (48, 8, 3, 3) and weights["body.1.weight"].shape == (8,)
    again = CompactUpscaler.from_file(tmp_path / "up.safetensors")
    assert (len(again.body), again.scale) == (7, 4)
    assert all(torch.equal(a.bfloat16(), b.bfloat16()) for a, b in zip(model.parameters(), again.parameters(),
                                                                      strict=True))  # fmt: skip


def test_without_a_residual_it_repeats_the_nearest_pixel(model):
    torch.nn.init.zeros_(model.body[-1].weight), torch.nn.init.zeros_(model.body[-1].bias)
    image = picture((12, 8))
    made = model.enlarge(image, (48, 32))
    assert np.array_equal(np.asarray(made), np.asarray(image.resize((48, 32), Image.Resampling.NEAREST)))


def test_bands_do_not_show(model, monkeypatch):
    whole = np.asarray(model.enlarge(picture((24, 100)), (96, 400))).astype(int)
    monkeypatch.setattr(upscaler, "PIXELS_AT_ONCE", 24 * 30)
    banded = np.asarray(model.enlarge(picture((24, 100)), (96, 400))).astype(int)
    assert np.abs(whole - banded).max() <= 1


@pytest.mark.parametrize("size", [(40, 60), (130, 200), (24, 36)])
def test_any_size_is_reached(model, size):
    assert model.enlarge(picture((24, 36)), size).size == size


def test_another_networks_file_is_refused(tmp_path):
    save_file({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"no SRVGGNetCompact"):
        CompactUpscaler.from_file(tmp_path / "other.safetensors")
