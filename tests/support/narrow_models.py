"""The papers' models with their published layers and heads, made narrow: a head has eight numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_chat
import tiny_flux
import tiny_qwen
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel, QwenImageTransformer2DModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.pipelines.processor import Qwen2VLProcessor
from posterkit.training.adapters.language import LanguageAdapter

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
    words = tiny_qwen.tokenizer()
    encoder = narrow_qwen25(words)
    transformer = QwenImageTransformer2DModel(
        patch_size=2, in_channels=64, out_channels=16, num_layers=layers, joint_attention_dim=224, **HEADS
    )
    PosterOmniPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, max_shift=0.9),
        vae=tiny_qwen.vae(channels=16), text_encoder=encoder, tokenizer=words,
        processor=Qwen2VLProcessor.for_tokenizer(words), transformer=transformer,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def narrow_qwen25(words: Any) -> Qwen2_5_VLForConditionalGeneration:
    """Qwen2.5-VL-7B, the text encoder of Qwen-Image-Edit and BPO's critic."""
    torch.manual_seed(0)
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
        **_marks(words, vision="vision_pad"),
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


def save_narrow_critic(folder: Path) -> Path:
    words = tiny_qwen.tokenizer()
    words.chat_template = tiny_chat.TEMPLATE
    model = narrow_qwen25(words)
    for name, token in (("eos", "im_end"), ("bos", "endoftext"), ("pad", "endoftext")):
        setattr(model.generation_config, f"{name}_token_id", words.convert_tokens_to_ids(f"<|{token}|>"))
    model.save_pretrained(folder)
    Qwen2VLProcessor.for_tokenizer(words).save_pretrained(folder)
    return folder


def save_narrow_scorer(folder: Path) -> Path:
    """Qwen3-VL-8B: 36 layers of 32 heads, a vision tower of 27."""
    torch.manual_seed(0)
    words = tiny_qwen.tokenizer()
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 36,
            "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 8, "rope_parameters": rope,
        },
        vision_config={
            "depth": 27, "hidden_size": 64, "intermediate_size": 64, "num_heads": 16, "out_hidden_size": 64,
            "patch_size": 16, "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24],
        },
        tie_word_embeddings=False, **_marks(words),
    )  # fmt: skip
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    pictures = Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    Qwen2VLProcessor(pictures, words).save_pretrained(folder)
    return folder


def save_narrow_planner(folder: Path) -> Path:
    """Qwen2.5-7B over the plan language."""
    torch.manual_seed(0)
    layers = {"num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    sizes = {"hidden_size": 224, "intermediate_size": 224, "max_position_embeddings": 4096}
    LanguageAdapter.from_config({**layers, **sizes}).save(folder)
    return folder


def _marks(words: Any, **more: str) -> dict[str, Any]:
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    found = {**names, **more}.items()
    return {f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>") for name, token in found}
