"""Parts of a group of drawn posters teach what the whole group teaches, and cost less memory."""

from __future__ import annotations

import pytest
import torch
from small_halves import adapter, inputs
from torch import nn

from posterkit.sizing import Size
from posterkit.training.loading.encoding import encoders_on
from posterkit.training.rl.advantages import Advantages, policy_batches
from posterkit.training.rl.samplers import Rollout, Trajectory, decode
from posterkit.training.rl.settings import RolloutConfig

K, STEPS = 6, 4


def drawn(kept: torch.Tensor) -> tuple[list[Rollout], Advantages]:
    """Two prompts with K posters each; `kept` is `(1, 2 K)`, or of pairs `(2, 2 K)`."""
    torch.manual_seed(1)
    rollouts = []
    for name in "ab":
        _, _, condition = inputs("flux")
        noise = torch.randn(K, 6, 16)
        rollout = Rollout([f"{name}{n}" for n in range(K)], ["text"] * K, condition.take(torch.zeros(K).long()), noise,
                          torch.linspace(1, 0, STEPS + 1), Size(48, 32))  # fmt: skip
        rollout.trajectory = Trajectory(torch.randn(1, K, 6, 16))
        rollouts.append(rollout)
    return rollouts, Advantages(torch.randn(2 * K), kept, kept.sum().item() / 2)


def gradient(micro_batch: int | None, kept: torch.Tensor) -> tuple[torch.Tensor, list[int]]:
    """Of a loss over an epoch, as a recipe makes it; and the posters of every pass."""
    rollouts, advantages = drawn(kept)
    config = RolloutConfig(images=K, draws=2, steps=STEPS, micro_batch=micro_batch)
    passes = config.passes_a_step(pairs=len(kept) == 2, prompts=1)
    weight, sizes = torch.ones(16, requires_grad=True), []
    for batch in policy_batches(rollouts, advantages, config, {}, torch.Generator().manual_seed(0)):
        each = (batch.x0 * weight).square().mean((1, 2)) * batch.advantages * batch.t
        (each.mean() * batch.share / passes).backward()
        sizes.append(len(batch.x0))
    assert len(sizes) == passes  # else a step would begin before its end
    assert weight.grad is not None
    return weight.grad, sizes


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 5, 6, 100])
@pytest.mark.parametrize("left_out", [[], [1, 2, 3, 8], [0, 1, 2, 3, 4, 5]])
def test_the_gradient_in_parts_is_that_of_the_whole(micro_batch, left_out):
    kept = torch.ones(1, 2 * K, dtype=torch.bool)
    kept[0, left_out] = False
    (whole, _), (parts, sizes) = gradient(None, kept), gradient(micro_batch, kept)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    assert max(sizes) <= micro_batch


def test_the_best_and_the_worst_of_a_group_stay_together():
    sides = torch.zeros(2, 2 * K, dtype=torch.bool)
    sides[0, [2, K + 1]] = sides[1, [4, K + 3]] = True
    (whole, _), (parts, sizes) = gradient(None, sides), gradient(2, sides)
    torch.testing.assert_close(parts, whole)
    assert set(sizes) == {2}


def test_posters_are_decoded_few_at_a_time_and_in_their_order(monkeypatch):
    model, (rollouts, _) = adapter("flux"), drawn(torch.ones(1, 2 * K, dtype=torch.bool))
    together = decode(model, rollouts[0])
    monkeypatch.setattr("posterkit.training.rl.samplers.PIXELS_AT_ONCE", 2 * 48 * 32)
    seen = []
    original = model.vae.decode
    monkeypatch.setattr(model.vae, "decode", lambda latents: seen.append(len(latents)) or original(latents))
    assert [one.tobytes() for one in decode(model, rollouts[0])] == [one.tobytes() for one in together]
    assert seen == [2, 2, 2] and len({one.tobytes() for one in together}) == K


class Moved(nn.Linear):
    """A text encoder that notes where it is sent."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.moves: list[str] = []

    def to(self, device):  # type: ignore[override]
        self.moves.append(str(device))
        return super().to(device)


def test_text_encoders_whose_states_are_kept_stay_where_they_are():
    model, reader = adapter("flux"), Moved()
    model.readers = [reader]
    with encoders_on(model, torch.device("cpu"), readers=False):
        pass
    assert reader.moves == []
    with encoders_on(model, torch.device("cpu")):
        pass
    assert reader.moves == ["cpu", "cpu"]
