"""The critic's DPO against TRL: the same loss and the same gradient on the same tiny critic and pairs."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("trl")

from dpo_speed import our_loss, pairs, trl_inputs, trl_trainer


def gradient(model) -> torch.Tensor:
    parameters = model.module.parameters()
    found = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
    model.module.zero_grad()
    return found


def test_loss_and_gradient_are_trls(tmp_path):
    model, batch = pairs(tmp_path)
    trainer, inputs = trl_trainer(model, tmp_path), trl_inputs(model, batch)
    backbone = model.module["backbone"]
    with torch.no_grad():
        for weight in backbone.parameters():
            weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    ours = our_loss(model, batch)
    ours.backward()
    own = gradient(model)
    theirs = trainer._compute_loss(backbone, inputs, return_outputs=False)
    theirs.backward()
    other = gradient(model)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5) and ours.item() != pytest.approx(0.6931, abs=1e-3)
    assert own.abs().max() > 1e-3 and torch.allclose(own, other, atol=1e-5)
