"""Batches of different references and sizes equal single calls; nothing is encoded twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_qwen
import torch
from diffusers import FirstBlockCacheConfig, MagCacheConfig, PyramidAttentionBroadcastConfig, TaylorSeerCacheConfig
from PIL import Image

from posterkit import PosterOmniPipeline
from posterkit.pipelines.instruction import encode_instructions, pad, prefix_length, unpad

PROMPTS = ["one", "a longer one", "three", "four, the longest of them all", "one"]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


IMAGES = [
    [picture(64, 64)],
    [picture(64, 96, 1), picture(48, 48, 2)],
    [picture(80, 80, 3)],
    [picture(96, 64, 4)],
    [picture(64, 64, 5)],
]


def seeds(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(count)]


@pytest.fixture(scope="module", params=[False, True], ids=["2509", "2511"])
def pipe(request) -> PosterOmniPipeline:
    parts = tiny_qwen.components(zero_cond_t=request.param)
    made = PosterOmniPipeline(
        **parts, native_area=64 * 96, reference_area=48 * 48, condition_area=56 * 56, num_inference_steps=2
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("batch_cfg", [False, True])
def test_a_batch_of_different_references_equals_single_calls(pipe, batch_cfg) -> None:
    shared: dict[str, Any] = {"task": "id_driven", "output_type": "pt", "batch_cfg": batch_cfg}
    together = pipe(IMAGES, PROMPTS, generator=seeds(5), **shared).images
    assert together.shape == (5, 3, 96, 64)
    for index, generator in enumerate(seeds(5)):
        alone = pipe(IMAGES[index], PROMPTS[index], generator=generator, task="id_driven", output_type="pt").images
        assert (together[index] - alone[0]).abs().max() < 1e-5


def test_posters_of_different_sizes_come_back_in_the_order_of_the_inputs(pipe) -> None:
    photos = [picture(64, 96, 1), picture(96, 64, 2), picture(64, 96, 3)]
    masks = [Image.new("L", photo.size, 255) for photo in photos]
    out = pipe([[photo] for photo in photos], task="filling", mask_image=masks, generator=seeds(3))
    assert [image.size for image in out.images] == [photo.size for photo in photos]
    assert [(row["width"], row["height"]) for row in out.parameters] == [photo.size for photo in photos]
    alone = pipe(photos[1], task="filling", mask_image=masks[1], generator=seeds(2)[1]).images[0]
    assert np.abs(np.asarray(out.images[1]).astype(int) - np.asarray(alone)).max() <= 1


def test_tensors_of_different_sizes_come_back_as_a_list(pipe) -> None:
    photos = [picture(64, 96, 1), picture(96, 64, 2)]
    masks = [Image.new("L", photo.size, 255) for photo in photos]
    for kind, shapes in (
        ("pt", [(3, 96, 64), (3, 64, 96)]),
        ("np", [(96, 64, 3), (64, 96, 3)]),
        ("latent", [(24, 16)] * 2),
    ):
        images = pipe([[one] for one in photos], task="filling", mask_image=masks, output_type=kind).images
        assert [tuple(image.shape) for image in images] == shapes


def test_images_of_one_prompt_stand_together_and_have_their_own_seeds(pipe) -> None:
    shared: dict[str, Any] = {"task": "id_driven", "output_type": "pt"}
    out = pipe(IMAGES[:2], PROMPTS[:2], num_images_per_prompt=2, generator=seeds(4), **shared)
    alone = pipe(IMAGES[1], PROMPTS[1], generator=seeds(4)[3], **shared).images
    assert (out.images[3] - alone[0]).abs().max() < 1e-5
    assert [(row["seed"], row["number"]) for row in out.parameters] == [(0, 0), (1, 1), (2, 0), (3, 1)]


def test_one_prompt_serves_all_posters(pipe) -> None:
    out = pipe([[IMAGES[0][0]], [IMAGES[2][0]]], "shared", task="id_driven")
    assert [row["instruction"].endswith("shared") for row in out.parameters] == [True, True]


def test_embeddings_made_before_give_the_same_posters_without_the_encoder(pipe) -> None:
    posters = pipe.prepare_references(IMAGES[:2], PROMPTS[:2], "id_driven")
    pictures = [poster.pictures for poster in posters]
    with torch.no_grad():
        embeds, mask = pipe.encode_prompt([poster.instruction for poster in posters], pictures)
        negative, negative_mask = pipe.encode_prompt([" ", " "], pictures)
    given = {"prompt_embeds": embeds, "prompt_embeds_mask": mask,
             "negative_prompt_embeds": negative, "negative_prompt_embeds_mask": negative_mask}  # fmt: skip
    bare = PosterOmniPipeline(**(pipe.components | {"text_encoder": None, "tokenizer": None, "processor": None}))
    bare.set_progress_bar_config(disable=True)
    bare.register_to_config(
        **{name: pipe.config[name] for name in ("native_area", "reference_area", "condition_area")}
    )
    shared: dict[str, Any] = {"task": "id_driven", "output_type": "pt", "num_inference_steps": 2}
    before = pipe(IMAGES[:2], PROMPTS[:2], generator=seeds(2), **shared).images
    after = bare(IMAGES[:2], generator=seeds(2), **given, **shared)
    assert torch.equal(before, after.images)
    # whose words these were nobody knows
    assert [(row["instruction"], row["negative_prompt"]) for row in after.parameters] == [(None, None)] * 2


def test_noise_passed_in_is_the_noise_drawn(pipe) -> None:
    noise = pipe.prepare_latents(
        pipe.prepare_references(IMAGES[0], "x", "id_driven"), 2, torch.float32, "cpu", seeds(2)
    )
    shared: dict[str, Any] = {"task": "id_driven", "output_type": "pt", "num_images_per_prompt": 2}
    drawn = pipe(IMAGES[0], "x", generator=seeds(2), **shared).images
    assert torch.equal(pipe(IMAGES[0], "x", latents=noise[0], **shared).images, drawn)


def test_every_distinct_reference_is_encoded_once(pipe, monkeypatch) -> None:
    encoded = []
    encode = pipe.vae.encode
    monkeypatch.setattr(pipe.vae, "encode", lambda x: (encoded.append(len(x)), encode(x))[1])
    one, other = picture(64, 64), picture(64, 64, 9)
    pipe([[one], [other], [one], [one]], PROMPTS[:4], task="id_driven")
    assert sum(encoded) == 2


def test_equal_instructions_with_equal_pictures_are_encoded_once(pipe) -> None:
    encoded = []
    hook = pipe.text_encoder.register_forward_pre_hook(
        lambda module, args, kwargs: encoded.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    rows = encode_instructions(pipe.text_encoder, pipe.processor, ["a", "b", "a", "longer"], [[IMAGES[0][0]]] * 4)
    hook.remove()
    assert sorted(encoded) == [1, 2]  # "longer" alone, "a" and "b" together
    assert torch.equal(rows[0], rows[2]) and not torch.equal(rows[0], rows[1])


def test_each_poster_of_a_batch_has_an_anchor_of_its_own(pipe) -> None:
    photos = [[Image.new("RGB", (16, 16), color)] for color in ("red", "blue")]
    out = pipe(photos, task="extending", anchor=["top-left", (16, 32)], width=32, height=48, num_inference_steps=1)
    assert out.images[0].getpixel((3, 3)) == (255, 0, 0)
    assert out.images[1].getpixel((20, 40)) == (0, 0, 255)
    with pytest.raises(ValueError, match="3 anchors for 2 poster"):
        pipe(photos, task="extending", anchor=["top", "left", "center"], width=32, height=48)


def test_padding_is_undone_exactly() -> None:
    rows = [torch.arange(6.0).view(3, 2), torch.ones(1, 2)]
    stacked, mask = pad(rows)
    assert mask is not None and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert all(torch.equal(row, back) for row, back in zip(rows, unpad(stacked, mask), strict=True))
    assert pad([rows[0], rows[0]])[1] is None


def test_the_prefix_is_counted_with_the_tokenizer_at_hand(pipe) -> None:
    # one token a byte here, and three control tokens, which hide their letters
    text = (
        "system\nDescribe the key features of the input image (color, shape, size, texture, objects, background), "
        "then explain how the user's text instruction should alter or modify the image. Generate a new image that "
        "meets the user's requirements while maintaining consistency with the original input where appropriate."
        "\nuser\n"
    )
    assert prefix_length(pipe.tokenizer) == len(text) + 3


@pytest.mark.parametrize(
    "config",
    [
        FirstBlockCacheConfig(threshold=0.8),
        MagCacheConfig(threshold=0.06, max_skip_steps=1, num_inference_steps=4, mag_ratios=torch.ones(4)),
        TaylorSeerCacheConfig(cache_interval=2, disable_cache_before_step=1, max_order=1),
    ],
    ids=lambda config: type(config).__name__,
)
def test_a_cache_starts_afresh_for_every_group_of_a_batch(pipe, config) -> None:
    shared: dict[str, Any] = {"task": "id_driven", "output_type": "pt", "num_inference_steps": 4}
    plain = pipe(IMAGES[:2], PROMPTS[:2], generator=seeds(2), **shared).images
    pipe.transformer.enable_cache(config)
    try:
        together = pipe(IMAGES[:2], PROMPTS[:2], generator=seeds(2), batch_cfg=True, **shared).images
        alone = pipe(IMAGES[1], PROMPTS[1], generator=seeds(2)[1], **shared).images
    finally:
        pipe.transformer.disable_cache()
    assert (together[1] - alone[0]).abs().max() < 1e-5
    assert not torch.equal(together, plain)  # the cache did skip something


def test_attention_broadcast_keeps_the_two_halves_of_guidance_apart(pipe) -> None:
    calls = []
    hook = pipe.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: calls.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    pipe.transformer.enable_cache(
        PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            spatial_attention_block_identifiers=("transformer_blocks",),
            current_timestep_callback=lambda: pipe.current_timestep,
        )
    )
    try:
        pipe(IMAGES[0], "x", task="id_driven", true_cfg_scale=4.0)
    finally:
        pipe.transformer.disable_cache()
        hook.remove()
    assert calls == [2, 2]  # its one state would hand the conditional attention to the unconditional forward
