"""The harm detector's loss, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from posterkit.training.losses import harm_loss

LN2 = math.log(2)
NO, YES = torch.tensor([0.0]), torch.tensor([1.0])


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def test_at_zero_it_is_two_cross_entropies_and_a_ranking_of_ln_2_each():
    zero = torch.zeros(1)
    assert harm_loss(zero, zero, NO, YES)[0].item() == pytest.approx(3 * LN2)


def test_by_hand():
    loss, figures = harm_loss(torch.tensor([-1.0]), torch.tensor([2.0]), NO, YES, rank=0.5)
    assert loss.item() == pytest.approx(softplus(-1) + softplus(-2) + 0.5 * softplus(-3), rel=1e-6)
    assert figures == {"accuracy": 1.0, "ranked": 1.0}


def test_the_reference_counts_the_cross_entropy_twice():
    a, b = torch.tensor([0.3, -0.7]), torch.tensor([1.1, 0.2])
    labels = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0])
    once, twice = harm_loss(a, b, *labels)[0], harm_loss(a, b, *labels, reference_loss=True)[0]
    base = harm_loss(a, b, *labels, rank=0.0)[0]
    assert (twice - once).item() == pytest.approx(base.item(), rel=1e-6)


def test_it_equals_the_published_form_on_logits_of_safety():
    generator = torch.Generator().manual_seed(0)
    r_j, r_k = torch.randn(2, 16, generator=generator)  # of safety; j is the safer one
    safe_j, safe_k = torch.randint(0, 2, (2, 16), generator=generator).float()
    bce = torch.nn.BCEWithLogitsLoss()
    published = 2 * (bce(r_j, safe_j) + bce(r_k, safe_k)) - torch.sigmoid(r_j - r_k).log().mean()
    ours = harm_loss(-r_j, -r_k, 1 - safe_j, 1 - safe_k, reference_loss=True)[0]
    assert ours.item() == pytest.approx(published.item(), rel=1e-5)


def test_a_harmful_text_is_pushed_up_and_a_harmless_one_down():
    a, b = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    harm_loss(a, b, NO, YES)[0].backward()
    assert a.grad is not None and b.grad is not None and a.grad.item() > 0 > b.grad.item()


def test_vectors_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        harm_loss(torch.zeros(2), torch.zeros(1), NO, YES)
