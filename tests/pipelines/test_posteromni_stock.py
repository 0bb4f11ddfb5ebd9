"""Where nothing of ours is asked for, the result is stock QwenImageEditPlusPipeline's, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_qwen
import torch
from diffusers import QwenImageEditPlusPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as stock_module
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image

from posterkit import PosterOmniPipeline
from posterkit.pipelines.instruction import TEMPLATE, prefix_length
from posterkit.pipelines.latents import guided, pack, unpack
from posterkit.sizing import Size, round_sides


def picture(width: int, height: int, seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


IMAGES = [picture(100, 70, 0), picture(50, 90, 1)]


@pytest.fixture(scope="module", params=[False, True], ids=["2509", "2511"])
def both(request) -> tuple[PosterOmniPipeline, QwenImageEditPlusPipeline]:
    parts = tiny_qwen.components(zero_cond_t=request.param)
    ours = PosterOmniPipeline(**parts, reference_area=64 * 64, condition_area=56 * 84)
    stock = QwenImageEditPlusPipeline(**parts)
    stock.prompt_template_encode_start_idx = prefix_length(parts["tokenizer"])  # 64 with Qwen's own tokenizer
    for pipe in (ours, stock):
        pipe.set_progress_bar_config(disable=True)
    return ours, stock


@pytest.fixture(autouse=True)
def stock_areas(monkeypatch) -> None:
    monkeypatch.setattr(stock_module, "VAE_IMAGE_SIZE", 64 * 64)
    monkeypatch.setattr(stock_module, "CONDITION_IMAGE_SIZE", 56 * 84)


def call(pipe: Any, **extra: Any) -> Any:
    inputs: dict[str, Any] = {"image": IMAGES, "prompt": "make it a poster", "negative_prompt": " "}
    inputs |= {"true_cfg_scale": 4.0, "width": 96, "height": 64, "num_inference_steps": 3}
    inputs |= {"output_type": "np", "generator": torch.manual_seed(1)}
    return pipe(**(inputs | extra))[0]


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"true_cfg_scale": 1.0},
        {"negative_prompt": "blurry", "true_cfg_scale": 2.5},
        {"image": IMAGES[0], "prompt": ["one"]},
        {"sigmas": [1.0, 0.6, 0.2]},
        {"output_type": "latent"},
        {"output_type": "pt"},
    ],
    ids=["plain", "no-cfg", "negative-prompt", "one-reference", "sigmas", "latents", "tensors"],
)
def test_a_plain_edit_equals_stock(both, extra) -> None:
    ours, stock = (call(pipe, **extra) for pipe in both)
    assert np.array_equal(np.asarray(ours), np.asarray(stock))


def test_pil_images_equal_stock(both) -> None:
    ours, stock = (call(pipe, output_type="pil")[0] for pipe in both)
    assert ours.size == (96, 64) and ours.tobytes() == stock.tobytes()


def test_no_negative_prompt_means_a_single_space(both) -> None:
    assert np.array_equal(call(both[0], negative_prompt=None), call(both[1], negative_prompt=" "))


def test_several_images_of_one_prompt_equal_stock(both) -> None:
    if both[0].transformer.config.zero_cond_t:
        pytest.skip("stock hands this transformer the shapes of one image only and fails")
    ours, stock = (call(pipe, num_images_per_prompt=2, output_type="np") for pipe in both)
    assert ours.shape == (2, 64, 96, 3) and np.array_equal(ours, stock)


@pytest.mark.parametrize("size", [(100, 70), (832, 1216), (1, 3), (1920, 1080), (500, 500)])
def test_sides_are_rounded_as_stock_rounds_them(size) -> None:
    for area in (1024 * 1024, 384 * 384):
        assert round_sides(size, area) == stock_module.calculate_dimensions(area, size[0] / size[1])


def test_the_template_is_stocks(both) -> None:
    assert both[1].prompt_template_encode == TEMPLATE


def test_packing_is_stocks() -> None:
    latents = torch.randn(2, 3, 4, 6, generator=torch.manual_seed(0))
    packed = pack(latents)
    assert torch.equal(packed, QwenImageEditPlusPipeline._pack_latents(latents, 2, 3, 4, 6))
    assert torch.equal(unpack(packed, Size(48, 32), 16), latents)


def test_guidance_keeps_the_conditional_length_of_every_token() -> None:
    cond, uncond = (torch.randn(2, 5, 8, generator=torch.manual_seed(seed)) for seed in (0, 1))
    result = guided(cond, uncond, 4.0)
    assert torch.allclose(result.norm(dim=-1), cond.norm(dim=-1))
    # u = (1, 0), c = (0, 1), s = 2: u + 2 (c - u) = (-1, 2), of length sqrt 5
    by_hand = guided(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[1.0, 0.0]]]), 2.0)
    assert torch.allclose(by_hand, torch.tensor([[[-1.0, 2.0]]]) / 5**0.5)


def test_a_lora_loads_sets_fuses_and_unloads(both, tmp_path) -> None:
    ours = PosterOmniPipeline(**tiny_qwen.components(), reference_area=64 * 64, condition_area=56 * 84)
    ours.set_progress_bar_config(disable=True)
    before = call(ours)
    ours.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k"], init_lora_weights=False), "made")
    layers = get_peft_model_state_dict(ours.transformer, adapter_name="made")
    PosterOmniPipeline.save_lora_weights(tmp_path, transformer_lora_layers=layers)
    ours.delete_adapters("made")
    ours.load_lora_weights(tmp_path, adapter_name="poster")
    changed = call(ours)
    assert np.abs(changed - before).max() > 1e-3
    ours.set_adapters("poster", 0.0)
    assert np.abs(call(ours) - before).max() < 1e-5
    ours.set_adapters("poster", 1.0)
    ours.fuse_lora()
    ours.unload_lora_weights()
    assert np.abs(call(ours) - changed).max() < 1e-4


def test_a_callback_can_stop_the_loop_and_change_the_latents(both) -> None:
    steps = []

    def stop(pipe: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append((step, sorted(tensors)))
        pipe._interrupt = step == 1
        return {"latents": torch.zeros_like(tensors["latents"])}

    names = ["latents", "prompt_embeds"]
    latents = call(both[0], callback_on_step_end=stop, callback_on_step_end_tensor_inputs=names, output_type="latent")
    assert steps == [(0, names), (1, names)] and latents.abs().sum() == 0
