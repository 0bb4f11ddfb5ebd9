"""The real classes of a CLIP folder, made so small that a score takes a few milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import tiny_flux
import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

SIDE, TOKENS = 32, 24  # px of its pictures, and tokens of its texts
LAYERS = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2}
VISION = {**LAYERS, "image_size": SIDE, "patch_size": 8}


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Model, tokenizer and image processor with random weights, named as hub folders of any age name them."""
    words = tiny_flux.clip_tokenizer()
    special = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {**LAYERS, **special, "vocab_size": len(words), "max_position_embeddings": TOKENS}
    torch.manual_seed(seed)
    CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)).save_pretrained(folder)
    words.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=size).save_pretrained(folder)
    file = folder / "preprocessor_config.json"
    config = json.loads(file.read_text()) | {"image_processor_type": "CLIPImageProcessor"}
    file.write_text(json.dumps(config | {"feature_extractor_type": "CLIPFeatureExtractor"}))
    return folder
