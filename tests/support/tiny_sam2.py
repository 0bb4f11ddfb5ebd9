"""The real SAM-2 class, made so small that a call takes a fraction of a second."""

from __future__ import annotations

import torch
from transformers import Sam2Config, Sam2Model


def sam2(seed: int = 0) -> Sam2Model:
    """Random weights; sees 64x64 pixels."""
    torch.manual_seed(seed)
    config = Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
                "image_size": [64, 64], "blocks_per_stage": [1, 1, 2, 1], "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 2, 4, 8], "window_size_per_stage": [4, 4, 4, 2],
                "global_attention_blocks": [3], "window_positional_embedding_background_size": [4, 4],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": 16,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "iou_head_hidden_dim": 16, "attention_downsample_rate": 2,
        },
    )  # fmt: skip
    return Sam2Model(config).eval()
