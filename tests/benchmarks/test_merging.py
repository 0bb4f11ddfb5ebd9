"""Merging LoRAs: small matrices by hand, and a plain decomposition of the whole sum."""

from __future__ import annotations

import pytest
import tiny_flux
import torch
from merging import linear_merge, svd_merge

from posterkit.training.lora import Trainable, add_adapter, load_adapter, save_adapter
from posterkit.training.lora_files import LoraFile, read_lora, write_lora


def lora(a, b, scale: float = 1.0, **base) -> LoraFile:
    """A LoRA of one layer."""
    a, b = torch.tensor(a), torch.tensor(b)
    config = {"r": len(a), "lora_alpha": scale * len(a), "target_modules": ["layer"], "use_dora": False}
    return LoraFile({"layer.lora_A.weight": a, "layer.lora_B.weight": b}, config, base)


def product(merged: LoraFile) -> torch.Tensor:
    return merged.scale * merged.weights["layer.lora_B.weight"] @ merged.weights["layer.lora_A.weight"]


def test_a_linear_merge_of_two_rank_one_loras_has_their_cross_terms():
    first, second = lora([[2.0, 0.0]], [[1.0], [0.0]]), lora([[0.0, 4.0]], [[0.0], [1.0]])
    # A = (2, 4) / sqrt 2, B = (1, 1) / sqrt 2: each product is halved, and each up meets the other's down
    assert torch.allclose(product(linear_merge([first, second])), torch.tensor([[1.0, 2.0], [1.0, 2.0]]))


def test_an_svd_merge_with_room_is_the_exact_mean_of_both():
    first, second = lora([[2.0, 0.0]], [[1.0], [0.0]]), lora([[0.0, 4.0]], [[0.0], [1.0]])
    assert torch.allclose(product(svd_merge([first, second], 2)), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), atol=1e-6)


def test_an_svd_merge_without_room_keeps_the_larger_direction():
    first, second = lora([[2.0, 0.0]], [[1.0], [0.0]]), lora([[0.0, 4.0]], [[0.0], [1.0]])
    merged = svd_merge([first, second], 1)
    assert torch.allclose(product(merged), torch.tensor([[0.0, 0.0], [0.0, 2.0]]), atol=1e-6)
    down, up = merged.weights["layer.lora_A.weight"], merged.weights["layer.lora_B.weight"]
    assert down.norm().item() == pytest.approx(up.norm().item(), rel=1e-5)


def test_shares_and_scales_multiply_each_product():
    first, second = lora([[2.0, 0.0]], [[1.0], [0.0]], scale=0.5), lora([[0.0, 4.0]], [[0.0], [1.0]], scale=2.0)
    merged = svd_merge([first, second], 2, shares=[3.0, 0.25])
    assert torch.allclose(product(merged), torch.tensor([[3.0, 0.0], [0.0, 2.0]]), atol=1e-6)


def test_an_svd_merge_is_the_truncated_decomposition_of_the_whole_sum():
    torch.manual_seed(0)
    loras = [lora(torch.randn(r, 9).tolist(), torch.randn(7, r).tolist(), scale) for r, scale in ((3, 2.0), (4, 0.5))]
    whole = sum(0.5 * product(one) for one in loras)
    u, sizes, vh = torch.linalg.svd(whole)
    for rank in (1, 3, 8):
        kept = min(rank, len(sizes))
        expected = u[:, :kept] * sizes[:kept] @ vh[:kept]
        merged = svd_merge(loras, rank)
        assert merged.weights["layer.lora_A.weight"].shape == (rank, 9)
        assert merged.weights["layer.lora_B.weight"].shape == (7, rank)
        assert torch.allclose(product(merged), expected, atol=1e-5)


def test_merges_of_a_real_transformers_loras_load_again_with_the_sums_that_were_written(tmp_path):
    torch.manual_seed(0)
    transformer = tiny_flux.transformer()
    files = []
    for name, alpha in (("local", 4.0), ("global", 2.0)):
        add_adapter(transformer, name, Trainable("lora", rank=4, alpha=alpha, targets=["to_q", "to_out.0"]))
        for path, parameter in transformer.named_parameters():
            if f".{name}." in path:
                torch.nn.init.normal_(parameter)
        save_adapter(transformer, name, tmp_path / name)
        files.append(read_lora(tmp_path / name))
    write_lora(linear_merge(files, [0.7, 0.3]), tmp_path / "linear")
    write_lora(svd_merge(files, 6, [0.7, 0.3]), tmp_path / "svd")
    for kind in ("linear", "svd"):
        load_adapter(transformer, kind, tmp_path / kind)
    for path, layer in transformer.named_modules():
        if not hasattr(layer, "lora_A"):
            continue
        factors = {name: (layer.lora_A[name].weight, layer.lora_B[name].weight) for name in layer.lora_A}
        (a, b), (c, d) = factors["local"], factors["global"]
        d = 0.5 * d  # as it is saved: alpha / r is in B
        w, s = 0.7**0.5, 0.3**0.5
        assert torch.allclose(layer.get_delta_weight("linear"), (w * b + s * d) @ (w * a + s * c), atol=1e-5), path
        u, sizes, vh = torch.linalg.svd(0.7 * b @ a + 0.3 * d @ c)
        assert torch.allclose(layer.get_delta_weight("svd"), u[:, :6] * sizes[:6] @ vh[:6], atol=1e-5), path


@pytest.mark.parametrize(
    ("loras", "shares", "said"),
    [
        ([], None, "no LoRA to merge"),
        ([lora([[1.0]], [[1.0]]), lora([[1.0]], [[1.0]])], [1.0], "shares must be 2 numbers"),
        ([lora([[1.0]], [[1.0]]), lora([[1.0]], [[1.0]])], [1.0, -1.0], "shares must be 2 numbers of at least 0"),
        ([lora([[1.0]], [[1.0]]), lora([[1.0], [1.0]], [[1.0, 1.0]])], None, "needs equal shapes"),
        ([lora([[1.0]], [[1.0]], kind="A"), lora([[1.0]], [[1.0]], kind="B")], None, "other bases"),
        ([lora([[1.0]], [[1.0]], weights="1"), lora([[1.0]], [[1.0]], weights="2")], None, "other bases"),
    ],
)
def test_what_cannot_be_merged_is_said(loras, shares, said):
    with pytest.raises(ValueError, match=said):
        linear_merge(loras, shares)


def test_loras_of_other_layers_and_doras_are_not_merged():
    plain = lora([[1.0]], [[1.0]])
    other = LoraFile({key.replace("layer", "block"): w for key, w in plain.weights.items()}, plain.config, {})
    with pytest.raises(ValueError, match="first difference: block"):
        svd_merge([plain, other], 1)
    dora = LoraFile({**plain.weights, "layer.lora_magnitude_vector": torch.ones(1)}, plain.config, {})
    with pytest.raises(ValueError, match="a DoRA has a magnitude"):
        svd_merge([plain, dora], 1)
    with pytest.raises(ValueError, match="rank must be at least 1"):
        svd_merge([plain, plain], 0)
