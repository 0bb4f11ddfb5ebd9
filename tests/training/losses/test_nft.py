"""DiffusionNFT against what can be derived of it by hand."""

from __future__ import annotations

import pytest
import torch

from posterkit.training.losses import (
    add_noise,
    group_advantages,
    kept_groups,
    nft_loss,
    optimality,
    sampler_decay,
)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradient(r: float, beta: float = 1.0, kl: float = 0.0, clip: float = 5.0) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient where the model is its sampler, and the direction from there to the posters' velocity."""
    x0, noise, old = numbers(3, 4, 2), numbers(3, 4, 2, seed=1), numbers(3, 4, 2, seed=2)
    t = torch.tensor([0.2, 0.5, 0.9])
    v = old.clone().requires_grad_()
    loss, _ = nft_loss(v, old, old, add_noise(x0, noise, t), x0, t, torch.full((3,), r), beta, clip, kl)
    loss.backward()
    assert v.grad is not None
    return v.grad, (noise - x0) - old


def test_advantages_are_measured_within_the_group_and_scaled_by_the_spread_of_all():
    rewards, groups = torch.tensor([0.0, 1.0, 4.0, 6.0]), torch.tensor([7, 7, 3, 3])
    spread = (sum((r - 2.75) ** 2 for r in (0, 1, 4, 6)) / 4) ** 0.5
    expected = torch.tensor([-0.5, 0.5, -1.0, 1.0])
    assert torch.allclose(group_advantages(rewards, groups), expected / (spread + 1e-4))
    own = torch.tensor([-0.5 / 0.5001, 0.5 / 0.5001, -1 / 1.0001, 1 / 1.0001])
    assert torch.allclose(group_advantages(rewards, groups, global_std=False), own)


@pytest.mark.parametrize("global_std", [True, False])
def test_equal_rewards_have_no_advantage(global_std):
    groups = torch.tensor([0, 0, 0, 1, 1])
    assert torch.equal(group_advantages(torch.full((5,), 0.75), groups, global_std), torch.zeros(5))


def test_a_reward_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match="reward 1 is nan"):
        group_advantages(torch.tensor([0.0, float("nan")]), torch.zeros(2, dtype=torch.long))


def test_groups_and_rewards_must_go_together():
    with pytest.raises(ValueError, match="one length"):
        group_advantages(torch.zeros(3), torch.zeros(2, dtype=torch.long))


def test_only_groups_that_are_good_and_alike_or_all_equal_are_left_out():
    groups = torch.arange(5).repeat_interleave(2)
    rewards = torch.tensor([0.95, 0.96, 0.5, 0.51, 0.4, 0.4, 0.8, 1.0, 0.99, 0.93])
    #                       good, alike  alike      equal     good       good, alike
    assert kept_groups(rewards, groups).tolist() == [False] * 2 + [True] * 2 + [False] * 2 + [True] * 2 + [False] * 2
    assert kept_groups(rewards, groups, most_mean=0.97).tolist()[:2] == [True, True]
    assert kept_groups(rewards, groups, strict=True).tolist()[2:8] == [False, False, False, False, True, True]


def test_r_is_a_half_at_the_groups_mean_and_full_where_the_advantage_is_clipped():
    r = optimality(torch.tensor([-9.0, -5.0, -1.0, 0.0, 2.5, 5.0, 9.0]), clip=5)
    assert torch.allclose(r, torch.tensor([0.0, 0.0, 0.4, 0.5, 0.75, 1.0, 1.0]))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("positive_only", [0.5, 0.5, 0.75, 1.0]),
        ("negative_only", [0.25, 0.5, 0.5, 0.5]),
        ("one_only", [0.5, 0.5, 0.75, 0.75]),
        ("binary", [0.25, 0.5, 0.75, 0.75]),
    ],
)
def test_each_mode_keeps_what_it_says_of_the_advantage(mode, expected):
    assert optimality(torch.tensor([-1.0, 0.0, 1.0, 8.0]), clip=2, mode=mode).tolist() == expected


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="accepted are all, positive_only"):
        optimality(torch.zeros(2), mode="sometimes")  # type: ignore[arg-type]


@pytest.mark.parametrize(("r", "sign"), [(0.9, -1), (0.1, 1)])
def test_good_posters_pull_and_bad_ones_push_at_the_start(r, sign):
    grad, towards = gradient(r)
    cosines = torch.nn.functional.cosine_similarity(grad.flatten(1), towards.flatten(1))
    assert torch.allclose(cosines, torch.full((3,), float(sign)), atol=1e-5)


def test_an_average_poster_has_no_gradient_and_the_pull_grows_with_r():
    assert gradient(0.5)[0].abs().max() < 1e-7
    assert torch.allclose(gradient(1.0)[0], 2 * gradient(0.75)[0], atol=1e-6)
    assert torch.allclose(gradient(0.75)[0], -gradient(0.25)[0], atol=1e-6)


def test_equal_rewards_give_no_gradient_at_the_start():
    r = optimality(group_advantages(torch.full((3,), 0.6), torch.tensor([0, 0, 1])))
    old, x0, noise, t = numbers(3, 4, 2), numbers(3, 4, 2, seed=1), numbers(3, 4, 2, seed=2), torch.full((3,), 0.5)
    v = old.clone().requires_grad_()
    nft_loss(v, old, numbers(3, 4, 2, seed=3), add_noise(x0, noise, t), x0, t, r, kl=0.0)[0].backward()
    assert v.grad is not None and v.grad.abs().max() < 1e-7


@pytest.mark.parametrize("beta", [0.1, 0.5, 2.0])
def test_the_gradient_at_the_start_does_not_depend_on_beta(beta):
    assert torch.allclose(gradient(0.8, beta)[0], gradient(0.8, 1.0)[0], rtol=1e-4, atol=1e-7)


def test_r_of_one_and_beta_of_one_is_self_normalised_fine_tuning_times_the_clip():
    x0, noise, t = numbers(2, 4, 2), numbers(2, 4, 2, seed=1), torch.tensor([0.3, 0.8])
    x_t = add_noise(x0, noise, t)
    ours, plain = (numbers(2, 4, 2, seed=3).requires_grad_() for _ in range(2))
    nft_loss(ours, numbers(2, 4, 2, seed=4), numbers(2, 4, 2, seed=5), x_t, x0, t, torch.ones(2), 1.0, 7.0, 0.0)[
        0
    ].backward()
    # t MSE / MAE of the velocity's error, the divisor held fixed
    error = plain - (noise - x0)
    scale = error.detach().abs().mean((1, 2))
    (t * error.square().mean((1, 2)) / scale).mean().backward()
    assert ours.grad is not None and plain.grad is not None
    assert torch.allclose(ours.grad, 7 * plain.grad, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_learning_ends_where_the_sampler_plus_the_guided_difference_lies(beta):
    """v_old + (2 / beta) rho (v_r - v_old), for a sampler that says the mean of its posters' velocities."""
    # +-1 around each poster's mean: the mean absolute error, the divisor, is 1 as long as the model errs by less
    means, wave = torch.tensor([-0.3, 0.3]).view(2, 1, 1), torch.tensor([1.0, -1.0]).view(1, 2, 1)
    velocity, t, r = means + wave, torch.ones(2), torch.tensor([0.4, 0.6])
    noise, old = torch.zeros(2, 2, 1), torch.zeros(2, 2, 1)
    guess = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.SGD([guess], lr=0.3)
    for _ in range(100):
        optimizer.zero_grad()
        loss, _ = nft_loss(guess.expand(2, 2, 1), old, old, noise, noise - velocity, t, r, beta, 1.0, 0.0)
        loss.backward()
        optimizer.step()
    rho, weighted = (0.4 + 0.6) / 2, (0.4 * -0.3 + 0.6 * 0.3) / (0.4 + 0.6)
    assert guess.item() == pytest.approx(2 / beta * rho * weighted, abs=1e-4)


def test_only_the_model_receives_a_gradient_and_the_reference_holds_it():
    v, old, ref = (numbers(2, 3, 2, seed=seed).requires_grad_() for seed in range(3))
    x0, t = numbers(2, 3, 2, seed=4), torch.full((2,), 0.5)
    loss, figures = nft_loss(v, old, ref, x0, x0, t, torch.full((2,), 0.5), kl=3.0)
    loss.backward()
    assert old.grad is None and ref.grad is None
    far = (v - ref).square().mean().item()
    assert figures["kl"] == pytest.approx(far) and loss.item() == pytest.approx(figures["policy"] + 3 * far)
    assert figures["from_old"] == pytest.approx((v - old).square().mean().item())


def test_the_norm_ratio_tells_how_much_longer_velocities_are_than_the_references():
    ref = numbers(4, 3, 2)
    _, figures = nft_loss(1.5 * ref, ref, ref, ref, ref, torch.ones(4), torch.ones(4))
    assert figures["norm_ratio"] == pytest.approx(1.5)


def test_nft_in_half_precision_is_computed_in_float32():
    v = torch.full((1, 4, 4), 300.0).half()
    loss, _ = nft_loss(v, v, v, torch.zeros_like(v), torch.zeros_like(v), torch.ones(1), torch.ones(1), 1, 1, 0)
    assert loss.item() == pytest.approx(300**2 / 300)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"v_old": torch.zeros(2, 1, 2)}, "shapes differ"),
        ({"r": torch.tensor([0.5, 1.5])}, "r must lie in \\[0, 1\\], found 0.5 to 1.5"),
        ({"r": torch.tensor([0.5, float("nan")])}, "r must lie in"),
        ({"t": torch.zeros(3)}, "one number for each of 2"),
        ({"beta": 0.0}, "must be positive"),
    ],
)
def test_what_nft_cannot_learn_from_is_refused(changed, said):
    names = ("v", "v_old", "v_ref", "x_t", "x0")
    given = dict.fromkeys(names, torch.zeros(2, 3, 2)) | {"t": torch.ones(2), "r": torch.ones(2)}
    with pytest.raises(ValueError, match=said):
        nft_loss(**(given | changed))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(0, {0: 0, 900: 0}), (1, {0: 0, 100: 0.1, 500: 0.5, 9000: 0.5}), (2, {75: 0, 175: 0.75, 30: 0, 900: 0.999})],
)
def test_the_sampler_follows_the_published_schedules(kind, expected):
    assert {step: sampler_decay(step, kind) for step in expected} == pytest.approx(expected)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="must be 0, 1 or 2, got 3"):
        sampler_decay(1, 3)  # type: ignore[arg-type]
