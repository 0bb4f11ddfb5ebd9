"""The Qwen adapter: the head that starts on its own place in the first reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import QwenImageTransformer2DModel
from diffusers.models.transformers.transformer_qwenimage import apply_rotary_emb_qwen

from posterkit.training.adapters.qwen import look_at_reference

ROWS, COLUMNS = 12, 8


@pytest.fixture
def transformer() -> QwenImageTransformer2DModel:
    torch.manual_seed(0)
    return QwenImageTransformer2DModel(
        in_channels=8, out_channels=2, num_layers=3, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=16, axes_dims_rope=(4, 14, 14),
    )  # fmt: skip


def weights(transformer: QwenImageTransformer2DModel, block: int, references: int = 1) -> torch.Tensor:
    """Attention of every image token to every other, `(heads, S, S)`; the target's tokens come first."""
    attention: Any = transformer.transformer_blocks[block].attn
    states = torch.randn(1, (1 + references) * ROWS * COLUMNS, 64, generator=torch.Generator().manual_seed(1))
    codes = transformer.pos_embed([[(1, ROWS, COLUMNS)] * (1 + references)], max_txt_seq_len=1, device="cpu")[0]
    query = attention.norm_q(attention.to_q(states).unflatten(-1, (2, 32)))
    key = attention.norm_k(attention.to_k(states).unflatten(-1, (2, 32)))
    query, key = (apply_rotary_emb_qwen(one, codes, use_real=False) for one in (query, key))
    return (torch.einsum("bqhd,bkhd->bhqk", query, key) / 32**0.5).softmax(-1)[0]


def test_a_target_token_looks_at_its_own_place_in_the_first_of_two_references(transformer):
    look_at_reference(transformer)
    tokens = torch.arange(ROWS * COLUMNS)
    for block in (0, 2):
        seen = weights(transformer, block, references=2)[0, tokens]
        assert seen[tokens, tokens + ROWS * COLUMNS].min() > 0.9
        assert seen[tokens, tokens + 2 * ROWS * COLUMNS].max() < 0.05


def test_the_other_heads_and_blocks_look_where_they_looked(transformer):
    before = [weights(transformer, block) for block in range(3)]
    look_at_reference(transformer)
    assert torch.equal(weights(transformer, 1), before[1])
    for block in (0, 2):
        after = weights(transformer, block)
        moved, kept = (
            torch.corrcoef(torch.stack([after[n].flatten(), before[block][n].flatten()]))[0, 1] for n in (0, 1)
        )
        assert kept > 0.85 and moved < 0.3


def test_blocks_that_are_not_there_are_left_out(transformer):
    look_at_reference(transformer, blocks=(0, 7))
    assert weights(transformer, 0)[0, 0, ROWS * COLUMNS] > 0.9
