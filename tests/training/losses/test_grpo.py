"""The SDE sampler on a Gaussian whose velocity is known, its likelihood, and the policy gradient."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from posterkit.training.losses import (
    group_advantages,
    policy_loss,
    sde_step,
    step_kl,
    step_log_prob,
    token_policy_loss,
)

MEAN, SPREAD = 1.5, 0.4  # of the data


def velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """E[noise - x0 | x] for Gaussian data, by the formula for conditional means of joint Gaussians."""
    t = t.view(-1, *[1] * (x.ndim - 1))
    variance = (1 - t) ** 2 * SPREAD**2 + t**2
    covariance = t - (1 - t) * SPREAD**2
    return -MEAN + covariance / variance * (x - (1 - t) * MEAN)


def marginal(t: float) -> tuple[float, float]:
    """Mean and spread of (1 - t) x0 + t noise, which the ODE keeps to."""
    return (1 - t) * MEAN, math.hypot((1 - t) * SPREAD, t)


def sampled(steps: int, noise_level: float, until: float = 0.0) -> tuple[float, float]:
    """Mean and spread there, without sampling: a step is linear in x here, so that two points tell it whole."""
    mean, variance = 0.0, 1.0
    times = torch.linspace(1, until, round(steps * (1 - until)) + 1)
    points = torch.tensor([0.0, 1.0]).view(2, 1, 1)
    for t, after in pairwise(times):
        led, std = sde_step(points, velocity(points, t.expand(2)), t.expand(2), (after - t).expand(2), noise_level)
        start, slope = led[0].item(), (led[1] - led[0]).item()
        mean, variance = start + slope * mean, slope**2 * variance + std[0].item() ** 2
    return mean, math.sqrt(variance)


@pytest.mark.parametrize("until", [0.5, 0.75])
@pytest.mark.parametrize("noise_level", [0.7, 1.0])
def test_on_its_way_the_sde_has_the_odes_mean_and_approaches_its_spread_as_steps_grow(noise_level, until):
    found = [sampled(steps, noise_level, until) for steps in (8, 32, 128, 512)]
    wanted, spread = marginal(until)
    assert [mean for mean, _ in found] == pytest.approx([wanted] * 4, abs=1e-5)  # a straight line
    off = [abs(one - spread) for _, one in found]
    assert all(fine < 0.6 * coarse for coarse, fine in pairwise(off)), off


@pytest.mark.parametrize("noise_level", [0.0, 0.3, 0.7, 1.0])
def test_at_the_end_the_sde_has_the_datas_mean_and_spread(noise_level):
    off = [abs(sampled(steps, noise_level)[1] - SPREAD) for steps in (8, 32, 128)]
    assert off[0] > 2 * off[1] > 4 * off[2], off
    mean, spread = sampled(512, noise_level)
    assert mean == pytest.approx(MEAN, abs=1e-3) and spread == pytest.approx(SPREAD, abs=2e-3)


def test_samples_that_are_drawn_step_by_step_have_the_datas_mean_and_spread():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20000, 1, 1, generator=generator)
    for t, after in pairwise(torch.linspace(1, 0, 65)):
        t, dt = t.expand(len(x)), (after - t).expand(len(x))
        mean, std = sde_step(x, velocity(x, t), t, dt, noise_level=0.7)
        x = mean + std * torch.randn(x.shape, generator=generator)
    assert x.mean().item() == pytest.approx(MEAN, abs=3 * SPREAD / math.sqrt(20000))
    assert x.std().item() == pytest.approx(SPREAD, abs=0.01)


def test_without_noise_a_step_is_the_odes():
    x, v = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    mean, std = sde_step(x, v, torch.tensor([1.0, 0.5]), torch.tensor([-0.1, -0.5]), noise_level=0)
    assert torch.allclose(mean, x + v * torch.tensor([-0.1, -0.5]).view(2, 1, 1)) and not std.any()


def test_flow_grpos_published_weight_is_beta_times_the_steps_length_here():
    t, dt, v, other = torch.tensor([0.6]), torch.tensor([-0.2]), torch.randn(1, 2, 3), torch.randn(1, 2, 3)
    x = torch.randn(1, 2, 3)
    (mean, std), (reference, _) = sde_step(x, v, t, dt, 0.7), sde_step(x, other, t, dt, 0.7)
    published = ((mean - reference).square() / (2 * 0.7**2 * 0.6 / 0.4)).mean()  # std^2 without |dt|
    assert (0.2 * step_kl(mean, reference, std)).item() == pytest.approx(published.item(), rel=1e-5)


def test_a_step_worked_out_by_hand():
    mean, std = sde_step(*torch.tensor([[[[2.0]]], [[[-1.0]]]]), torch.tensor([0.5]), torch.tensor([-0.1]), 0.8)
    # sigma^2 = 0.64 * 0.5 / 0.5; the drift is -1 + 0.64 / 1 * (2 - 0.5) = -0.04
    assert mean.item() == pytest.approx(2.004) and std.item() == pytest.approx(math.sqrt(0.064))
    first, wide = sde_step(*torch.tensor([[[[2.0]]], [[[-1.0]]]]), torch.tensor([1.0]), torch.tensor([-0.1]), 0.8)
    # at t = 1 sigma^2 = 0.64 / 0.1; the drift is -1 + 3.2 * 2 = 5.4
    assert first.item() == pytest.approx(1.46) and wide.item() == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("t", "dt", "noise_level", "said"),
    [
        (1.2, -0.1, 0.7, "within \\(0, 1\\]"),
        (0.0, -0.1, 0.7, "within"),
        (0.5, 0.1, 0.7, "a step goes down"),
        (0.5, -0.6, 0.7, "within"),
        (float("nan"), -0.1, 0.7, "within"),
        (0.5, -0.1, -1.0, "must not be negative"),
    ],
)
def test_steps_that_lead_nowhere_are_refused(t, dt, noise_level, said):
    x = torch.zeros(1, 2, 2)
    with pytest.raises(ValueError, match=said):
        sde_step(x, x, torch.tensor([t]), torch.tensor([dt]), noise_level)


def test_the_likelihood_of_a_step_is_a_normals_averaged_over_elements():
    sample, mean, std = torch.randn(3, 4, 2), torch.randn(3, 4, 2), torch.rand(3, 1, 1) + 0.1
    expected = torch.distributions.Normal(mean, std.expand_as(mean)).log_prob(sample).mean((1, 2))
    assert torch.allclose(step_log_prob(sample, mean, std), expected, atol=1e-5)


def test_the_distance_from_the_reference_is_the_divergence_of_two_normals():
    mean, reference, std = torch.randn(2, 4, 2), torch.randn(2, 4, 2), torch.rand(2, 1, 1) + 0.1
    normals = [torch.distributions.Normal(one, std.expand_as(one)) for one in (mean, reference)]
    expected = torch.distributions.kl_divergence(normals[0], normals[1]).mean()
    assert torch.allclose(step_kl(mean, reference, std), expected, rtol=1e-4)


def test_at_ratio_one_the_gradient_is_the_plain_policy_gradient():
    advantages = group_advantages(torch.tensor([0.1, 0.9, 0.4, 0.4]), torch.tensor([0, 0, 1, 1]))
    log_prob = torch.tensor([-1.0, -2.0, 0.5, 0.0], requires_grad=True)
    loss, figures = policy_loss(log_prob, log_prob.detach(), advantages)
    loss.backward()
    assert torch.allclose(log_prob.grad, -advantages / 4)
    assert figures == {"ratio": 1.0, "clipped": 0.0}


def test_a_step_that_is_likely_enough_already_is_not_pushed_further():
    log_prob = torch.tensor([0.3, -0.3, 0.3, -0.3], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, -1.0, 1.0])
    loss, figures = policy_loss(log_prob, torch.zeros(4), advantages, clip=0.2)
    loss.backward()
    up, down = math.exp(0.3), math.exp(-0.3)
    assert loss.item() == pytest.approx(-(1.2 - 0.8 - up + down) / 4)
    assert log_prob.grad.tolist() == pytest.approx([0, 0, up / 4, -down / 4])  # back towards the sampler
    assert figures["clipped"] == 1


def test_the_policy_climbs_towards_what_is_rewarded():
    """One step on one number, rewarded for being large: its mean rises."""
    generator = torch.Generator().manual_seed(0)
    shift = torch.zeros((), requires_grad=True)
    x, t, dt = torch.zeros(256, 1, 1), torch.full((256,), 0.5), torch.full((256,), -0.25)
    for _ in range(20):
        mean, std = sde_step(x, shift.expand_as(x), t, dt)
        sample = (mean + std * torch.randn(mean.shape, generator=generator)).detach()
        old = step_log_prob(sample, mean, std).detach()
        advantages = group_advantages(sample.flatten(), torch.zeros(256, dtype=torch.long))
        loss, _ = policy_loss(step_log_prob(sample, mean, std), old, advantages, clip=0.2)
        (gradient,) = torch.autograd.grad(loss, shift)
        shift = (shift - gradient).detach().requires_grad_()
    assert sde_step(x, shift.expand_as(x), t, dt)[0].mean() > 1


def test_a_ratio_needs_likelihoods_of_the_same_steps():
    with pytest.raises(ValueError, match="shapes differ"):
        policy_loss(torch.zeros(3), torch.zeros(1), torch.zeros(3))


def test_the_loss_of_tokens_is_a_mean_over_an_answer_then_over_answers():
    log_probs = torch.zeros(2, 3, requires_grad=True)
    answer = torch.tensor([[True, True, True], [True, False, False]])
    loss, figures = token_policy_loss(log_probs, torch.zeros(2, 3), torch.tensor([3.0, -1.0]), answer, 0.2)
    loss.backward()
    assert loss.item() == pytest.approx(-(3.0 - 1.0) / 2) and figures["ratio"] == 1.0
    assert torch.allclose(log_probs.grad, torch.tensor([[-0.5, -0.5, -0.5], [0.5, 0.0, 0.0]]))


def test_a_token_that_has_moved_far_enough_has_no_gradient_and_the_others_keep_theirs():
    log_probs = torch.tensor([[0.5, 0.1]], requires_grad=True)
    loss, figures = token_policy_loss(log_probs, torch.zeros(1, 2), torch.tensor([1.0]), torch.ones(1, 2).bool(), 0.2)
    loss.backward()
    assert loss.item() == pytest.approx(-(1.2 + math.exp(0.1)) / 2) and figures["clipped"] == 0.5
    assert log_probs.grad[0, 0] == 0 and log_probs.grad[0, 1].item() == pytest.approx(-math.exp(0.1) / 2)


def test_tokens_and_answers_must_fit():
    with pytest.raises(ValueError, match="shapes differ"):
        token_policy_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3), torch.ones(2, 3).bool())
