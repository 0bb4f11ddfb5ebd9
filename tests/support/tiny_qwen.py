"""The real classes of a Qwen-Image-Edit-Plus pipeline, made so small that a call takes a fraction of a second."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip


def tokenizer() -> Qwen2Tokenizer:
    """One token a byte, and Qwen's special tokens."""
    vocab = {symbol: index for index, symbol in enumerate([*sorted(ByteLevel.alphabet()), SPECIAL[0]])}
    return Qwen2Tokenizer(vocab=vocab, merges=[], extra_special_tokens=list(SPECIAL[1:]))


def text_encoder(words: Qwen2Tokenizer, width: int = 16) -> Qwen2_5_VLForConditionalGeneration:
    ids = {name: words.convert_tokens_to_ids(f"<|{name}|>") for name in ("vision_start", "vision_end", "vision_pad")}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": width, "intermediate_size": width, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "rope_theta": 1000000.0,
            "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
        },
        vision_config={
            "depth": 2, "hidden_size": width, "intermediate_size": width, "num_heads": 2, "out_hidden_size": width,
        },
        vision_start_token_id=ids["vision_start"], vision_end_token_id=ids["vision_end"],
        vision_token_id=ids["vision_pad"], image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config)


def transformer(channels: int = 4, layers: int = 2, zero_cond_t: bool = False) -> QwenImageTransformer2DModel:
    return QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=channels * 4,
        out_channels=channels,
        num_layers=layers,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
        zero_cond_t=zero_cond_t,
    )


def vae(channels: int = 4) -> AutoencoderKLQwenImage:
    """8 pixels to a latent cell, as the real one."""
    return AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=channels,
        dim_mult=[1, 1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1 * index for index in range(channels)],
        latents_std=[1.0 + 0.1 * index for index in range(channels)],
    )


def components(layers: int = 2, zero_cond_t: bool = False, seed: int = 0) -> dict[str, Any]:
    """Every component of the pipeline in eval mode, seeded; the processor is posterkit's own (no torchvision)."""
    from posterkit.pipelines.processor import Qwen2VLProcessor

    made: dict[str, Any] = {"scheduler": FlowMatchEulerDiscreteScheduler(), "tokenizer": tokenizer()}
    torch.manual_seed(seed)
    made["transformer"] = transformer(layers=layers, zero_cond_t=zero_cond_t)
    torch.manual_seed(seed)
    made["vae"] = vae()
    torch.manual_seed(seed)
    made["text_encoder"] = text_encoder(made["tokenizer"])
    made["processor"] = Qwen2VLProcessor.for_tokenizer(made["tokenizer"])
    for model in ("transformer", "vae", "text_encoder"):
        made[model].eval()
    return made
