"""Objectives against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

from posterkit.pipelines.poster_pipeline import set_timesteps, shift_for
from posterkit.tasks import TASKS
from posterkit.training.losses import (
    add_noise,
    color_anchor,
    distillation_loss,
    expert_for,
    flow_matching_loss,
    reconstruction_loss,
    region_weighted_flow_loss,
    sample_time,
    shift_time,
)


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


def test_a_region_weight_of_a_fifth_counts_a_twenty_fifth_by_the_paper_and_a_fifth_as_a_plain_weight():
    v = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]])
    weight = torch.tensor([[1.0, 0.6, 0.2]])
    literal, plain = (region_weighted_flow_loss(v, torch.zeros_like(v), weight, power).item() for power in (2, 1))
    assert literal == pytest.approx((1 + 0.36 * 4 + 0.04 * 9) / 3)
    assert plain == pytest.approx((1 + 0.6 * 4 + 0.2 * 9) / 3)


def test_the_region_loss_is_the_norm_of_the_weighted_error_and_all_background_is_plain_flow_matching():
    generator = torch.Generator().manual_seed(2)
    v, target = torch.randn(2, 3, 6, 4, generator=generator)
    weight = torch.rand(3, 6, generator=generator)
    norm = torch.linalg.vector_norm((v - target).double() * weight.double()[..., None])
    assert region_weighted_flow_loss(v, target, weight).item() == pytest.approx(norm.item() ** 2 / v.numel(), rel=1e-6)
    assert torch.equal(region_weighted_flow_loss(v, target, torch.ones(3, 6)), flow_matching_loss(v, target))


def test_a_region_loss_in_half_precision_is_computed_in_float32():
    v, target = torch.full((1, 4, 64), 300.0).half(), torch.zeros(1, 4, 64).half()  # 300^2 is beyond float16
    assert region_weighted_flow_loss(v, target, torch.ones(1, 4).half()).item() == pytest.approx(90000)


@pytest.mark.parametrize(
    ("weight", "power", "said"),
    [
        (torch.ones(2, 3), 2, "not one for each token"),
        (torch.full((2, 4), 1.5), 2, "must lie in \\[0, 1\\], found 1.5 to 1.5"),
        (torch.full((2, 4), -0.1), 1, "must lie in"),
        (torch.full((2, 4), float("nan")), 1, "must lie in"),
        (torch.ones(2, 4), 3, "power must be 1 or 2, got 3"),
    ],
)
def test_weights_that_mean_nothing_are_refused(weight, power, said):
    with pytest.raises(ValueError, match=said):
        region_weighted_flow_loss(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3), weight, power)


def test_the_target_velocity_is_how_fast_the_noisy_tokens_move():
    x0, noise = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    moved = (add_noise(x0, noise, t + 1e-6) - add_noise(x0, noise, t)) / 1e-6
    assert torch.allclose(moved, noise - x0, atol=1e-8)
    ends = add_noise(x0, noise, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    assert torch.equal(ends[0], x0[0]) and torch.equal(ends[1], noise[1])


def test_training_shifts_times_as_flux_samples_them():
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)
    t = torch.linspace(0.05, 0.95, 7)
    for mu in (0.5, 1.15, 0.825):  # of 256 tokens, 4096 and the middle
        assert torch.allclose(shift_time(t, math.exp(mu)), scheduler.time_shift(mu, 1.0, t), atol=1e-6)


@pytest.mark.parametrize("kind", ["exponential", "linear"])
@pytest.mark.parametrize("tokens", [256, 1024, 4096])
def test_the_shift_of_a_size_is_that_of_the_schedulers_own_sampling(kind, tokens):
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, time_shift_type=kind
    )
    set_timesteps(scheduler, 8, tokens, "cpu")
    evenly = torch.linspace(1, 1 / 8, 8)
    assert torch.allclose(shift_time(evenly, shift_for(scheduler, tokens)), scheduler.sigmas[:-1], atol=1e-5)


def test_a_scheduler_that_does_not_look_at_sizes_has_one_shift():
    assert shift_for(FlowMatchEulerDiscreteScheduler(shift=3.0), 256) == 3.0
    assert shift_for(FlowMatchEulerDiscreteScheduler(), 4096) == 1.0


def test_a_logit_normals_mean_and_spread_move_its_quartiles():
    t = sample_time(20000, torch.Generator().manual_seed(1), "logit_normal", mean=-1.0, spread=0.5)
    expected = torch.sigmoid(torch.tensor([-1 - 0.5 * 0.6745, -1.0, -1 + 0.5 * 0.6745]))
    assert torch.allclose(torch.quantile(t, torch.tensor([0.25, 0.5, 0.75])), expected, atol=0.01)


def test_uniform_times_are_uniform_and_a_shift_bends_their_quartiles():
    for shift in (1.0, 3.0):
        t = sample_time(20000, torch.Generator().manual_seed(1), "uniform", shift)
        quartiles = torch.tensor([0.25, 0.5, 0.75])
        expected = shift * quartiles / (1 + (shift - 1) * quartiles)
        assert torch.allclose(torch.quantile(t, quartiles), expected, atol=0.01)


def test_distillation_is_lambda_times_the_mean_square_between_student_and_expert():
    student, expert = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[0.0, 5.0]]])
    assert distillation_loss(student, expert).item() == pytest.approx((1 + 9) / 2)
    assert distillation_loss(student, expert, strength=0.5).item() == pytest.approx((1 + 9) / 4)
    with pytest.raises(ValueError, match="differ in shape"):
        distillation_loss(student, expert[:, :, :1])


def test_no_gradient_reaches_the_expert_and_the_students_points_away_from_it():
    student, expert = (torch.full((1, 1, 2), value, requires_grad=True) for value in (3.0, 1.0))
    distillation_loss(student, expert).backward()
    assert expert.grad is None and student.grad.flatten().tolist() == [2.0, 2.0]  # 2 (3 - 1) / 2 channels


def test_each_task_has_the_expert_of_its_group_and_text_rendering_has_none():
    local, other = ["rescaling", "filling", "extending", "id_driven"], ["layout_driven", "style_driven"]
    assert expert_for(local) == "local" and expert_for(other) == "global" and expert_for(["text", "text"]) is None
    assert sorted(local + other) == sorted(TASKS)


@pytest.mark.parametrize("tasks", [["filling", "style_driven"], ["filling", "text"], []])
def test_a_micro_batch_with_two_teachers_or_none_is_refused(tasks):
    with pytest.raises(ValueError, match="one teacher"):
        expert_for(tasks)
    with pytest.raises(ValueError, match="task 'fill' is unknown"):
        expert_for(["fill"])
