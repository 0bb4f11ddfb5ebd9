"""What both pipelines promise to programs: threads, pickling, stock diffusers, tiles, parts on several devices."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
import tiny_flux
import tiny_qwen
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from PIL import Image

from posterkit import PosterCraftPipeline, PosterOmniPipeline, load_processor
from posterkit.pipelines.latents import decode_latents, encode_pixels
from posterkit.pipelines.poster_pipeline import set_timesteps
from posterkit.pipelines.registry import FAMILIES, family_of

FAMILY = pytest.mark.parametrize("family", FAMILIES)


def opened(family: str, **options: Any) -> Any:
    if family == "postercraft":
        pipe: Any = PosterCraftPipeline(**tiny_flux.components(), **options)
    else:
        pipe = PosterOmniPipeline(**tiny_qwen.components(), native_area=32 * 48, reference_area=32 * 48, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe: Any, seed: int = 0, steps: int = 2) -> torch.Tensor:
    options: dict[str, Any] = {"prompt": "x", "width": 32, "height": 48, "num_inference_steps": steps}
    if isinstance(pipe, PosterOmniPipeline):
        options["image"] = Image.new("RGB", (32, 48), "teal")
    else:
        options["max_sequence_length"] = 24
    return pipe(**options, generator=torch.Generator().manual_seed(seed), output_type="pt").images


@FAMILY
def test_threads_that_share_a_pipeline_draw_what_each_would_draw_alone(family):
    pipe = opened(family)
    alone = {seed: draw(pipe, seed, steps=seed + 2) for seed in range(4)}
    drawn: dict[int, torch.Tensor] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: drawn.update({seed: draw(pipe, seed, steps=seed + 2)}))
        for seed in alone
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(drawn) == set(alone)
    assert all(torch.equal(drawn[seed], alone[seed]) for seed in alone)


def test_a_callback_may_call_the_pipeline_that_calls_it():
    pipe, inner = opened("postercraft"), []
    options = {"prompt": "x", "width": 32, "height": 48, "max_sequence_length": 24, "output_type": "latent"}
    pipe(**options, num_inference_steps=1, callback_on_step_end=lambda *_: inner.append(draw(pipe)) or {})
    assert len(inner) == 1


@FAMILY
def test_a_pipeline_is_pickled_after_a_call_too(family):
    pipe = opened(family)
    expected = draw(pipe)
    assert torch.equal(draw(pickle.loads(pickle.dumps(pipe))), expected)


def test_encoding_leaves_no_hook_on_the_text_encoder():
    pipe = opened("posteromni")
    draw(pipe)
    assert not [1 for part in pipe.text_encoder.modules() if part._forward_hooks]


@FAMILY
def test_stock_diffusers_finds_the_class_of_what_is_saved(family, tmp_path: Path):
    pipe = opened(family)
    pipe.save_pretrained(tmp_path)
    extra = {"processor": load_processor(tmp_path)} if family == "posteromni" else {}
    stock = DiffusionPipeline.from_pretrained(tmp_path, **extra)
    assert type(stock).__name__ == FAMILIES[family].stock_pipeline
    assert family_of(str(tmp_path)).name == family
    again = type(pipe).from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert type(again) is type(pipe)
    torch.testing.assert_close(draw(again), draw(pipe), atol=2e-6, rtol=2e-6)


def test_the_first_qwen_image_edit_is_saved_as_what_it_is(tmp_path: Path):
    opened("posteromni", picture_labels=False).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == "QwenImageEditPipeline"
    assert PosterOmniPipeline.from_pretrained(tmp_path).config["picture_labels"] is False


def test_tiles_that_leave_gaps_are_an_error_and_others_keep_the_size():
    vae = tiny_qwen.vae().eval()
    latents = torch.randn(1, 4, 40, 40)
    vae.enable_tiling(128, 128)
    with pytest.raises(ValueError, match=r"tiles are 128 pixels wide and stand 192 apart.*128, 128, 96, 96") as error:
        decode_latents(vae, latents)
    assert "\n" not in str(error.value)
    vae.enable_tiling(128, 128, 96, 96)
    with torch.no_grad():
        assert decode_latents(vae, latents).shape == (1, 3, 320, 320)


def test_pictures_and_latents_go_to_where_the_autoencoder_is():
    vae = tiny_qwen.vae().eval().to("meta")  # stands for another card: tensors of two devices do not meet
    with torch.no_grad():
        encoded, decoded = encode_pixels(vae, torch.empty(1, 3, 32, 48)), decode_latents(vae, torch.empty(1, 4, 4, 6))
    assert (encoded.device.type, encoded.shape) == ("meta", (1, 4, 4, 6))
    assert (decoded.device.type, decoded.shape) == ("meta", (1, 3, 32, 48))


def test_one_step_is_refused_where_the_last_one_has_to_be_stretched():
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.02)
    with pytest.raises(ValueError, match=r"^1 steps: .* at least 2"):
        set_timesteps(scheduler, 1, 96, "cpu")
    assert len(set_timesteps(FlowMatchEulerDiscreteScheduler(), 1, 96, "cpu")) == 1
