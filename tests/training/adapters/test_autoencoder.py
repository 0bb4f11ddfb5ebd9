"""The training autoencoder beside diffusers' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderKLQwenImage

from posterkit.training.adapters.autoencoder import Autoencoder, images_to_tensor

QWEN = {
    "base_dim": 8, "z_dim": 4, "dim_mult": [1, 2, 2, 2], "num_res_blocks": 1, "attn_scales": [],
    "temperal_downsample": [False, True, True],
    "latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [1.0, 2.0, 3.0, 4.0],
}  # fmt: skip
FLUX = {
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 4,
    "use_quant_conv": False, "use_post_quant_conv": False, "shift_factor": 0.5, "scaling_factor": 2.0,
}  # fmt: skip


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_one_temporal_tap_gives_what_the_video_convolution_gives(pictures):
    torch.manual_seed(0)
    ours = Autoencoder.from_config("qwen", QWEN)
    stock = AutoencoderKLQwenImage.from_config(QWEN)
    stock.load_state_dict(ours.module.state_dict())
    with torch.no_grad():
        raw = stock.encode(pictures.unsqueeze(2)).latent_dist.mean
        assert torch.allclose(ours.posterior(pictures)[0], raw.squeeze(2), atol=1e-5)
        assert torch.allclose(ours.reconstruct(raw.squeeze(2)), stock.decode(raw).sample.squeeze(2), atol=1e-5)


def test_several_frames_are_refused_rather_than_convolved_wrongly():
    ours = Autoencoder.from_config("qwen", QWEN)
    layer = ours.module.encoder.conv_in
    with pytest.raises(ValueError, match="got 2 frames"):
        layer(torch.zeros(1, 3, 2, 8, 8))


def test_latents_are_normalised_as_the_pipelines_do(pictures):
    torch.manual_seed(0)
    qwen, flux = Autoencoder.from_config("qwen", QWEN), Autoencoder.from_config("flux", FLUX)
    with torch.no_grad():
        raw = qwen.posterior(pictures)[0]
        mean, std = (torch.tensor(QWEN[f"latents_{n}"]).view(1, 4, 1, 1) for n in ("mean", "std"))
        assert torch.allclose(qwen.encode(pictures), (raw - mean) / std, atol=1e-6)
        raw = flux.posterior(pictures)[0]
        assert torch.allclose(flux.encode(pictures), (raw - 0.5) * 2.0, atol=1e-6)
        assert torch.allclose(flux.decode(flux.encode(pictures)), flux.reconstruct(raw), atol=1e-5)


def test_what_is_saved_opens_in_diffusers_and_draws_the_same(tmp_path, pictures):
    for family, config, stock in (("qwen", QWEN, AutoencoderKLQwenImage), ("flux", FLUX, AutoencoderKL)):
        torch.manual_seed(0)
        ours = Autoencoder.from_config(family, config)
        ours.save(tmp_path / family)
        again = stock.from_pretrained(tmp_path / family, torch_dtype=torch.float32).eval()
        batch = pictures.unsqueeze(2) if family == "qwen" else pictures
        with torch.no_grad():
            mean = again.encode(batch).latent_dist.mean
            assert torch.allclose(mean.reshape(2, 4, 4, 6), ours.posterior(pictures)[0], atol=0.05)


def test_pictures_of_several_sizes_come_back_in_order():
    ours = Autoencoder.from_config("flux", FLUX)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((16, 32), (32, 16), (16, 32))]
    latents = ours.encode_each(pictures)
    assert [tuple(latent.shape) for latent in latents] == [(4, 2, 4), (4, 4, 2), (4, 2, 4)]
    with torch.no_grad():
        alone = ours.encode(images_to_tensor(pictures[2:]))[0]
    assert torch.allclose(latents[2].float(), alone, atol=2e-3)
