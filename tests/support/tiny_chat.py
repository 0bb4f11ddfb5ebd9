"""A folder with a tiny untrained Qwen2.5-VL that can be chatted with."""

from __future__ import annotations

from pathlib import Path

import tiny_qwen
import torch

from posterkit.pipelines.processor import Qwen2VLProcessor

# the shape of Qwen2.5-VL's own template
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save(folder: Path) -> Path:
    torch.manual_seed(0)
    words = tiny_qwen.tokenizer()
    words.chat_template = TEMPLATE
    model = tiny_qwen.text_encoder(words)
    model.config.eos_token_id = model.generation_config.eos_token_id = words.convert_tokens_to_ids("<|im_end|>")
    model.generation_config.bos_token_id = model.generation_config.pad_token_id = words.convert_tokens_to_ids(
        "<|endoftext|>"
    )
    model.save_pretrained(folder)
    Qwen2VLProcessor.for_tokenizer(words).save_pretrained(folder)
    return folder
