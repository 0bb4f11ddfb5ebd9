"""The loss and the score of a reasoning reward model, by hand."""

import math

import pytest
import torch

from posterkit.rewards.models.plan_rubric import rubric_scores
from posterkit.training.losses import rubric_loss


def certain(*labels: int) -> torch.Tensor:
    """Logits that are sure of their labels."""
    return 100.0 * torch.eye(5)[torch.tensor(labels)]


def test_a_score_is_half_the_mean_label_and_half_the_total():
    dimensions = torch.stack([certain(4, 4, 4, 4, 4), certain(0, 0, 0, 0, 0), certain(4, 0, 2, 4, 0)])
    found = rubric_scores(dimensions, torch.tensor([100.0, -100.0, 0.0]))
    assert found.tolist() == pytest.approx([1.0, 0.0, 0.5 * 10 / 20 + 0.25])
    assert rubric_scores(torch.zeros(1, 5, 5), torch.zeros(1)).item() == pytest.approx(0.5)


def test_an_untrained_model_pays_five_ln_5_and_0_7_ln_2():
    labels = torch.tensor([[4] * 5, [2] * 5, [2] * 5])
    loss, figures = rubric_loss(torch.zeros(3, 5, 5), torch.zeros(3), labels, reasonings=3)
    huber = (0.5 * 0.5**2 + 0 + 0) / 3  # sigmoid(0) against 1, 1/2 and 1/2
    assert loss.item() == pytest.approx(5 * math.log(5) + 0.5 * huber + 0.7 * math.log(2), rel=1e-6)
    assert figures["accuracy"] == 0.0


def test_a_perfect_pair_still_costs_0_31_as_published_and_nothing_at_a_low_temperature():
    dimensions, total = torch.stack([certain(*[4] * 5), certain(*[0] * 5)]), torch.tensor([100.0, -100.0])
    labels = torch.tensor([[4] * 5, [0] * 5])
    loss, figures = rubric_loss(dimensions, total, labels, reasonings=2)
    assert figures["pairs"] == pytest.approx(math.log(1 + math.exp(-1))) and figures["accuracy"] == 1.0
    assert loss.item() == pytest.approx(0.7 * math.log(1 + math.exp(-1)), rel=1e-5)
    assert rubric_loss(dimensions, total, labels, reasonings=2, temperature=0.1)[0].item() < 1e-4


def test_pairs_are_made_within_a_group_alone():
    """The first group's good one is below the second group's flawed one, which costs nothing."""
    dimensions = torch.stack([certain(*[level] * 5) for level in (2, 0, 4, 3)])
    total, labels = torch.zeros(4), torch.tensor([[2] * 5, [0] * 5, [4] * 5, [3] * 5])
    _, figures = rubric_loss(dimensions, total, labels, reasonings=2)
    ahead = 0.5 * 2 / 4, 0.5 * 1 / 4
    assert figures["pairs"] == pytest.approx(sum(math.log(1 + math.exp(-one)) for one in ahead) / 2)


@pytest.mark.parametrize(("rows", "reasonings", "temperature"), [(3, 2, 1.0), (2, 1, 1.0), (2, 2, 0.0)])
def test_rows_that_are_no_groups_are_refused(rows, reasonings, temperature):
    with pytest.raises(ValueError):
        rubric_loss(
            torch.zeros(rows, 5, 5), torch.zeros(rows), torch.zeros(rows, 5, dtype=torch.long),
            reasonings=reasonings, temperature=temperature,
        )  # fmt: skip
