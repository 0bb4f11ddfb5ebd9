"""Objectives against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from posterkit.training.losses import color_anchor, flow_matching_loss, reconstruction_loss, sample_time, shift_time


def test_the_flow_loss_is_the_mean_square_over_every_element():
    v = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert flow_matching_loss(v, torch.zeros_like(v)).item() == pytest.approx((1 + 4 + 9 + 16) / 4)


def test_the_flow_loss_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="differ in shape"):
        flow_matching_loss(torch.zeros(2, 3, 4), torch.zeros(2, 1, 4))


def test_the_best_constant_velocity_is_the_mean_of_noise_minus_data():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(4000, 1, 1, generator=generator) - 2.0
    guess = torch.tensor(0.0, requires_grad=True)
    flow_matching_loss(guess.expand_as(target), target).backward()
    assert guess.grad.item() == pytest.approx(-2 * target.mean().item(), rel=1e-5)


def test_a_shift_of_three_sends_the_middle_to_three_quarters():
    assert shift_time(torch.tensor(0.5), 3.0).item() == pytest.approx(0.75)
    t = torch.linspace(0, 1, 11)
    assert torch.equal(shift_time(t, 1.0), t)


def test_logit_normal_times_have_the_sigmoid_gaussians_quartiles():
    t = sample_time(20000, torch.Generator().manual_seed(1), "logit_normal")
    expected = torch.tensor([1 / (1 + math.exp(0.6745)), 0.5, 1 / (1 + math.exp(-0.6745))])
    assert torch.allclose(torch.quantile(t, torch.tensor([0.25, 0.5, 0.75])), expected, atol=0.01)
    assert t.min() > 0 and t.max() < 1


def test_a_constant_shift_of_brightness_costs_the_same_at_every_scale_and_no_edges():
    target = torch.rand(2, 3, 16, 16)
    assert reconstruction_loss(target + 0.25, target).item() == pytest.approx(0.25 + 2 * 0.25**2, abs=1e-6)


def test_blurring_an_edge_costs_more_than_an_equal_pixel_error_spread_flat():
    target = torch.zeros(1, 3, 16, 16)
    target[..., 8:] = 1
    blurred = target.clone()
    blurred[..., 7], blurred[..., 8] = 0.5, 0.5
    flat = target + (blurred - target).abs().mean()
    assert reconstruction_loss(blurred, target) > reconstruction_loss(flat, target)


def test_the_color_anchor_is_zero_where_latents_are_the_colors_and_counts_hue_as_much_as_brightness():
    gray = torch.full((1, 3, 16, 16), 0.5)
    latents = torch.randn(1, 8, 2, 2)
    latents[:, :3] = torch.tensor([0.75 * 1.5, 0.0, 0.0])[None, :, None, None]
    assert color_anchor(latents, gray).item() == pytest.approx(0, abs=1e-12)
    green = gray.clone()
    green[:, 1] += 0.3
    brighter = gray + 0.3
    assert color_anchor(latents, green) > color_anchor(latents, brighter)


def test_the_color_anchor_averages_the_pixels_of_a_cell():
    picture = torch.randn(2, 3, 16, 24).clamp(-1, 1)
    latents = torch.zeros(2, 4, 2, 3)
    latents[:, 0] = 0.75 * picture.sum(1).reshape(2, 2, 8, 3, 8).mean((2, 4))
    latents[:, 1] = 1.6 * (picture[:, 0] - picture[:, 2]).reshape(2, 2, 8, 3, 8).mean((2, 4))
    latents[:, 2] = (1.75 * (2 * picture[:, 1] - picture[:, 0] - picture[:, 2])).reshape(2, 2, 8, 3, 8).mean((2, 4))
    assert color_anchor(latents, picture).item() == pytest.approx(0, abs=1e-10)


def test_weights_shift_the_loss_within_a_sample_not_between_samples():
    v, target = torch.zeros(2, 4, 3), torch.zeros(2, 4, 3)
    target[0, 0], target[1] = 2.0, 1.0
    weight = torch.tensor([[1.0, 0, 0, 0], [0.1, 0.1, 0.1, 0.1]])
    assert flow_matching_loss(v, target, weight).item() == pytest.approx((4 + 1) / 2)
    assert flow_matching_loss(v, target, torch.ones(2, 4)).item() == pytest.approx((1 + 1) / 2)
    with pytest.raises(ValueError, match="not one for each token"):
        flow_matching_loss(v, target, torch.ones(2, 3))
