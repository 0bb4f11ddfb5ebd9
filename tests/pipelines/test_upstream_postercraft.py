"""Upstream diffusers' own pipeline tests, run on PosterCraftPipeline (set DIFFUSERS_SRC to a source checkout)."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import tiny_flux

from posterkit import PosterCraftPipeline

upstream = pytest.importorskip(
    "diffusers_tests", reason="DIFFUSERS_SRC names no diffusers checkout: upstream's own tests are not run"
)

from diffusers_tests.pipelines.testing_utils import (  # type: ignore[import-not-found]  # noqa: E402
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


class PosterCraftConfig(BasePipelineTesterConfig):
    pipeline_class = PosterCraftPipeline
    required_input_params_in_call_signature = frozenset(
        ["prompt", "height", "width", "guidance_scale", "prompt_embeds", "pooled_prompt_embeds"]
    )
    batch_input_params = frozenset(["prompt"])
    output_shape = (3, 8, 8)

    def get_dummy_components(self, num_layers: int = 1, num_single_layers: int = 1) -> dict[str, Any]:
        return tiny_flux.components(
            channels=1, levels=1, guidance=False, layers=num_layers, single_layers=num_single_layers
        ) | {"image_encoder": None, "feature_extractor": None}

    def get_dummy_inputs(self) -> dict[str, Any]:
        return {
            "prompt": "A painting of a squirrel eating a burger",
            "generator": self.get_generator(0),
            "num_inference_steps": 2,
            "guidance_scale": 5.0,
            "height": 8,
            "width": 8,
            "max_sequence_length": 48,
            "output_type": "pt",
        }


class TestPosterCraft(PosterCraftConfig, PipelineTesterMixin):
    pass


class TestPosterCraftMemory(PosterCraftConfig, MemoryTesterMixin):
    pass


class TestPosterCraftPyramidAttentionBroadcast(PosterCraftConfig, PyramidAttentionBroadcastTesterMixin):
    pass


class TestPosterCraftFasterCache(PosterCraftConfig, FasterCacheTesterMixin):
    # guidance is distilled into FLUX.1, so the cache has no unconditional half to skip
    FASTER_CACHE_CONFIG: ClassVar = {
        "spatial_attention_block_skip_range": 2,
        "spatial_attention_timestep_skip_range": (-1, 901),
        "unconditional_batch_skip_range": 2,
        "attention_weight_callback": lambda _: 0.5,
        "is_guidance_distilled": True,
    }


class TestPosterCraftFirstBlockCache(PosterCraftConfig, FirstBlockCacheTesterMixin):
    pass


class TestPosterCraftTaylorSeerCache(PosterCraftConfig, TaylorSeerCacheTesterMixin):
    pass


class TestPosterCraftMagCache(PosterCraftConfig, MagCacheTesterMixin):
    pass


class TestPosterCraftLora(PosterCraftConfig, LoraTesterMixin):
    pass


class TestPosterCraftLoraMemory(PosterCraftConfig, LoraMemoryTesterMixin):
    pass
