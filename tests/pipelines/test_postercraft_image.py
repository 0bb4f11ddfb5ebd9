"""Painting over a picture: equal to stock FluxImg2ImgPipeline, and what cannot be painted over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_flux
import torch
from diffusers import FluxImg2ImgPipeline
from PIL import Image

from posterkit import PosterCraftPipeline

SMALL = {"width": 32, "height": 48, "num_inference_steps": 5, "max_sequence_length": 24}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(seed: int = 0, size: tuple[int, int] = (32, 48)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


CALLS = {
    "a third": {"prompt": "a poster", "image": picture(), "strength": 0.3},
    "default strength": {"prompt": "a poster", "image": picture()},
    "all of it": {"prompt": "a poster", "image": picture(), "strength": 1.0},
    "one picture for two prompts": {"prompt": ["a poster", "another"], "image": picture(), "strength": 0.5},
    "a picture each": {"prompt": ["a poster", "another"], "image": [picture(1), picture(2)], "strength": 0.7},
    "several each": {"prompt": "a poster", "image": picture(), "strength": 0.5, "num_images_per_prompt": 3},
    "another size": {"prompt": "a poster", "image": picture(3, (64, 96)), "strength": 0.4},
    "true cfg": {
        "prompt": "a poster", "image": picture(), "strength": 0.6, "negative_prompt": "dull", "true_cfg_scale": 3.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_painting_over_a_picture_is_bit_identical_to_stock(call, dtype):
    parts = tiny_flux.components()
    ours, theirs = quiet(PosterCraftPipeline(**parts)).to(dtype), quiet(FluxImg2ImgPipeline(**parts)).to(dtype)
    options = SMALL | {"output_type": "np", "guidance_scale": 3.5} | call
    made = ours(**options, generator=seeded()).images
    expected = theirs(**options, generator=seeded()).images
    assert np.array_equal(made, expected)


def test_a_generator_for_each_image_is_bit_identical_to_stock():
    parts = tiny_flux.components()
    call = SMALL | {"prompt": ["a", "b"], "image": [picture(1), picture(2)], "strength": 0.5, "output_type": "np"}
    made = quiet(PosterCraftPipeline(**parts))(**call, guidance_scale=7.0, generator=[seeded(1), seeded(2)]).images
    expected = quiet(FluxImg2ImgPipeline(**parts))(**call, generator=[seeded(1), seeded(2)]).images
    assert np.array_equal(made, expected)


def test_each_of_several_pictures_goes_to_its_own_prompt():
    """Stock deals pictures out in turns, so that they meet other prompts than their own."""
    parts = tiny_flux.components()
    pipe = quiet(PosterCraftPipeline(**parts))
    call = SMALL | {"strength": 0.3, "output_type": "np"}
    generators = [seeded(n) for n in range(4)]
    both = pipe(
        prompt=["a", "b"], image=[picture(1), picture(2)], num_images_per_prompt=2, generator=generators, **call
    )
    alone = pipe(prompt="b", image=picture(2), num_images_per_prompt=2, generator=[seeded(1), seeded(3)], **call)
    near = np.abs(both.images[2:] - alone.images).mean()
    assert near < 0.1 < np.abs(both.images[:2] - alone.images).mean()


def test_the_size_follows_the_picture_and_the_record_says_how_much_was_painted():
    pipe = quiet(PosterCraftPipeline(**tiny_flux.components(), native_area=32 * 48))
    made = pipe(prompt="a poster", image=picture(0, (96, 64)), num_inference_steps=2, max_sequence_length=24)
    assert made.images[0].size == (48, 32)
    assert made.parameters[0]["strength"] == 0.6


@pytest.mark.parametrize(
    ("call", "line"),
    [
        ({"strength": 0.5}, "strength 0.5 is given, but no image"),
        ({"image": picture(), "strength": 0.0}, "strength must be above 0 and at most 1, got 0.0"),
        ({"image": picture(), "strength": 1.5}, "strength must be above 0 and at most 1, got 1.5"),
        ({"image": [picture()] * 2}, "image is given 2 times for 1 prompts"),
        ({"image": picture(0, (48, 32))}, "a draft keeps its shape"),
        ({"image": "picture.png"}, "image"),
    ],
)
def test_a_call_that_cannot_work_is_refused_in_a_line(call, line):
    with pytest.raises(ValueError, match=line):
        quiet(PosterCraftPipeline(**tiny_flux.components()))(prompt="a poster", **SMALL, **call)
