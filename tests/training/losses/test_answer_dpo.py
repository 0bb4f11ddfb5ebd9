"""DPO on answers against its closed form, by an independent route."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import log_expit

from posterkit.training.losses import answer_dpo_loss

POLICY = torch.tensor([-3.0, -8.0, -5.0, -6.5, -4.0, -7.0])
REFERENCE = torch.tensor([-4.0, -7.0, -5.5, -6.0, -4.5, -9.0])
LENGTHS = torch.tensor([2, 4, 5, 2, 2, 4])


def test_the_loss_is_ln_2_where_the_policy_is_the_reference():
    assert answer_dpo_loss(POLICY, POLICY, LENGTHS, 0.1)[0].item() == pytest.approx(math.log(2))
    assert answer_dpo_loss(POLICY, POLICY, LENGTHS, 0.1, 0.5)[0].item() == pytest.approx(1.5 * math.log(2))


def test_a_pair_worked_out_by_hand():
    # r+ = 2, r- = -1: -log sigmoid(0.1 * 3) = log(1 + exp(-0.3))
    policy, reference = torch.tensor([-1.0, -6.0]), torch.tensor([-3.0, -5.0])
    loss, figures = answer_dpo_loss(policy, reference, torch.tensor([4, 2]), 0.1)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.3)), rel=1e-6)
    assert figures == {"accuracy": 1.0, "chosen": 2.0, "rejected": -1.0}
    loss, _ = answer_dpo_loss(policy, reference, torch.tensor([4, 2]), 0.1, by_length=True)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-0.1 * (0.5 + 0.5))), rel=1e-6)


@pytest.mark.parametrize("by_length", [False, True])
def test_pairs_and_the_image_term_are_those_of_numpys_closed_form(by_length):
    ratios = (POLICY - REFERENCE).double().numpy() / (LENGTHS.numpy() if by_length else 1)
    chosen, rejected, unseen = ratios[:2], ratios[2:4], ratios[4:]
    expected = -log_expit(0.3 * (chosen - rejected)).mean() - 0.7 * log_expit(0.3 * (chosen - unseen)).mean()
    loss, figures = answer_dpo_loss(POLICY, REFERENCE, LENGTHS, 0.3, 0.7, by_length)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert figures["image_accuracy"] == np.mean(chosen > unseen)


def test_swapping_the_sides_flips_the_gradient_at_the_reference_and_the_reference_gets_none():
    gradients = []
    for order in ([0, 1], [1, 0]):
        policy = REFERENCE[:2].clone().requires_grad_()
        reference = REFERENCE[:2].clone().requires_grad_()
        answer_dpo_loss(policy[order], reference[order], LENGTHS[:2], 0.1)[0].backward()
        assert reference.grad is None
        gradients.append(policy.grad)
    assert torch.allclose(gradients[0], torch.tensor([-0.05, 0.05])) and torch.equal(gradients[0], -gradients[1])


@pytest.mark.parametrize(
    ("rows", "beta", "weight", "said"),
    [(3, 0.1, 0.0, "2 equal parts"), (4, 0.1, 0.5, "3 equal parts"), (0, 0.1, 0.0, "equal parts"),
     (2, 0.0, 0.0, "beta must be positive"), (3, 0.1, 1.5, "image_weight lie in")],
)  # fmt: skip
def test_rows_that_are_no_pairs_and_values_out_of_range_are_refused(rows, beta, weight, said):
    values = torch.zeros(rows)
    with pytest.raises(ValueError, match=said):
        answer_dpo_loss(values, values, torch.ones(rows), beta, weight)
