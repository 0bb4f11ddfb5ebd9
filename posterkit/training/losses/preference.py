"""Losses on preference pairs: of velocities (PosterCraft 3.3), scores (PosterOmni 3.4) and answers (BPO)."""

# pyright: standard
from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from posterkit.training.losses.flow import velocity_error


def dpo_loss(v: Tensor, reference: Tensor, target: Tensor, beta: float) -> tuple[Tensor, dict[str, float]]:
    """Diffusion-DPO with the velocity's error in place of the likelihood (Flow-GRPO's offline baseline).

        L = -log sigmoid(-(beta / 2) ((e_w - e_w_ref) - (e_l - e_l_ref))),    e = mean over elements of |v - target|^2

    Both sides of a pair share one time and one noise. ln 2 where the model is its reference.

    Args:
        v, reference: velocity of the model and of its frozen reference at the same noisy tokens, `(2B, S, C)`, any
            float dtype: B chosen posters, then the B rejected ones in the same order. The loss is computed in
            float32, and no gradient reaches the reference.
        target: noise - x_0, likewise.
        beta: how far the model may leave its reference; the smaller, the farther. It goes with a mean over elements:
            100 in Flow-GRPO for SD3.5 at 512 x 512, while values such as 2500 belong to other bases.

    Returns:
        Scalar, mean over pairs; and figures: `accuracy`, the share of pairs that the model has moved towards the
        chosen side; `chosen_error` and `rejected_error`, e of either side. Where the chosen side's error rises,
        beta is too small or the learning rate too high.

    Raises:
        ValueError: shapes differ, rows are no pairs, or beta is not positive.
    """
    if len(v) % 2 or not len(v):
        raise ValueError(f"rows must be chosen posters, then as many rejected ones; found {len(v)} rows")
    if beta <= 0:
        raise ValueError(f"beta must be positive, got {beta}")
    errors = velocity_error(v, target).flatten(1).mean(1)
    chosen, rejected = errors.chunk(2)
    won, lost = (errors - velocity_error(reference.detach(), target).flatten(1).mean(1)).chunk(2)
    behind = won - lost
    figures = {
        "accuracy": (behind < 0).float().mean().item(),
        "chosen_error": chosen.mean().item(),
        "rejected_error": rejected.mean().item(),
    }
    return -F.logsigmoid(-beta / 2 * behind).mean(), figures


def answer_dpo_loss(
    policy: Tensor, reference: Tensor, lengths: Tensor, beta: float, image_weight: float = 0.0, by_length: bool = False
) -> tuple[Tensor, dict[str, float]]:
    """DPO on answers (Rafailov et al. 2023, as BPO uses it), and mDPO's image-conditional term.

        L = -log sigmoid(beta (r(y+, I) - r(y-, I))) - image_weight log sigmoid(beta (r(y+, I) - r(y+, I_weak)))
        r(y, I) = log pi(y | I) - log pi_ref(y | I)

    The second term prefers the true answer on the clean picture to the same answer on the weakened one, so that a
    preference of words alone does not suffice. (1 + image_weight) ln 2 where the model is its reference.

    Args:
        policy, reference: summed log-probabilities of answers by the model and by its frozen reference, any float
            dtype; no gradient reaches the reference. `(2B,)`: B true answers, then the B rejected ones; with
            `image_weight`, `(3B,)`: then the true ones on weakened pictures.
        lengths: tokens of each answer, likewise.
        beta: how far the model may leave its reference; 0.1 in BPO, for sums.
        by_length: r is divided by the tokens, so that long answers weigh no more; beta is then tens of times larger.

    Returns:
        Scalar, mean over pairs; and figures: `accuracy`, the share of pairs whose true answer gained more; `chosen`
        and `rejected`, mean r of either side, and with the image term `image_accuracy`.

    Raises:
        ValueError: rows are no pairs or triples, or beta or the weight is out of range.
    """
    sides = 3 if image_weight else 2
    if len(policy) % sides or not len(policy) or not policy.shape == reference.shape == lengths.shape:
        raise ValueError(f"answers must come in {sides} equal parts; found {len(policy)}, {len(reference)} references")
    if beta <= 0 or not 0 <= image_weight <= 1:
        raise ValueError(f"beta must be positive and image_weight lie in [0, 1], got {beta} and {image_weight}")
    ratios = policy.float() - reference.detach().float()
    chosen, rejected, *unseen = (ratios / lengths if by_length else ratios).chunk(sides)
    loss = -F.logsigmoid(beta * (chosen - rejected)).mean()
    figures = {
        "accuracy": (chosen > rejected).float().mean().item(),
        "chosen": chosen.mean().item(),
        "rejected": rejected.mean().item(),
    }
    if unseen:
        loss = loss - image_weight * F.logsigmoid(beta * (chosen - unseen[0])).mean()
        figures["image_accuracy"] = (chosen > unseen[0]).float().mean().item()
    return loss, figures


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> tuple[Tensor, dict[str, float]]:
    """-log sigmoid(r(chosen) - r(rejected)): the chance that the better poster wins (PosterOmni section 3.4).

    Args:
        chosen, rejected: scores `(B,)`, any float dtype; the loss is computed in float32.

    Returns:
        Scalar, mean over pairs; and figures: `accuracy`, the share of pairs in the right order (a tie is half right),
        and `margin`, the mean difference.

    Raises:
        ValueError: shapes differ.
    """
    if chosen.shape != rejected.shape or chosen.ndim != 1:
        raise ValueError(f"scores must be two vectors of one length, found {[*chosen.shape]} and {[*rejected.shape]}")
    margin = chosen.float() - rejected.float()
    right = (margin > 0).float() + 0.5 * (margin == 0)
    return -F.logsigmoid(margin).mean(), {"accuracy": right.mean().item(), "margin": margin.mean().item()}
