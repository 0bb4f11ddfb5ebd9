"""Merging LoRAs in parameter space: what PosterOmni found worse than distilling them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from posterkit.training.lora_files import LoraFile


def linear_merge(loras: Sequence[LoraFile], shares: Sequence[float] | None = None) -> LoraFile:
    """A weighted sum of the factors, as peft's "linear" has it: A = sum sqrt(w s) A_i, B = sum sqrt(w s) B_i.

    B A then holds what was wanted, sum w s B_i A_i, and the cross terms B_i A_j, which nobody trained.

    Args:
        loras: of one rank and the same layers, from one base; s is the scale of each.
        shares: w of each, not negative; equal ones that sum to 1 where None.

    Returns:
        A LoRA of the same rank and scale 1.

    Raises:
        ValueError: ranks, layers or bases differ, one is a DoRA, or the shares do not fit.
    """
    weights = _weights(loras, shares)
    merged: dict[str, Tensor] = {}
    for layer in loras[0].layers:
        for factor in ("lora_A", "lora_B"):
            key = f"{layer}.{factor}.weight"
            parts = [lora.weights[key].float() for lora in loras]
            if len({part.shape for part in parts}) > 1:
                raise ValueError(f"{key}: a linear merge needs equal shapes, found {[tuple(p.shape) for p in parts]}")
            merged[key] = torch.stack([math.sqrt(w) * part for w, part in zip(weights, parts, strict=True)]).sum(0)
    return _made(loras, merged, len(merged[f"{loras[0].layers[0]}.lora_A.weight"]))


def svd_merge(loras: Sequence[LoraFile], rank: int, shares: Sequence[float] | None = None) -> LoraFile:
    """The matrix of a given rank nearest to sum w s B_i A_i, split evenly between the two factors.

    The sum is never built: the joined factors are orthogonalised, and only their small core is decomposed.

    Args:
        loras: of the same layers, from one base; their ranks may differ, s is the scale of each.
        rank: of the result; a layer whose sum has a lower one is filled up with zeros.
        shares: w of each, not negative; equal ones that sum to 1 where None.

    Returns:
        A LoRA of this rank and scale 1.

    Raises:
        ValueError: layers or bases differ, one is a DoRA, or rank or shares do not fit.
    """
    if rank < 1:
        raise ValueError(f"rank must be at least 1, got {rank}")
    weights = _weights(loras, shares)
    merged: dict[str, Tensor] = {}
    for layer in loras[0].layers:
        downs = [lora.weights[f"{layer}.lora_A.weight"].float() for lora in loras]
        ups = [w * lora.weights[f"{layer}.lora_B.weight"].float() for w, lora in zip(weights, loras, strict=True)]
        left, up = torch.linalg.qr(torch.cat(ups, 1))
        right, down = torch.linalg.qr(torch.cat(downs, 0).T)
        u, sizes, vh = torch.linalg.svd(up @ down.T, full_matrices=False)
        root = sizes[:rank].sqrt()
        empty = rank - len(root)
        a, b = root[:, None] * vh[:rank] @ right.T, left @ u[:, :rank] * root
        merged[f"{layer}.lora_A.weight"] = torch.nn.functional.pad(a, (0, 0, 0, empty))
        merged[f"{layer}.lora_B.weight"] = torch.nn.functional.pad(b, (0, empty))
    return _made(loras, merged, rank)


def _weights(loras: Sequence[LoraFile], shares: Sequence[float] | None) -> list[float]:
    """w s of each LoRA, after checking that they can be merged at all."""
    if not loras:
        raise ValueError("there is no LoRA to merge")
    if shares is not None and (len(shares) != len(loras) or min(shares) < 0):
        raise ValueError(f"shares must be {len(loras)} numbers of at least 0, got {list(shares)}")
    first = loras[0]
    for lora in loras:
        if any(key.endswith(".lora_magnitude_vector") for key in lora.weights):
            raise ValueError("a DoRA has a magnitude for its own base's directions; only plain LoRAs merge")
        if odd := sorted(set(lora.layers) ^ set(first.layers)):
            raise ValueError(f"the LoRAs change other layers (first difference: {odd[0]})")
        for key in ("kind", "weights"):
            if lora.base.get(key) != first.base.get(key):
                raise ValueError(f"the LoRAs have other bases: {first.base} and {lora.base}")
    return [w * lora.scale for w, lora in zip(shares or [1 / len(loras)] * len(loras), loras, strict=True)]


def _made(loras: Sequence[LoraFile], weights: dict[str, Tensor], rank: int) -> LoraFile:
    targets = sorted({target for lora in loras for target in lora.config.get("target_modules", lora.layers)})
    return LoraFile(
        weights, {"r": rank, "lora_alpha": rank, "target_modules": targets, "use_dora": False}, loras[0].base
    )
