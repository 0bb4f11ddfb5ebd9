"""What tests of the reward model start from: tiny vision-language folders, pairs on disk, a config for CPU seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tiny_qwen
import torch
import yaml
from PIL import Image
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from posterkit.pipelines.processor import Qwen2VLProcessor

AREA = 56 * 84


def save_tiny_vlm(folder: Path) -> Path:
    """A Qwen2.5-VL folder of the real class, random weights, two layers."""
    words = tiny_qwen.tokenizer()
    torch.manual_seed(0)
    model = tiny_qwen.text_encoder(words)
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    model.save_pretrained(folder)
    Qwen2VLProcessor.for_tokenizer(words).save_pretrained(folder)
    return folder


def save_tiny_qwen3(folder: Path) -> Path:
    """A Qwen3-VL folder of the real class, random weights: patches of 16 pixels, an output layer of its own."""
    words = tiny_qwen.tokenizer()
    marks = {f"{name}_token_id": words.convert_tokens_to_ids(f"<|{token}|>") for name, token in (
        ("image", "image_pad"), ("video", "video_pad"), ("vision_start", "vision_start"), ("vision_end", "vision_end")
    )}  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
    small: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16}
    config = Qwen3VLConfig(
        text_config={**small, "vocab_size": len(words), "num_hidden_layers": 2, "num_attention_heads": 2,
                     "num_key_value_heads": 2, "head_dim": 8, "rope_parameters": rope},
        vision_config={**small, "depth": 2, "num_heads": 2, "out_hidden_size": 16, "patch_size": 16,
                       "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]},
        tie_word_embeddings=False, **marks,
    )  # fmt: skip
    torch.manual_seed(0)
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    pictures = Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    Qwen2VLProcessor(pictures, words).save_pretrained(folder)
    return folder


def write_pairs(folder: Path, count: int, heldout: int = 2) -> Path:
    """Text pairs in the form of `mine_preferences.py`: a grey poster, chosen before a darker one; none bears text."""
    folder.mkdir(parents=True)
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as lines:
        for number in range(count + heldout):
            row = {"id": f"p{number}", "task": "text", "prompt": f'A grey poster, title "No {number}"', "gap": 0.5,
                   "instruction": f'A grey poster, title "No {number}"', "kind": "candidates", "references": [],
                   "split": "train" if number < count else "heldout"}  # fmt: skip
            for side, level in (("chosen", 200), ("rejected", 60)):
                row[side] = f"p{number}.{side}.png"
                Image.fromarray(np.full((64, 48, 3), level + number, np.uint8)).save(folder / row[side])
            lines.write(json.dumps(row) + "\n")
    return folder


def write_scorer(folder: Path, run: str, start: Path, **overrides: Any) -> Path:
    """A config of `reward_model.py`; its run folder is `folder/run`."""
    config = {"run_dir": str(folder / run), "init_from": str(start), "area": AREA, "batch_size": 2, "max_steps": 4,
              "learning_rate": 1e-3, "log_every": 1, "heldout_pairs": 2,
              "kinds": {"unedited": 1, "wrong_text": 1, "noise": 1},
              "data": {"count": 14, "heldout": 14, "sizes": [[64, 96]]}, **overrides}  # fmt: skip
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
