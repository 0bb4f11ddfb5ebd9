"""DPO and Bradley-Terry against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from posterkit.training.losses import bradley_terry_loss, dpo_loss


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_dpo_loss_is_ln2_when_the_policy_is_the_reference():
    v, target = numbers(6, 5, 4), numbers(6, 5, 4, seed=1)
    loss, figures = dpo_loss(v, v.clone(), target, beta=100)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    assert figures["accuracy"] == 0  # nothing has moved towards the chosen side yet


def test_dpo_loss_of_one_pair_worked_out_by_hand():
    zero = torch.zeros(2, 2, 2)
    v, reference = zero.clone(), zero.clone()
    v[0] += 0.1  # chosen: error 0.01, reference 0.04
    reference[0] += 0.2
    v[1] += 0.5  # rejected: error 0.25, reference 0.16
    reference[1] += 0.4
    loss, figures = dpo_loss(v, reference, zero, beta=10)
    assert loss.item() == pytest.approx(-math.log(1 / (1 + math.exp(-5 * (0.03 + 0.09)))), rel=1e-5)
    assert figures == pytest.approx({"accuracy": 1.0, "chosen_error": 0.01, "rejected_error": 0.25}, rel=1e-5)


def test_swapping_winner_and_loser_flips_the_gradient():
    v, target = numbers(4, 3, 2), numbers(4, 3, 2, seed=1)
    turned = torch.tensor([2, 3, 0, 1])
    ours, swapped = v.clone().requires_grad_(), v[turned].clone().requires_grad_()
    dpo_loss(ours, v, target, beta=5)[0].backward()
    dpo_loss(swapped, v[turned], target[turned], beta=5)[0].backward()
    assert ours.grad is not None and swapped.grad is not None
    assert ours.grad.abs().max() > 0
    assert torch.allclose(ours.grad, -swapped.grad[turned], atol=1e-7)


def test_dpo_starts_by_following_the_chosen_poster_and_leaving_the_rejected_one():
    v, target = numbers(2, 3, 2), numbers(2, 3, 2, seed=1)
    ours = v.clone().requires_grad_()
    dpo_loss(ours, v, target, beta=8)[0].backward()
    # d(-log sigmoid(-4 z))/dz = 2 at z = 0, and de/dv = 2 (v - target) / 6
    error = 2 * 2 * (v - target) / 6
    assert torch.allclose(ours.grad, error * torch.tensor([1.0, -1.0])[:, None, None], atol=1e-6)


def test_no_gradient_reaches_the_dpo_reference():
    v, reference = numbers(2, 3, 2).requires_grad_(), numbers(2, 3, 2, seed=1).requires_grad_()
    dpo_loss(v, reference, numbers(2, 3, 2, seed=2), beta=1)[0].backward()
    assert reference.grad is None and v.grad is not None


def test_dpo_in_half_precision_is_computed_in_float32():
    v = torch.full((2, 4, 4), 300.0).half()  # 300^2 is beyond float16
    loss, figures = dpo_loss(v, v, torch.zeros_like(v), beta=1)
    assert loss.item() == pytest.approx(math.log(2)) and figures["chosen_error"] == pytest.approx(90000)


@pytest.mark.parametrize(
    ("rows", "beta", "said"), [(3, 1.0, "then as many rejected"), (0, 1.0, "found 0 rows"), (2, 0.0, "beta must be")]
)
def test_dpo_refuses_what_is_no_pair(rows, beta, said):
    v = torch.zeros(rows, 2, 2)
    with pytest.raises(ValueError, match=said):
        dpo_loss(v, v, v, beta)


def test_bradley_terry_is_the_negative_log_of_the_odds_share():
    chosen, rejected = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 3.0, 2.0])
    loss, figures = bradley_terry_loss(chosen, rejected)
    chances = [math.e / (math.e + 1), 1 / (1 + math.exp(3)), 0.5]
    assert loss.item() == pytest.approx(-sum(map(math.log, chances)) / 3, rel=1e-6)
    assert figures == pytest.approx({"accuracy": 0.5, "margin": -2 / 3})


def test_fitting_bradley_terry_finds_the_log_odds_of_the_wins():
    score = torch.zeros((), requires_grad=True)  # of A over B, which won 1 of 4
    optimizer = torch.optim.LBFGS([score], line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        zero = torch.zeros(4)
        sides = score * torch.tensor([1.0, 1.0, 1.0, -1.0])
        loss, _ = bradley_terry_loss(sides, zero)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert score.item() == pytest.approx(math.log(3), abs=1e-3)


def test_bradley_terry_refuses_scores_that_would_broadcast():
    with pytest.raises(ValueError, match="one length"):
        bradley_terry_loss(torch.zeros(3, 1), torch.zeros(3))
