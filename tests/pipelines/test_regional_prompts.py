"""Regions with prompts of their own: who sees what, in both families, and that a pipeline stays as it was."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import tiny_flux
import tiny_qwen
import torch
from diffusers.models.transformers.transformer_qwenimage import QwenDoubleStreamAttnProcessor2_0
from PIL import Image

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.pipelines.regional_prompts import RegionPrompt, RegionTexts, region_texts, regional_attention
from posterkit.sizing import Size

TOP, BOTTOM = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)
ROWS, COLUMNS = 6, 4  # image tokens of a 64x96 picture
FAMILIES = ("flux", "qwen")


def picture(seed: int, size: tuple[int, int] = (64, 96)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def pipes() -> dict[str, Any]:
    """One block each: what attention lets through in it is seen in the picture, and nothing passes on from there."""
    pipes: dict[str, Any] = {
        "flux": PosterCraftPipeline(**tiny_flux.components(layers=1, single_layers=0)),
        "qwen": PosterOmniPipeline(
            **tiny_qwen.components(layers=1), reference_area=64 * 64, condition_area=56 * 84, true_cfg_scale=1.0
        ),
    }
    for pipe in pipes.values():
        pipe.set_progress_bar_config(disable=True)
    return pipes


def tokens(pipe: Any, prompt: Any = "a poster", seeds: tuple[int, ...] = (0,), **extra: Any) -> torch.Tensor:
    """Image tokens after one step `(B, rows, columns, 4 C)`."""
    if isinstance(pipe, PosterOmniPipeline):
        extra = {"image": [[picture(9)] for _ in seeds]} | extra
    made = pipe(
        prompt=prompt, width=64, height=96, output_type="latent",
        generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        **({"num_inference_steps": 1, "max_sequence_length": 256 if "image" in extra else 24} | extra),
    ).images  # fmt: skip
    return made.unflatten(1, (ROWS, COLUMNS))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_region_changes_its_own_cells_and_no_others(pipes, family):
    pipe = pipes[family]
    calm, loud = (tokens(pipe, regions=[RegionPrompt(TOP, words)]) for words in ("plain sky", "a crowd of owls"))
    assert torch.allclose(calm[:, 3:], loud[:, 3:], atol=1e-5)
    assert ((calm[:, :3] - loud[:, :3]).abs().amax(-1) > 1e-3).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_order_of_regions_does_not_matter(pipes, family):
    """Every region's prompt begins at position 0, so that none of them is further away from the picture."""
    regions = [RegionPrompt(TOP, "plain sky"), RegionPrompt(BOTTOM, "a crowd of owls by night")]
    one, other = (tokens(pipes[family], regions=order) for order in (regions, regions[::-1]))
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_regions_that_never_count_change_nothing_and_say_so(pipes, family, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    plain = tokens(pipes[family])
    assert not torch.equal(plain, tokens(pipes[family], regions=[RegionPrompt(TOP, "plain sky")]))
    assert not caplog.records
    assert torch.equal(plain, tokens(pipes[family], regions=[RegionPrompt(TOP, "plain sky")], regions_until=1.0))
    assert "this run begins at noise level 1.00, and they count down to 1; raise strength" in caplog.text


@pytest.mark.parametrize("family", FAMILIES)
def test_regions_count_until_their_noise_level(pipes, family):
    pipe, counted = pipes[family], []

    def note(self: RegionTexts, timestep: torch.Tensor, plain: Any = RegionTexts.count_at) -> bool:
        counted.append(plain(self, timestep))
        return counted[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RegionTexts, "count_at", note)
        tokens(pipe, regions=[RegionPrompt(TOP, "sky")], regions_until=0.5, num_inference_steps=8)
    levels = pipe.scheduler.sigmas[:8]
    assert counted == (levels > 0.5).tolist()
    assert {True, False} == set(counted)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("guidance", [{}, {"negative_prompt": "dull", "true_cfg_scale": 3.0}], ids=["alone", "guided"])
def test_a_batch_equals_single_calls(pipes, family, guidance):
    """One poster has two regions, one has one, one has none."""
    pipe, prompts = pipes[family], ["a fox", "a lighthouse at night", "tea"]
    regions = [[RegionPrompt(TOP, "plain"), RegionPrompt(BOTTOM, "a den")], [RegionPrompt(BOTTOM, "waves")], []]
    many = tokens(pipe, prompts, (1, 2, 3), regions=regions, num_inference_steps=3, **guidance)
    for index in range(3):
        own = tokens(pipe, prompts[index], (index + 1,), regions=regions[index], num_inference_steps=3, **guidance)
        assert torch.allclose(many[index], own[0], atol=2e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_joined_guidance_is_what_two_forwards_give(pipes, family):
    call = {
        "regions": [RegionPrompt(TOP, "plain sky")], "regions_until": 0.6, "num_inference_steps": 4,
        "negative_prompt": "dull grey", "true_cfg_scale": 3.0,
    }  # fmt: skip
    apart, joined = (tokens(pipes[family], batch_cfg=join, **call) for join in (False, True))
    assert torch.allclose(apart, joined, atol=2e-5)


def test_a_draft_to_be_improved_stands_beside_regions(pipes):
    call = {"regions": [RegionPrompt(TOP, "plain sky")], "draft_image": picture(3), "feedback": ["calmer"]}
    assert torch.isfinite(tokens(pipes["flux"], **call)).all()


def test_without_regions_the_regional_attention_of_qwen_is_the_stock_one(pipes):
    """And with a mask that hides nothing and positions that run on, its own arithmetic gives the same."""
    transformer = pipes["qwen"].transformer
    torch.manual_seed(0)
    text, image = torch.randn(2, 7, 16), torch.randn(2, ROWS * COLUMNS, transformer.config.in_channels)
    call = {
        "hidden_states": image, "encoder_hidden_states": text, "timestep": torch.tensor([0.9, 0.9]),
        "img_shapes": [[(1, ROWS, COLUMNS)]] * 2, "return_dict": False,
    }  # fmt: skip
    whole = 7 + ROWS * COLUMNS
    everything = RegionTexts(
        text[:, :0], torch.ones(2, 1, whole, whole, dtype=torch.bool), torch.arange(7).expand(2, 7)
    )
    with torch.no_grad():
        stock = transformer(**call)[0]
        with regional_attention(transformer, True):
            assert torch.equal(transformer(**call)[0], stock)
            own = transformer(**call, attention_kwargs={"regional": everything})[0]
    assert torch.allclose(own, stock, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pipeline_is_left_as_it_was_even_by_an_error(pipes, family):
    transformer = pipes[family].transformer
    before = dict(transformer.attn_processors)
    for one in before.values():
        one._attention_backend = "native"

    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokens(pipes[family], regions=[RegionPrompt(TOP, "sky")], callback_on_step_end=stop)
    assert all(transformer.attn_processors[name] is one for name, one in before.items())
    assert {one._attention_backend for one in before.values()} == {"native"}


def test_the_record_says_what_the_regions_were(pipes):
    made = pipes["flux"](
        prompt=["a fox", "tea"], regions=[[RegionPrompt(TOP, "plain sky")], []], regions_until=0.7,
        width=64, height=96, num_inference_steps=1, max_sequence_length=24, output_type="latent",
    )  # fmt: skip
    assert made.parameters[0]["regions"] == [{"box": [0.0, 0.0, 1.0, 0.5], "prompt": "plain sky"}]
    assert made.parameters[0]["regions_until"] == 0.7
    assert "regions" not in made.parameters[1]


def test_the_mask_says_who_sees_whom():
    prompt = torch.tensor([[True, True, False]])  # two tokens and padding
    own = region_texts([[RegionPrompt((0, 0, 0.5, 1), "left")]], [[torch.ones(2, 8)]], prompt, Size(32, 16), 16, 1)
    # prompt, padding, region, image left and right, one reference
    expected = ["110 00 11 1", "110 00 11 1", "110 00 11 1", "110 11 10 0", "110 11 10 0"]
    expected += ["110 11 11 1", "110 00 11 1", "110 00 11 1"]
    assert ["".join(str(int(cell)) for cell in row) for row in own.mask[0, 0]] == [
        row.replace(" ", "") for row in expected
    ]
    assert own.positions.tolist() == [[0, 1, 2, 0, 1]]


def test_a_region_smaller_than_a_token_has_the_token_that_it_lies_in():
    cells = RegionPrompt((0.3, 0.3, 0.32, 0.32), "a dot").cells(4, 4)
    assert cells.nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ([[RegionPrompt(TOP, "sky")]] * 2, "regions are given 2 times for 1 posters"),
        ([RegionPrompt(TOP, "sky")] * 9, "at most 8 regions, got 9"),
        ([["sky"]], "regions are RegionPrompts, got str"),
    ],
    ids=["count", "too many", "type"],
)
def test_what_cannot_work_is_refused(pipes, family, regions, said):
    with pytest.raises(ValueError, match=said):
        tokens(pipes[family], regions=regions)


def test_a_region_has_a_box_and_a_prompt():
    with pytest.raises(ValueError, match="as shares of the picture"):
        RegionPrompt((0, 0, 832, 600), "sky")
    with pytest.raises(ValueError, match="has no prompt"):
        RegionPrompt(TOP, " ")


def test_a_cache_and_an_own_attention_are_refused(pipes):
    from diffusers import FirstBlockCacheConfig

    pipe = PosterCraftPipeline(**tiny_flux.components())
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.1))
    with pytest.raises(ValueError, match="no cache survives"):
        tokens(pipe, regions=[RegionPrompt(TOP, "sky")])

    class Own(QwenDoubleStreamAttnProcessor2_0):
        pass

    transformer = tiny_qwen.transformer()
    transformer.set_attn_processor(Own())
    with pytest.raises(ValueError, match="found Own"), regional_attention(transformer, True):
        pass
