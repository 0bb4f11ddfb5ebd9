"""The loss of a reasoning reward model (TraceLift): labels of five dimensions, their total, and pairs of a group."""

# pyright: standard
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from posterkit.rewards.models.plan_rubric import rubric_scores


def rubric_loss(
    dimensions: Tensor, total: Tensor, labels: Tensor, *, reasonings: int, temperature: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """Sum over dimensions of the cross-entropy, 0.5 Huber of the total, 0.7 of the pairs' logistic loss.

        L = sum_d CE_d + 0.5 Huber_1(sigmoid(total), gold) + 0.7 mean -log sigmoid((s_good - s_flawed) / temperature)

    Args:
        dimensions: logits of the labels 0 to 4, `(G n, D, 5)`: of each group its good reasoning, then its flawed ones.
        total: logits of the total, `(G n,)`.
        labels: `(G n, D)` integers; the gold total is their mean as a part of 4.
        reasonings: n, of a group.
        temperature: 1 as published, where a perfect pair still costs 0.31: scores lie in [0, 1].

    Returns:
        Scalar, mean over reasonings or pairs; and figures: `labels`, `total` and `pairs`, its terms, and `accuracy`,
        the share of pairs whose good side scores higher.

    Raises:
        ValueError: rows are no groups, or the temperature is not positive.
    """
    if reasonings < 2 or len(dimensions) % reasonings or labels.shape != dimensions.shape[:2]:
        raise ValueError(
            f"rows must be groups of {reasonings}, two at least, with a label for each dimension; found logits "
            f"{[*dimensions.shape]} and labels {[*labels.shape]}"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    best = dimensions.shape[2] - 1
    of_labels = F.cross_entropy(dimensions.float().flatten(0, 1), labels.flatten()) * labels.shape[1]
    of_total = F.huber_loss(total.float().sigmoid(), labels.float().mean(1) / best)
    scores = rubric_scores(dimensions, total).view(-1, reasonings)
    ahead = scores[:, :1] - scores[:, 1:]
    of_pairs = -F.logsigmoid(ahead / temperature).mean()
    figures = {"labels": of_labels.item(), "total": of_total.item(), "pairs": of_pairs.item(),
               "accuracy": (ahead > 0).float().mean().item()}  # fmt: skip
    return of_labels + 0.5 * of_total + 0.7 * of_pairs, figures
