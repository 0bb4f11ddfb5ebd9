"""Flow-GRPO: policy gradients on a sampler made random (arXiv 2505.05470), the baseline beside DiffusionNFT.

The flow's ODE dx = v dt becomes an SDE with the same marginals. With t = 1 noise and time running down, the score is
-(x + (1 - t) v) / t, for x + (1 - t) v is the expected noise, and Langevin noise of strength sigma adds
-sigma^2 / 2 times the score to the drift:

    dx = [v + sigma^2 / (2 t) (x + (1 - t) v)] dt + sigma dw,    sigma = a sqrt(t / (1 - t))
"""

# pyright: standard
from __future__ import annotations

import math

import torch
from torch import Tensor


def sde_step(x: Tensor, v: Tensor, t: Tensor, dt: Tensor, noise_level: float = 0.7) -> tuple[Tensor, Tensor]:
    """Where one random step from time t to t + dt leads: the next tokens are `mean + std * noise`.

    At t = 1, where sigma has no bound, it is taken at 1 - t = |dt|, as Flow-GRPO does.

    Args:
        x, v: noisy tokens and the velocity there, `(B, S, C)`, any float dtype; computed in float32.
        t: `(B,)` in (0, 1].
        dt: `(B,)`, negative, at least -t.
        noise_level: a; 0 is a step of the ODE, without noise and so without a likelihood. 0.7 as published.

    Returns:
        mean `(B, S, C)` and std `(B, 1, 1)`, float32.

    Raises:
        ValueError: shapes differ, a time lies outside (0, 1], a step does not go down, or a is negative.
    """
    if x.shape != v.shape or t.shape != x.shape[:1] or dt.shape != t.shape:
        raise ValueError(f"shapes differ: x {[*x.shape]}, v {[*v.shape]}, t {[*t.shape]}, dt {[*dt.shape]}")
    if not ((t > 0) & (t <= 1)).all() or not ((dt < 0) & (t + dt > -1e-6)).all():
        raise ValueError(f"a step goes down within (0, 1], found t {t.tolist()} and dt {dt.tolist()}")
    if noise_level < 0:
        raise ValueError(f"noise_level must not be negative, got {noise_level}")
    x, v = x.float(), v.float()
    t, dt = (one.float().view(-1, *[1] * (x.ndim - 1)) for one in (t, dt))
    variance = noise_level**2 * t / torch.where(t < 1, 1 - t, -dt)
    mean = x + (v + variance / (2 * t) * (x + (1 - t) * v)) * dt
    return mean, (variance * -dt).sqrt()


def step_log_prob(sample: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """How likely a step was, `(B,)` float32.

    The mean over elements, not the sum: the ratio of two policies over thousands of latents would leave any clip range
    at once. Clip ranges go with it (1e-4 and the like).

    Args:
        sample: the tokens that were drawn, `(B, S, C)`; no gradient reaches them.
        mean, std: from `sde_step`; std positive.
    """
    off = (sample.detach().float() - mean) / std
    log = -0.5 * off.square() - std.log() - 0.5 * math.log(2 * math.pi)
    return log.flatten(1).mean(1)


def policy_loss(
    log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, clip: float = 1e-4
) -> tuple[Tensor, dict[str, float]]:
    """-min(ratio A, clip(ratio, 1 - clip, 1 + clip) A) with ratio = exp(log_prob - old_log_prob) (PPO).

    At ratio 1 its gradient is the plain policy gradient, -A d log_prob.

    Args:
        log_prob, old_log_prob: of the same steps under the model and under the one that drew them, `(B,)`.
        advantages: `(B,)`, from `group_advantages`, usually held within [-5, 5].

    Returns:
        Scalar, mean over steps; and figures: `ratio`, its mean, and `clipped`, the share of steps whose ratio lies
        outside the range.

    Raises:
        ValueError: shapes differ, or clip is not positive.
    """
    if not log_prob.shape == old_log_prob.shape == advantages.shape:
        raise ValueError(f"shapes differ: {[*log_prob.shape]}, {[*old_log_prob.shape]} and {[*advantages.shape]}")
    loss, ratio = _clipped(log_prob, old_log_prob, advantages, clip)
    return loss.mean(), {"ratio": ratio.mean().item(), "clipped": ((ratio - 1).abs() > clip).float().mean().item()}


def token_policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, answer: Tensor, clip: float = 0.2
) -> tuple[Tensor, dict[str, float]]:
    """The same for the tokens of answers, each with a ratio of its own (GRPO, arXiv 2402.03300, without its KL term).

    Args:
        log_probs, old_log_probs: of the tokens under the model and under the one that drew them, `(B, L)`.
        advantages: `(B,)`, of the answers.
        answer: `(B, L)` bool, which tokens are the answers'; each has one at least.

    Returns:
        Scalar, mean over an answer's tokens, then over answers; and figures as of `policy_loss`, over tokens.

    Raises:
        ValueError: shapes differ, or clip is not positive.
    """
    if not log_probs.shape == old_log_probs.shape == answer.shape or advantages.shape != answer.shape[:1]:
        shapes = ", ".join(str([*one.shape]) for one in (log_probs, old_log_probs, advantages, answer))
        raise ValueError(f"shapes differ: {shapes}")
    loss, ratio = _clipped(log_probs, old_log_probs, advantages[:, None], clip)
    count, ratio = answer.sum(1), ratio[answer]
    figures = {"ratio": ratio.mean().item(), "clipped": ((ratio - 1).abs() > clip).float().mean().item()}
    return ((loss * answer).sum(1) / count).mean(), figures


def _clipped(log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """PPO's surrogate and its ratio, element by element."""
    if clip <= 0:
        raise ValueError(f"clip must be positive, got {clip}")
    advantages = advantages.detach().float()
    ratio = (log_prob.float() - old_log_prob.detach().float()).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages), ratio


def step_kl(mean: Tensor, reference: Tensor, std: Tensor) -> Tensor:
    """KL divergence of a step from the reference's, two Gaussians of one width: |mean - reference|^2 / (2 std^2).

    Args:
        mean, reference: of the model and of its frozen reference, `(B, S, C)`, from `sde_step` at the same x and t.
        std: of both, `(B, 1, 1)`, positive.

    Returns:
        Scalar, mean over batch and elements. Flow-GRPO's code leaves |dt| out of std^2; this is the divergence itself,
        1 / |dt| times as large.
    """
    return ((mean - reference.detach()).square() / (2 * std.square())).mean()
