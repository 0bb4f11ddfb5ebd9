"""GRPO against TRL: the same loss and the same gradient on the same tiny planner and answers."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("trl")

from grpo_speed import our_loss, tiny_planner, trl_inputs, trl_trainer

from posterkit.layout.reasoning import SYSTEM


@pytest.fixture(scope="module")
def sampled():
    model, briefs = tiny_planner()
    rows = model.sample(SYSTEM, briefs[:2], 4, torch.Generator().manual_seed(0), most=24)
    return model, rows, torch.tensor([1.2, -0.7, 0.4, -0.9, 0.0, 1.5, -1.1, -0.4])


def gradient(model) -> torch.Tensor:
    found = torch.cat([parameter.grad.flatten() for parameter in model.module.parameters()])
    model.module.zero_grad()
    return found


def test_loss_and_gradient_are_trls(sampled, tmp_path):
    model, rows, advantages = sampled
    trainer = trl_trainer(model, tmp_path, 4, 24)
    ours = our_loss(model, rows, advantages)
    ours.backward()
    own = gradient(model)
    theirs = trainer._compute_loss(model.module, trl_inputs(rows, advantages))
    theirs.backward()
    other = gradient(model)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6)
    assert own.abs().max() > 1e-3 and torch.allclose(own, other, atol=1e-6)


def test_where_another_policy_drew_the_clipped_loss_is_trls(sampled, tmp_path):
    """Old likelihoods that lie off by up to 0.5 leave the range of the ratio on both sides."""
    from posterkit.training.losses import token_policy_loss

    model, rows, advantages = sampled
    trainer, inputs = trl_trainer(model, tmp_path, 4, 24), trl_inputs(rows, advantages)
    batch = model.collate(rows)
    with torch.no_grad():
        log_probs, answer = model.log_probs(batch), batch["answer"][:, 1:]
        off = torch.rand(answer.shape, generator=torch.Generator().manual_seed(2)) - 0.5
        old = torch.where(answer, log_probs + off, 0.0)
        ours, figures = token_policy_loss(log_probs, old, advantages, answer, 0.2)
        said = torch.zeros(inputs["completion_ids"].shape)
        for at, row in enumerate(answer):
            said[at, : int(row.sum())] = old[at, row]
        theirs = trainer._compute_loss(model.module, inputs | {"old_per_token_logps": said})
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-6) and figures["clipped"] > 0.2


def test_advantages_are_trls_but_for_the_spread_of_a_sample(sampled):
    """TRL divides by the sample's standard deviation, which is the larger one by sqrt(K / (K - 1))."""
    from posterkit.training.losses import group_advantages

    rewards = torch.tensor([0.1, 0.5, 0.9, 0.3, 0.2, 0.2, 0.8, 0.4])
    ours = group_advantages(rewards, torch.arange(8) // 4, global_std=False)
    groups = rewards.view(2, 4)
    theirs = ((groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    assert torch.allclose(ours, theirs * (4 / 3) ** 0.5, rtol=1e-3)
