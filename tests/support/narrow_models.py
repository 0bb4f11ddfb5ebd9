"""FLUX.1-dev and Qwen-Image-Edit with their published layers and heads, made narrow: a head has eight numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_flux
import tiny_qwen
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel, QwenImageTransformer2DModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.pipelines.processor import Qwen2VLProcessor

HEADS = {"attention_head_dim": 8, "num_attention_heads": 24, "axes_dims_rope": (4, 2, 2)}
MEGAPIXEL = 1024 * 1024


def save_narrow_flux(folder: Path, layers: int = 19, single_layers: int = 38) -> Path:
    torch.manual_seed(0)
    words, pieces = tiny_flux.clip_tokenizer(), tiny_flux.t5_tokenizer()
    ids = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    clip = CLIPTextConfig(
        vocab_size=len(words), hidden_size=24, intermediate_size=24, num_attention_heads=12, num_hidden_layers=12,
        projection_dim=24, max_position_embeddings=77, **ids,
    )  # fmt: skip
    t5 = T5Config(
        vocab_size=len(pieces), d_model=32, d_kv=1, d_ff=32, num_heads=64, num_layers=24,
        feed_forward_proj="gated-gelu", is_encoder_decoder=False, dropout_rate=0.0,
    )  # fmt: skip
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=layers, num_single_layers=single_layers, joint_attention_dim=32,
        pooled_projection_dim=24, guidance_embeds=True, **HEADS,
    )  # fmt: skip
    PosterCraftPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=tiny_flux.vae(channels=16), text_encoder=CLIPTextModel(clip), tokenizer=words,
        text_encoder_2=T5EncoderModel(t5), tokenizer_2=pieces, transformer=transformer,
        native_area=MEGAPIXEL, max_sequence_length=512,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def save_narrow_qwen(folder: Path, layers: int = 60) -> Path:
    torch.manual_seed(0)
    words = tiny_qwen.tokenizer()
    ids: dict[str, Any] = {
        f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (("image", "image_pad"), ("video", "video_pad"), ("vision_start", "vision_start"),
                            ("vision_end", "vision_end"), ("vision", "vision_pad"))
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 224, "intermediate_size": 224, "num_hidden_layers": 28,
            "num_attention_heads": 28, "num_key_value_heads": 4, "rope_theta": 1e6,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
        },
        vision_config={
            "depth": 32, "hidden_size": 64, "intermediate_size": 64, "num_heads": 16, "out_hidden_size": 224,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        **ids,
    )  # fmt: skip
    transformer = QwenImageTransformer2DModel(
        patch_size=2, in_channels=64, out_channels=16, num_layers=layers, joint_attention_dim=224, **HEADS
    )
    PosterOmniPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, max_shift=0.9),
        vae=tiny_qwen.vae(channels=16), text_encoder=Qwen2_5_VLForConditionalGeneration(config), tokenizer=words,
        processor=Qwen2VLProcessor.for_tokenizer(words), transformer=transformer,
    ).save_pretrained(folder)  # fmt: skip
    return folder
