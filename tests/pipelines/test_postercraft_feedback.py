"""Stage 4 of PosterCraft: a draft and feedback become a better one; stock Kontext and FLUX.1 are the oracles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny_flux
import torch
from diffusers import FluxKontextPipeline, FluxPipeline
from PIL import Image

from posterkit import PosterCraftPipeline

SMALL = {"width": 32, "height": 48, "num_inference_steps": 3, "max_sequence_length": 24, "output_type": "latent"}
SUGGESTIONS = ["Larger title.", "Warmer light."]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def picture(size: tuple[int, int] = (32, 48), seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return tiny_flux.components()


@pytest.fixture
def pipe(parts: dict[str, Any]) -> PosterCraftPipeline:
    return quiet(PosterCraftPipeline(**parts))


@torch.no_grad()
def with_feedback(pipe: Any, prompt: str, feedback: str) -> dict[str, torch.Tensor]:
    """The prompt's tokens, then the feedback's, by stock's own two encodings."""
    stock = FluxPipeline(**{k: v for k, v in pipe.components.items() if v is not None})
    tokens, pooled, _ = stock.encode_prompt(prompt, max_sequence_length=24)
    more, _, _ = stock.encode_prompt(feedback, max_sequence_length=24)
    return {"prompt_embeds": torch.cat([tokens, more], dim=1), "pooled_prompt_embeds": pooled}


def test_a_draft_alone_gives_what_stock_kontext_gives(pipe, parts):
    kontext = quiet(FluxKontextPipeline(**parts))
    expected = kontext(
        image=picture(), prompt="a poster", **SMALL, generator=seeded(), max_area=32 * 48, _auto_resize=False
    ).images
    made = pipe(prompt="a poster", draft_image=picture(), **SMALL, generator=seeded()).images
    assert torch.equal(made, expected)


def test_feedback_alone_is_stock_with_the_feedback_tokens_behind_the_prompt(pipe, parts):
    stock = quiet(FluxPipeline(**parts))
    embeds = with_feedback(pipe, "a poster", "Larger title. Warmer light.")
    expected = stock(**embeds, **SMALL, generator=seeded()).images
    made = pipe(prompt="a poster", feedback=SUGGESTIONS, **SMALL, generator=seeded()).images
    assert torch.equal(made, expected)


def test_draft_and_feedback_together_are_kontext_with_both(pipe, parts):
    kontext = quiet(FluxKontextPipeline(**parts))
    embeds = with_feedback(pipe, "a poster", "Larger title. Warmer light.")
    expected = kontext(
        image=picture(), **embeds, **SMALL, generator=seeded(), max_area=32 * 48, _auto_resize=False
    ).images
    made = pipe(prompt="a poster", draft_image=picture(), feedback=SUGGESTIONS, **SMALL, generator=seeded()).images
    assert torch.equal(made, expected)


def test_the_negative_forward_reads_an_empty_feedback_and_the_same_draft(pipe, parts):
    kontext = quiet(FluxKontextPipeline(**parts))
    embeds = with_feedback(pipe, "a poster", "Larger title. Warmer light.")
    away = with_feedback(pipe, "dull", "")
    expected = kontext(
        image=picture(), **embeds, negative_prompt_embeds=away["prompt_embeds"], true_cfg_scale=3.0,
        negative_pooled_prompt_embeds=away["pooled_prompt_embeds"], **SMALL, generator=seeded(),
        max_area=32 * 48, _auto_resize=False,
    ).images  # fmt: skip
    options = SMALL | {"negative_prompt": "dull", "true_cfg_scale": 3.0, "draft_image": picture()}
    made = pipe(prompt="a poster", feedback=SUGGESTIONS, **options, generator=seeded()).images
    assert torch.equal(made, expected)
    joined = pipe(prompt="a poster", feedback=SUGGESTIONS, **options, generator=seeded(), batch_cfg=True).images
    torch.testing.assert_close(joined, expected, atol=1e-4, rtol=1e-4)


def test_a_batch_of_two_equals_two_single_calls(pipe):
    drafts, feedback = [picture(seed=1), picture(seed=2)], [["Larger title."], ["Calmer colours.", "No border."]]
    together = pipe(
        prompt=["a", "b"], draft_image=drafts, feedback=feedback, **SMALL, generator=[seeded(1), seeded(2)]
    ).images
    alone = [
        pipe(prompt=prompt, draft_image=draft, feedback=lines, **SMALL, generator=seeded(seed)).images
        for prompt, draft, lines, seed in zip(["a", "b"], drafts, feedback, (1, 2), strict=True)
    ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_several_images_of_one_prompt_share_its_draft(pipe):
    options = SMALL | {"draft_image": [picture(seed=1), picture(seed=2)], "prompt": ["a", "b"]}
    four = pipe(**options, num_images_per_prompt=2, generator=[seeded(seed) for seed in range(4)]).images
    alone = pipe(**SMALL, prompt="b", draft_image=picture(seed=2), generator=seeded(2)).images
    torch.testing.assert_close(four[2:3], alone, atol=1e-4, rtol=1e-4)


def test_a_draft_of_twice_the_size_is_the_same_as_its_lanczos_half(pipe):
    big = picture((64, 96))
    half = big.resize((32, 48), Image.Resampling.LANCZOS)
    made = pipe(prompt="a", draft_image=big, **SMALL, generator=seeded()).images
    assert torch.equal(made, pipe(prompt="a", draft_image=half, **SMALL, generator=seeded()).images)


def test_enlarging_a_draft_is_said(pipe, caplog, monkeypatch):
    for name in ("posterkit", "diffusers"):
        monkeypatch.setattr(__import__("logging").getLogger(name), "propagate", True)
    pipe(prompt="a", draft_image=picture((16, 24)), **SMALL, generator=seeded())
    assert "the draft is 16x24 and is enlarged to 32x48" in caplog.text


def test_without_a_size_the_poster_has_the_draft_shape_and_the_native_area(parts):
    pipe = quiet(PosterCraftPipeline(**parts, native_area=48 * 32))
    wide = pipe(prompt="a", draft_image=picture((96, 64)), num_inference_steps=1, max_sequence_length=24)
    assert wide.images[0].size == (48, 32)


def test_the_draft_and_the_feedback_both_change_the_poster(pipe):
    plain = pipe(prompt="a", **SMALL, generator=seeded()).images
    for given in ({"draft_image": picture()}, {"feedback": SUGGESTIONS}):
        assert not torch.allclose(plain, pipe(prompt="a", **given, **SMALL, generator=seeded()).images, atol=1e-3)


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_a_draft_may_be_what_the_pipeline_made_as_array_or_tensor(pipe, kind):
    draft = pipe(prompt="a", **SMALL | {"output_type": kind}, generator=seeded()).images
    made = pipe(prompt="a", draft_image=draft[0], **SMALL, generator=seeded()).images
    pixels = draft[0] if kind == "np" else draft[0].permute(1, 2, 0).numpy()
    picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
    assert torch.equal(made, pipe(prompt="a", draft_image=picture, **SMALL, generator=seeded()).images)
