"""Upstream diffusers' own pipeline tests, run on PosterOmniPipeline from the checkout named by DIFFUSERS_SRC."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_qwen
from PIL import Image

from posterkit import PosterOmniPipeline

pytest.importorskip("diffusers_tests", reason="DIFFUSERS_SRC does not name a diffusers source checkout")

from diffusers_tests.pipelines.testing_utils import (
    BasePipelineTesterConfig,
    FasterCacheTesterMixin,
    FirstBlockCacheTesterMixin,
    LoraMemoryTesterMixin,
    LoraTesterMixin,
    MagCacheTesterMixin,
    MemoryTesterMixin,
    PipelineTesterMixin,
    PyramidAttentionBroadcastTesterMixin,
    TaylorSeerCacheTesterMixin,
)

PICTURE = Image.new("RGB", (32, 32))


class PosterOmniConfig(BasePipelineTesterConfig):
    pipeline_class = PosterOmniPipeline
    required_input_params_in_call_signature = frozenset(
        ["prompt", "negative_prompt", "true_cfg_scale", "height", "width", "guidance_scale", "prompt_embeds"]
    )
    batch_input_params = frozenset(["prompt", "image"])
    output_shape = (3, 32, 32)

    def get_dummy_components(self, num_layers: int = 2) -> dict[str, Any]:
        return tiny_qwen.components(layers=num_layers)

    def get_dummy_inputs(self) -> dict[str, Any]:
        return {
            "prompt": "dance monkey",
            "image": [PICTURE, PICTURE],
            "negative_prompt": "bad quality",
            "generator": self.get_generator(0),
            "num_inference_steps": 2,
            "true_cfg_scale": 1.0,
            "height": 32,
            "width": 32,
            "reference_area": 32 * 32,
            "condition_area": 56 * 56,
            "max_sequence_length": 1024,  # the tests' longest prompt is 900 bytes, and every byte is a token here
            "output_type": "pt",
        }


class TestPosterOmni(PosterOmniConfig, PipelineTesterMixin):
    def test_encode_prompt_works_in_isolation(
        self, extra_required_param_value_dict: Any = None, atol: float = 1e-4, rtol: float = 1e-4
    ) -> None:
        # what the encoder sees are not the call's images but small copies of them, an argument of their own
        pictures = (
            self.get_pipeline()
            .prepare_references([PICTURE, PICTURE], "", reference_area=32 * 32, condition_area=56 * 56)[0]
            .pictures
        )
        super().test_encode_prompt_works_in_isolation({"condition_images": pictures}, atol, rtol)


class TestPosterOmniMemory(PosterOmniConfig, MemoryTesterMixin):
    pass


class TestPosterOmniLora(PosterOmniConfig, LoraTesterMixin):
    pass


class TestPosterOmniLoraMemory(PosterOmniConfig, LoraMemoryTesterMixin):
    pass


class TestPosterOmniFirstBlockCache(PosterOmniConfig, FirstBlockCacheTesterMixin):
    pass


class TestPosterOmniTaylorSeerCache(PosterOmniConfig, TaylorSeerCacheTesterMixin):
    pass


class TestPosterOmniMagCache(PosterOmniConfig, MagCacheTesterMixin):
    pass


class TestPosterOmniFasterCache(PosterOmniConfig, FasterCacheTesterMixin):
    # the hook's own way of skipping the unconditional half is for video latents that hold both halves in one batch
    FASTER_CACHE_CONFIG = {  # noqa: RUF012
        "spatial_attention_block_skip_range": 2,
        "spatial_attention_timestep_skip_range": (-1, 901),
        "unconditional_batch_skip_range": 2,
        "attention_weight_callback": lambda _: 0.5,
        "is_guidance_distilled": True,
    }


class TestPosterOmniPyramidAttentionBroadcast(PosterOmniConfig, PyramidAttentionBroadcastTesterMixin):
    pass
