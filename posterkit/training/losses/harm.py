"""The loss of a harm detector on pairs of a safer and another text (MLLM-Protector)."""

# pyright: standard
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def harm_loss(
    safer: Tensor, other: Tensor, safer_harmful: Tensor, other_harmful: Tensor, *, rank: float = 1.0,
    reference_loss: bool = False,
) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """Cross-entropy of either side, and the chance that the other one is the more harmful of the two.

        L = BCE(safer) + BCE(other) - rank * mean log sigmoid(other - safer)

    The published one is written with the logit of safety, which is minus ours; values are the same.

    Args:
        safer, other: logits of harm `(B,)`, any float dtype; the loss is computed in float32.
        safer_harmful, other_harmful: whether they are harmful, `(B,)`, 0 or 1; both sides of a pair may be.
        rank: weight of the ranking.
        reference_loss: the cross-entropy counts twice, as in the code that was published.

    Returns:
        Scalar, mean over pairs; and figures: `accuracy`, the share of texts on the right side of 0, and `ranked`, the
        share of pairs in the right order (a tie is half right).

    Raises:
        ValueError: shapes differ.
    """
    if len({safer.shape, other.shape, safer_harmful.shape, other_harmful.shape}) != 1 or safer.ndim != 1:
        raise ValueError(f"logits and labels must be four vectors of one length, found {[*safer.shape]} and others")
    a, b = safer.float(), other.float()
    base = F.binary_cross_entropy_with_logits(a, safer_harmful.float())
    base = base + F.binary_cross_entropy_with_logits(b, other_harmful.float())
    loss = (2 if reference_loss else 1) * base - rank * F.logsigmoid(b - a).mean()
    right = ((a > 0) == safer_harmful.bool()).float().mean() + ((b > 0) == other_harmful.bool()).float().mean()
    ranked = (b > a).float().mean() + 0.5 * (b == a).float().mean()
    return loss, {"accuracy": right.item() / 2, "ranked": ranked.item()}
