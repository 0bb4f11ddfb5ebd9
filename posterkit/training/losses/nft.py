"""DiffusionNFT: learning from rewards on the forward process (PosterOmni section 3.5; arXiv 2509.16117).

A sampler (`old`) draws groups of posters for each prompt, a reward scores them, and the model is pulled towards the
posters that are better than their group and pushed away from those that are worse. No trajectories, no likelihoods.
"""

# pyright: standard
from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Mode = Literal["all", "positive_only", "negative_only", "one_only", "binary"]


def group_advantages(rewards: Tensor, groups: Tensor, global_std: bool = True) -> Tensor:
    """How much better each poster is than the others of its prompt: (R - mean of its group) / (std + 1e-4).

    Args:
        rewards: `(B,)`, all posters of an epoch.
        groups: `(B,)` integers, equal where the prompt is the same.
        global_std: divide by the spread of all rewards, as published; else by each group's own, which makes a group
            with hardly any spread count as much as the others. Both are population standard deviations.

    Returns:
        `(B,)` float32.

    Raises:
        ValueError: shapes differ, or a reward is not finite.
    """
    rewards, number, mean, std = _by_group(rewards, groups)
    spread = rewards.std(correction=0) if global_std else std[number]
    return (rewards - mean[number]) / (spread + 1e-4)


def kept_groups(
    rewards: Tensor, groups: Tensor, least_std: float = 0.05, most_mean: float = 0.9, strict: bool = False
) -> Tensor:
    """Which posters to train on: groups that are good already and alike teach nothing.

    A group is left out where its spread is below `least_std` and its mean above `most_mean`, or where all its rewards
    are equal. Where `strict`, either of the two is reason enough, as in the code of Edit-R1.

    Args:
        rewards, groups: as for `group_advantages`.

    Returns:
        `(B,)` bool.

    Raises:
        ValueError: shapes differ, or a reward is not finite.
    """
    rewards, number, mean, std = _by_group(rewards, groups)
    equal = torch.stack([(rewards[number == one].diff() == 0).all() for one in range(len(mean))])
    alike, good = std < least_std, mean > most_mean
    return ~(equal | ((alike | good) if strict else (alike & good)))[number]


def optimality(advantages: Tensor, clip: float = 5.0, mode: Mode = "all") -> Tensor:
    """r, how good a poster counts: A / (2 clip) + 1/2, with A held in [-clip, clip]; 1/2 is as good as its group.

    Args:
        advantages: `(B,)`.
        mode: what becomes of A: "all" as it is; "positive_only" and "negative_only" without the other side;
            "one_only" 1 where it is positive, else 0; "binary" its sign.

    Returns:
        `(B,)` float32 in [0, 1].

    Raises:
        ValueError: no such mode, or clip is not positive.
    """
    if clip <= 0:
        raise ValueError(f"clip must be positive, got {clip}")
    a = advantages.float().clamp(-clip, clip)
    if mode == "positive_only":
        a = a.clamp(min=0)
    elif mode == "negative_only":
        a = a.clamp(max=0)
    elif mode == "one_only":
        a = (a > 0).float()
    elif mode == "binary":
        a = a.sign()
    elif mode != "all":
        raise ValueError(f"mode {mode!r} is unknown; accepted are all, positive_only, negative_only, one_only, binary")
    return (a / (2 * clip) + 0.5).clamp(0, 1)


def nft_loss(
    v: Tensor, v_old: Tensor, v_ref: Tensor, x_t: Tensor, x0: Tensor, t: Tensor, r: Tensor,
    beta: float = 1.0, clip: float = 5.0, kl: float = 1e-4,
) -> tuple[Tensor, dict[str, float]]:  # fmt: skip
    """The DiffusionNFT objective at one noisy sample of each poster.

        L = (clip / beta) [r l(v+) + (1 - r) l(v-)] + kl |v - v_ref|^2
        v+ = beta v + (1 - beta) v_old,    v- = (1 + beta) v_old - beta v
        l(u) = mean |x_t - t u - x_0|^2 / sg(max(mean |x_t - t u - x_0|, 1e-5))

    Where the model is its sampler, the gradient pulls towards the poster for r > 1/2, pushes away for r < 1/2,
    vanishes for r = 1/2, and does not depend on beta. r = 1 and beta = 1 is fine-tuning on the posters.

    Args:
        v, v_old, v_ref: velocity of the model, of its sampler and of the frozen reference at `x_t`, `(B, S, C)`, any
            float dtype; the loss is computed in float32, and only `v` receives a gradient.
        x_t: (1 - t) x0 + t noise, `(B, S, C)`.
        x0: the sampler's finished posters, `(B, S, C)`.
        t: times `(B,)` in (0, 1].
        r: `(B,)` in [0, 1], from `optimality`.
        beta: how far v+ and v- lie from the old policy; a smaller one guides more strongly.
        clip: what the advantages were held within; it undoes their scaling.
        kl: weight of the distance from the reference, a stand-in for a KL divergence.

    Returns:
        Scalar, mean over the batch; and figures: `policy` and `kl` (unweighted), the two terms; `from_old`, the mean
        squared distance from the sampler; `norm_ratio`, the mean of ||v|| / ||v_ref||, which rises where learning from
        rewards inflates velocities and pictures lose their realism (NormGuard, arXiv 2606.27771).

    Raises:
        ValueError: shapes differ, r lies outside [0, 1], or beta or clip is not positive.
    """
    if not v.shape == v_old.shape == v_ref.shape == x_t.shape == x0.shape:
        raise ValueError(f"shapes differ: {', '.join(str([*x.shape]) for x in (v, v_old, v_ref, x_t, x0))}")
    if t.shape != v.shape[:1] or r.shape != v.shape[:1]:
        raise ValueError(f"t {[*t.shape]} and r {[*r.shape]} must hold one number for each of {len(v)} posters")
    if beta <= 0 or clip <= 0:
        raise ValueError(f"beta and clip must be positive, got {beta} and {clip}")
    if not ((r >= 0) & (r <= 1)).all():
        raise ValueError(f"r must lie in [0, 1], found {r.min().item():g} to {r.max().item():g}")
    v, r = v.float(), r.float()
    v_old, v_ref, x_t, x0 = (x.detach().float() for x in (v_old, v_ref, x_t, x0))
    time = t.float().view(-1, *[1] * (v.ndim - 1))
    better = _normalised_error(x_t - time * (beta * v + (1 - beta) * v_old) - x0)
    worse = _normalised_error(x_t - time * ((1 + beta) * v_old - beta * v) - x0)
    policy = clip / beta * (r * better + (1 - r) * worse).mean()
    far = (v - v_ref).square().mean()
    figures = {
        "policy": policy.item(),
        "kl": far.item(),
        "from_old": (v - v_old).square().mean().item(),
        "norm_ratio": (v.flatten(1).norm(dim=1) / v_ref.flatten(1).norm(dim=1).clamp(min=1e-12)).mean().item(),
    }
    return policy + kl * far, figures


def sampler_decay(step: int, kind: Literal[0, 1, 2]) -> float:
    """d in old <- d old + (1 - d) model, after `step` optimiser steps; as published.

    0: always 0, the sampler is the model; 1: rises by 0.001 a step to 0.5; 2: 0 for 75 steps, then rises by 0.0075 a
    step to 0.999.

    Raises:
        ValueError: no such kind.
    """
    if kind == 0:
        return 0.0
    if kind == 1:
        return min(0.001 * step, 0.5)
    if kind == 2:
        return min(0.0075 * max(step - 75, 0), 0.999)
    raise ValueError(f"decay must be 0, 1 or 2, got {kind}")


def _normalised_error(error: Tensor) -> Tensor:
    """Mean square over the mean absolute value, of each sample `(B,)`; no gradient through the divisor."""
    error = error.flatten(1)
    return error.square().mean(1) / error.detach().abs().mean(1).clamp(min=1e-5)


def _by_group(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rewards in float32, the number of each one's group, and the groups' means and spreads `(G,)`."""
    if rewards.shape != groups.shape or rewards.ndim != 1 or not len(rewards):
        raise ValueError(f"rewards {[*rewards.shape]} and groups {[*groups.shape]} must be vectors of one length")
    if not rewards.isfinite().all():
        raise ValueError(
            f"reward {int((~rewards.isfinite()).nonzero()[0])} is {rewards[~rewards.isfinite()][0].item()}"
        )
    rewards = rewards.float()
    names, number = groups.unique(return_inverse=True)
    members = [rewards[number == one] for one in range(len(names))]
    mean = torch.stack([one.mean() for one in members])
    return rewards, number, mean, torch.stack([one.std(correction=0) for one in members])
