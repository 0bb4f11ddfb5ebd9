"""Painting over a draft with PosterOmni: where the run begins, batches, and what cannot work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_qwen
import torch
from PIL import Image

from posterkit import PosterOmniPipeline
from posterkit.pipelines.latents import encode_pixels, pack

SMALL = {"prompt": "a poster", "width": 64, "height": 96, "num_inference_steps": 4, "true_cfg_scale": 1.0}


def picture(seed: int, size: tuple[int, int] = (64, 96)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def pipe() -> PosterOmniPipeline:
    pipe = PosterOmniPipeline(**tiny_qwen.components(), reference_area=64 * 64, condition_area=56 * 84)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def run(pipe: Any, seed: int = 0, **extra: Any) -> Any:
    call = SMALL | {"image": picture(9), "output_type": "latent", "generator": torch.manual_seed(seed)} | extra
    return pipe(**call)[0]


def test_at_full_strength_nothing_is_left_of_the_draft(pipe):
    assert torch.equal(run(pipe, draft=picture(1), strength=1.0), run(pipe))


def test_a_model_that_moves_nothing_leaves_the_draft_noised_to_the_first_timestep(pipe, monkeypatch):
    for weight in (pipe.transformer.proj_out.weight, pipe.transformer.proj_out.bias):
        monkeypatch.setattr(weight, "data", torch.zeros_like(weight.data))
    draft = picture(1)
    found = run(pipe, draft=draft, strength=0.5)
    pixels = pipe.image_processor.preprocess(draft, 96, 64)
    clean, noise = pack(encode_pixels(pipe.vae, pixels)), run(pipe)
    sigma = pipe.scheduler.sigmas[2]  # two of four steps are left out
    assert torch.allclose(found, sigma * noise + (1 - sigma) * clean, atol=1e-5)


def test_the_less_strength_the_nearer_to_the_draft(pipe):
    draft = picture(1)
    clean = pack(encode_pixels(pipe.vae, pipe.image_processor.preprocess(draft, 96, 64)))
    far = [(run(pipe, draft=draft, strength=s) - clean).abs().mean().item() for s in (0.25, 0.5, 1.0)]
    assert far == sorted(far)


def test_a_batch_of_two_drafts_equals_two_single_calls(pipe):
    options = {"strength": 0.5, "output_type": "latent", **SMALL}
    both = pipe(
        image=[[picture(8)], [picture(9)]], draft=[picture(1), picture(2)],
        generator=[torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)], **options,
    )[0]  # fmt: skip
    for n in range(2):
        alone = pipe(image=picture(8 + n), draft=picture(1 + n), generator=torch.manual_seed(1 + n), **options)[0]
        assert torch.allclose(both[n], alone[0], atol=1e-5)


def test_kept_pixels_stay_exact_over_a_draft(pipe):
    photo, mask = picture(3), Image.new("L", (64, 96))
    mask.paste(255, (0, 0, 32, 96))
    made = pipe(
        task="filling", image=photo, mask_image=mask, draft=picture(4), strength=0.5, num_inference_steps=2,
        true_cfg_scale=1.0, width=64, height=96,
    )  # fmt: skip
    assert np.array_equal(np.asarray(made.images[0])[:, 48:], np.asarray(photo)[:, 48:])
    assert made.parameters[0]["strength"] == 0.5


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ({"strength": 0.5}, "strength 0.5 is given, but no draft"),
        ({"draft": picture(1), "strength": 2.0}, "strength must be above 0 and at most 1, got 2.0"),
        ({"draft": [picture(1)] * 3}, "draft is given 3 times for 1 posters"),
        ({"draft": picture(1, (96, 64))}, "a draft keeps its shape: the picture given is 96x64, the poster 64x96"),
    ],
)
def test_a_call_that_cannot_work_is_refused_in_a_line(pipe, extra, line):
    with pytest.raises(ValueError, match=line):
        run(pipe, **extra)
