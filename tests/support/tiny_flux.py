"""The real classes of a FLUX.1 pipeline, made so small that a call takes a fraction of a second."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer


def clip_tokenizer() -> CLIPTokenizer:
    """One token a byte, another one where a word ends; 77 tokens at most, as CLIP-L."""
    letters = sorted(ByteLevel.alphabet())
    symbols = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={symbol: index for index, symbol in enumerate(symbols)}, merges=[], model_max_length=77)


def t5_tokenizer() -> T5Tokenizer:
    """A unigram model over single letters."""
    letters = ["▁", *(chr(code) for code in range(33, 127))]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), *((letter, -3.0) for letter in letters)]
    return T5Tokenizer(vocab=vocab, extra_ids=0)


def clip(tokenizer: CLIPTokenizer, width: int = 32) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=width, num_attention_heads=4,
            num_hidden_layers=2, projection_dim=width, max_position_embeddings=77,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def t5(tokenizer: T5Tokenizer, width: int = 32) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=width, num_heads=4, num_layers=2,
            relative_attention_num_buckets=8, feed_forward_proj="gated-gelu", is_encoder_decoder=False,
            dropout_rate=0.0,
        )
    )  # fmt: skip


def transformer(
    channels: int = 4, layers: int = 1, single_layers: int = 1, guidance: bool = True
) -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=channels * 4,
        num_layers=layers,
        num_single_layers=single_layers,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=guidance,
    )


def vae(channels: int = 4, levels: int = 4) -> AutoencoderKL:
    """2^(levels - 1) pixels to a latent cell; 8 as the real one."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=(4,) * levels,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=1,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1159,
        scaling_factor=0.3611,
    )


def components(seed: int = 0, channels: int = 4, levels: int = 4, **transformer_options: Any) -> dict[str, Any]:
    """What a stock FluxPipeline is made of, in eval mode, with weights from `seed`."""
    torch.manual_seed(seed)
    words, pieces = clip_tokenizer(), t5_tokenizer()
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        "vae": vae(channels, levels).eval(),
        "text_encoder": clip(words).eval(),
        "tokenizer": words,
        "text_encoder_2": t5(pieces).eval(),
        "tokenizer_2": pieces,
        "transformer": transformer(channels, **transformer_options).eval(),
    }
