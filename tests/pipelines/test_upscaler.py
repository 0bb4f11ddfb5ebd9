"""The upscaler: SRVGGNetCompact's keys, one result for any banding, and a recipe that runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file

from posterkit import mini
from posterkit.generate.enlarge import OWN, enlarge
from posterkit.pipelines import upscaler
from posterkit.pipelines.upscaler import CompactUpscaler, Upscaler, open_upscaler


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
    made = Upscaler(model, 4)(image)
    assert np.array_equal(np.asarray(made), np.asarray(image.resize((48, 32), Image.Resampling.NEAREST)))


def test_tiles_do_not_show(model, monkeypatch):
    enlarge = Upscaler(model, 4)
    whole = np.asarray(enlarge(picture((70, 100)))).astype(int)
    monkeypatch.setattr(upscaler, "TILE", 32)
    tiled = np.asarray(enlarge(picture((70, 100)))).astype(int)
    assert whole.shape == (400, 280, 3) and np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize("size", [(40, 60), (130, 200), (400, 600)])
def test_a_checkpoints_own_upscaler_reaches_any_size(model, size, tmp_path):
    model.save(tmp_path / OWN)
    made, name = enlarge(picture((24, 36)), size, str(tmp_path / OWN))
    assert made.size == size and name == "upscaler-shock"


def test_a_smaller_size_needs_no_upscaler():
    assert enlarge(picture((24, 36)), (12, 18), "none.safetensors")[1] == "lanczos"


def test_a_pickle_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"other\.pth: upscalers are read from \.safetensors files only"):
        open_upscaler(str(tmp_path / "other.pth"))


def test_an_upscaler_of_another_kind_is_named(tmp_path):
    save_file({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: "):
        open_upscaler(str(tmp_path / "other.safetensors"))


def test_mini_comes_with_an_upscaler_that_sharpens_what_its_decoder_blurs():
    step = Image.new("RGB", (48, 48), (20, 30, 40))
    step.paste((220, 210, 200), (24, 0, 48, 48))
    soft = step.filter(ImageFilter.GaussianBlur(1))
    ours = enlarge(soft, (192, 192), str(Path(mini.path("postercraft"), OWN)))[0]
    rows = [np.asarray(made)[96, :, 0] for made in (ours, soft.resize((192, 192), Image.Resampling.LANCZOS))]
    within, lanczos = (int(((row > 40) & (row < 200)).sum()) for row in rows)  # 80 % of the rise
    assert 1 <= within < 0.7 * lanczos


def test_another_networks_file_is_refused(tmp_path):
    save_file({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"no SRVGGNetCompact"):
        CompactUpscaler.from_file(tmp_path / "other.safetensors")
