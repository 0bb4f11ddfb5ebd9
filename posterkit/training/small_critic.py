"""Makes a small untrained Qwen2.5-VL over a closed vocabulary, to be taught about posters."""

# pyright: standard
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from posterkit.critic.trained import END, TEMPLATE
from posterkit.pipelines.processor import Qwen2VLProcessor
from posterkit.training.tokenizers import qwen_tokenizer


@dataclass
class SmallCritic:
    """The size of a small critic.

    Attributes:
        width, layers, heads: of the language model.
        vision_width, vision_layers: of the vision transformer.
    """

    width: int = 96
    layers: int = 3
    heads: int = 4
    vision_width: int = 96
    vision_layers: int = 2


def make_small_critic(folder: str | Path, texts: Iterable[str], size: SmallCritic, seed: int = 0) -> Path:
    """Write a transformers folder that `TrainedCritic` and `LocalModel` open.

    Weights begin at 1 / sqrt(width): at the stock 0.02 attention of so narrow a model is uniform, and it learns no
    places for hundreds of steps.

    Args:
        texts: every word of these is one token of its vocabulary; other words are spelt.

    Raises:
        ValueError: the width does not fit the heads.
    """
    if size.width % (8 * size.heads):
        raise ValueError(f"a critic's width must be a multiple of 8 times its heads, got {size.width}, {size.heads}")
    words = qwen_tokenizer(texts)
    words.chat_template = TEMPLATE
    quarter = size.width // size.heads // 8
    ids: dict[str, Any] = {name: words.convert_tokens_to_ids(f"<|{name}|>")
           for name in ("vision_start", "vision_end", "image_pad", "video_pad")}  # fmt: skip
    end = words.convert_tokens_to_ids(END)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words), "bos_token_id": None, "eos_token_id": end, "pad_token_id": words.pad_token_id,
            "hidden_size": size.width, "intermediate_size": 3 * size.width, "initializer_range": size.width**-0.5,
            "num_hidden_layers": size.layers, "num_attention_heads": size.heads, "num_key_value_heads": size.heads,
            "max_position_embeddings": 1024, "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                "mrope_section": [2 * quarter, quarter, quarter]},
        },
        vision_config={
            "depth": size.vision_layers, "hidden_size": size.vision_width, "num_heads": size.heads,
            "intermediate_size": 3 * size.vision_width, "out_hidden_size": size.width,
            "initializer_range": size.vision_width**-0.5, "fullatt_block_indexes": [*range(size.vision_layers)],
        },
        vision_start_token_id=ids["vision_start"], vision_end_token_id=ids["vision_end"],
        image_token_id=ids["image_pad"], video_token_id=ids["video_pad"],
        tie_word_embeddings=True,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.config.eos_token_id = model.generation_config.eos_token_id = end
    model.generation_config.bos_token_id = model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(folder)
    Qwen2VLProcessor.for_tokenizer(words).save_pretrained(folder)
    return Path(folder)
