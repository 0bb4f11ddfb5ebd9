"""PosterCraftPipeline: equal to stock where nothing of ours is asked for, and what its own inputs do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_flux
import torch
from diffusers import FluxPipeline
from PIL import Image

from posterkit import PosterCraftPipeline

SMALL = {"width": 32, "height": 48, "num_inference_steps": 3, "max_sequence_length": 24}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return tiny_flux.components()


@pytest.fixture
def pipe(parts: dict[str, Any]) -> PosterCraftPipeline:
    return quiet(PosterCraftPipeline(**parts))


@pytest.fixture
def stock(parts: dict[str, Any]) -> FluxPipeline:
    return quiet(FluxPipeline(**parts))


def picture(size: tuple[int, int], seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


CALLS = {
    "one prompt": {"prompt": "a poster"},
    "a batch": {"prompt": ["a poster", "a longer prompt for another poster"]},
    "several each": {"prompt": ["a poster", "another"], "num_images_per_prompt": 2},
    "two prompts": {"prompt": "for clip", "prompt_2": "for t5", "guidance_scale": 7.0},
    "true cfg": {"prompt": "a poster", "negative_prompt": "blurry", "true_cfg_scale": 4.0},
    "true cfg in a batch": {
        "prompt": ["a poster", "another"], "negative_prompt": ["blurry", "dull"], "negative_prompt_2": ["a", "b"],
        "true_cfg_scale": 2.5, "num_images_per_prompt": 2,
    },
    "own sigmas": {"prompt": "a poster", "sigmas": [1.0, 0.6, 0.2]},
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_output_is_bit_identical_to_stock_where_nothing_of_ours_is_asked_for(call, dtype):
    parts = tiny_flux.components()
    ours, theirs = quiet(PosterCraftPipeline(**parts)).to(dtype), quiet(FluxPipeline(**parts)).to(dtype)
    options = SMALL | {"output_type": "np"} | call
    made = ours(**options, generator=seeded()).images
    expected = theirs(**options, generator=seeded()).images
    assert np.array_equal(made, expected)


def test_a_transformer_without_guidance_embedding_is_bit_identical_to_stock():
    parts = tiny_flux.components(guidance=False)
    options = SMALL | {"output_type": "latent", "prompt": "a poster"}
    made = quiet(PosterCraftPipeline(**parts))(**options, generator=seeded()).images
    assert torch.equal(made, quiet(FluxPipeline(**parts))(**options, generator=seeded()).images)


def test_the_mini_shape_of_components_draws_at_128x192():
    parts = tiny_flux.components(channels=8)
    pipe = quiet(PosterCraftPipeline(**parts, native_area=128 * 192, num_inference_steps=2, max_sequence_length=72))
    out = pipe(prompt="a poster", generator=seeded())
    assert out.images[0].size == (128, 192)
    assert out.parameters[0]["num_inference_steps"] == 2
    assert out.parameters[0]["max_sequence_length"] == 72
    assert parts["transformer"].config.in_channels == 32


def test_without_a_word_in_the_checkpoint_a_poster_is_832x1216_in_28_steps_at_guidance_3_5(pipe):
    assert pipe.target_size() == (832, 1216)
    assert pipe.config.num_inference_steps == 28
    assert pipe.config.guidance_scale == 3.5
    assert pipe.config.max_sequence_length == 512


def test_one_side_alone_keeps_the_poster_shape(pipe):
    assert pipe.target_size(width=416) == (416, 608)
    assert pipe.target_size(height=608) == (416, 608)


def test_true_cfg_without_a_negative_prompt_means_a_space(pipe, stock):
    options = SMALL | {"prompt": "a poster", "true_cfg_scale": 3.0, "output_type": "np"}
    made = pipe(**options, generator=seeded()).images
    assert np.array_equal(made, stock(**options, negative_prompt=" ", generator=seeded()).images)


def test_one_negative_prompt_serves_a_batch(pipe):
    options = SMALL | {"prompt": ["a poster", "another"], "true_cfg_scale": 3.0, "output_type": "latent"}
    once = pipe(**options, negative_prompt="dull", generator=seeded()).images
    each = pipe(**options, negative_prompt=["dull", "dull"], generator=seeded()).images
    assert torch.equal(once, each)


def test_batch_cfg_changes_nothing_but_the_number_of_forwards(pipe):
    options = SMALL | {"prompt": ["a", "b"], "negative_prompt": "c", "true_cfg_scale": 3.0, "output_type": "latent"}
    forwards = []
    handle = pipe.transformer.register_forward_hook(lambda *_: forwards.append(1))
    apart = pipe(**options, generator=seeded()).images
    joined = pipe(**options, generator=seeded(), batch_cfg=True).images
    handle.remove()
    assert len(forwards) == 2 * 3 + 3
    torch.testing.assert_close(joined, apart, atol=1e-4, rtol=1e-4)


def test_batch_cfg_keeps_two_forwards_while_a_cache_hook_is_on():
    from diffusers import FirstBlockCacheConfig

    pipe = quiet(PosterCraftPipeline(**tiny_flux.components(layers=2)))
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.0))
    options = SMALL | {"prompt": "a", "negative_prompt": "c", "true_cfg_scale": 3.0, "output_type": "latent"}
    apart = pipe(**options, generator=seeded()).images
    assert torch.equal(pipe(**options, generator=seeded(), batch_cfg=True).images, apart)


def test_embeddings_encoded_before_give_the_same_poster_with_no_encoder_left(parts, pipe):
    with torch.no_grad():
        embeds, pooled, _ = pipe.encode_prompt("a poster", max_sequence_length=24)
        negative, negative_pooled, _ = pipe.encode_prompt("dull", max_sequence_length=24)
    options = SMALL | {"true_cfg_scale": 2.0, "output_type": "latent", "num_images_per_prompt": 2}
    expected = pipe(prompt="a poster", negative_prompt="dull", **options, generator=seeded()).images
    encoders = dict.fromkeys(("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    bare = quiet(PosterCraftPipeline(**parts | encoders))
    made = bare(
        prompt_embeds=embeds, pooled_prompt_embeds=pooled, negative_prompt_embeds=negative,
        negative_pooled_prompt_embeds=negative_pooled, **options, generator=seeded(),
    ).images  # fmt: skip
    assert torch.equal(made, expected)


def test_a_callback_sees_every_step_and_may_replace_latents_and_interrupt(pipe):
    seen = []

    def stop_after_two(pipe, step, timestep, tensors):
        seen.append((step, sorted(tensors)))
        pipe._interrupt = step == 1
        return {"latents": torch.zeros_like(tensors["latents"])}

    made = pipe(
        prompt="a poster", **SMALL, output_type="latent", callback_on_step_end=stop_after_two,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"], generator=seeded(),
    ).images  # fmt: skip
    assert seen == [(0, ["latents", "prompt_embeds"]), (1, ["latents", "prompt_embeds"])]
    assert made.abs().sum() == 0


def test_without_encoders_a_prompt_is_refused_in_one_line(parts):
    bare = quiet(PosterCraftPipeline(**parts | dict.fromkeys(("text_encoder", "text_encoder_2"))))
    with pytest.raises(ValueError, match="there is no text encoder; pass prompt_embeds"):
        bare(prompt="a", **SMALL)


def test_a_callback_may_return_nothing(pipe):
    seen = []
    pipe(prompt="a", **SMALL, callback_on_step_end=lambda pipe, step, time, tensors: seen.append(step))
    assert seen == [0, 1, 2]


def test_attention_broadcast_joins_both_prompts_in_one_forward():
    from diffusers import PyramidAttentionBroadcastConfig

    pipe = quiet(PosterCraftPipeline(**tiny_flux.components(layers=2)))
    options = SMALL | {"num_inference_steps": 1, "prompt": "a", "negative_prompt": "c", "true_cfg_scale": 4.0}
    plain = pipe(**options, output_type="latent", generator=seeded()).images
    config = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2, current_timestep_callback=lambda: pipe.current_timestep
    )
    pipe.transformer.enable_cache(config)  # on the first step there is nothing to take up again
    torch.testing.assert_close(
        pipe(**options, output_type="latent", generator=seeded()).images, plain, atol=1e-4, rtol=1e-4
    )


def test_a_tuple_comes_back_where_no_dict_is_wanted(pipe):
    (images,) = pipe(prompt="a poster", **SMALL, return_dict=False)
    assert images[0].size == (32, 48)


def test_a_prompt_longer_than_clip_reads_is_no_reason_for_a_warning(pipe, caplog, monkeypatch):
    for name in ("diffusers", "transformers"):  # both libraries keep their records from the root logger
        monkeypatch.setattr(__import__("logging").getLogger(name), "propagate", True)
    pipe.encode_prompt("a very long prompt " * 6, max_sequence_length=200)
    assert not caplog.records


def test_what_t5_does_not_read_is_said(pipe, caplog, monkeypatch):
    monkeypatch.setattr(__import__("logging").getLogger("posterkit"), "propagate", True)
    monkeypatch.setattr(__import__("logging").getLogger("diffusers"), "propagate", True)
    pipe.encode_prompt("0123456789 TITLE", max_sequence_length=12)
    assert len(caplog.records) == 1
    assert "= 12 tokens" in caplog.text and "TITLE" in caplog.text and "0123" not in caplog.text


BAD_CALLS = [
    ({}, "give prompt or prompt_embeds"),
    ({"prompt": 3}, "prompt must be a string or a list of strings, got int"),
    ({"prompt": []}, "prompt is an empty list"),
    ({"prompt": ["a", "b"], "prompt_2": ["c"]}, "prompt_2 must hold as many texts as prompt: 2"),
    ({"prompt": "a", "prompt_embeds": torch.zeros(1, 4, 32)}, "give prompt or prompt_embeds, not both"),
    ({"prompt_embeds": torch.zeros(1, 4, 32)}, "prompt_embeds needs its pooled vector"),
    ({"prompt": "a", "width": 40, "height": 48}, "size 40x48 is off the grid of 16 pixels; the nearest size is 32x48"),
    ({"prompt": "a", "negative_prompt": ["b", "c"], "true_cfg_scale": 2.0}, "negative_prompt holds 2 texts for 1"),
    (
        {"prompt": "a", "true_cfg_scale": 2.0, "negative_prompt_embeds": torch.zeros(1, 4, 32)},
        "negative_prompt_embeds needs its pooled vector",
    ),
    ({"prompt": "a", "max_sequence_length": 513}, "max_sequence_length must be 1 to 512, got 513"),
    ({"prompt": "a", "generator": [seeded(), seeded()]}, r"2 generators for 1 image\(s\)"),
    ({"prompt": "a", "callback_on_step_end_tensor_inputs": ["noise"]}, r"\['noise'\] are unknown; there are latents"),
    ({"prompt": "a", "latents": torch.zeros(1, 5, 16)}, r"latents are 1 x \(5, 16\), .* need 1 x \(6, 16\)"),
    ({"prompt": "a", "latents": [[0.0]]}, "latents is a list; give a tensor"),
    ({"prompt": ["a", 3]}, "prompt must be a string or a list of strings, got int"),
    ({"prompt": "a", "negative_prompt": 3}, "negative_prompt must be a string or a list of strings, got int"),
    ({"prompt": "a", "num_inference_steps": 0}, "num_inference_steps must be at least 1, got 0"),
    ({"prompt": "a", "sigmas": []}, "num_inference_steps must be at least 1, got 0"),
    ({"prompt": "a", "max_sequence_length": 0}, "max_sequence_length must be 1 to 512, got 0"),
    ({"prompt": "a", "width": 0}, "size 0x48 is off the grid"),
    ({"prompt": "a", "width": 0, "height": 0}, "size 0x0 is off the grid"),
    ({"prompt": "a", "output_type": "jpeg"}, "output_type 'jpeg' is unknown"),
    ({"prompt": "a", "true_cfg_scale": -1.0}, "true_cfg_scale must not be negative"),
    ({"prompt": "a", "num_images_per_prompt": 0}, "num_images_per_prompt must be at least 1"),
    ({"prompt": "a", "draft_image": "first.png"}, "draft_image is a str; give a PIL image"),
    ({"prompt": ["a", "b"], "draft_image": picture((32, 48))}, "draft_image is given 1 times for 2 prompts"),
    ({"prompt": "a", "draft_image": picture((48, 32))}, "a draft keeps its shape.*48x32.*32x48"),
    ({"prompt": "a", "feedback": "brighter"}, "feedback is one list of strings per prompt"),
    ({"prompt": "a", "feedback": ["", " "]}, "suggests nothing"),
    ({"prompt": "a", "feedback": []}, "suggests nothing"),
    ({"prompt": ["a", "b"], "feedback": ["x", "y"]}, "feedback is one list of strings per prompt"),
    ({"prompt": ["a", "b"], "feedback": [["x"], []]}, "suggests nothing"),
    ({"prompt": ["a", "b"], "feedback": [["x"]]}, "feedback is given 1 times for 2 prompts"),
    (
        {"prompt_embeds": torch.zeros(1, 4, 32), "pooled_prompt_embeds": torch.zeros(1, 32), "feedback": [["x"]]},
        "give it to encode_prompt",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS, ids=[message for _, message in BAD_CALLS])
def test_a_bad_call_is_one_clear_line_before_any_forward(pipe, call, message):
    def no_forward(*_: Any) -> None:
        raise AssertionError("a bad call reached a model")

    models = [pipe.transformer, pipe.text_encoder, pipe.text_encoder_2]
    handles = [model.register_forward_pre_hook(no_forward) for model in models]
    try:
        with pytest.raises(ValueError, match=message) as error:
            pipe(**({"width": 32, "height": 48} | call))
    finally:
        for handle in handles:
            handle.remove()
    assert "\n" not in str(error.value)
