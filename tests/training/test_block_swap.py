"""Blocks that visit the device train as those that stay, to the last bit."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import tiny_flux
import torch
from small_halves import adapter, inputs, task_loss

from posterkit.training.block_swap import SWAPPED, blocks_of, is_swapped, move
from posterkit.training.lora import Trainable, set_trainable
from posterkit.training.run import Run
from posterkit.training.stages import StageConfig


class Batches:
    """Endless batches that follow from the position alone."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self):
        while True:
            self.position += 1
            yield inputs("flux", seed=self.position)

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def train(folder: Path, swap: int, **settings) -> torch.Tensor:
    trainable = Trainable(gradient_checkpointing=True, swap=swap)
    config = StageConfig(
        run_dir=str(folder), init_from="mini:postercraft", max_steps=4, learning_rate=1e-3, accumulation=2, clip=0.05,
        ema_decay=0.9, trainable=trainable, **settings,
    )  # fmt: skip
    config.check()
    run, model = Run(config), adapter("flux")
    set_trainable(model.module, trainable)
    for batch in run.steps(model, Batches()):
        with run.autocast():
            loss = task_loss(model.velocity(*batch))
        run.backward(loss)
    run.finish(model)
    return torch.cat([p.detach().flatten() for _, p in sorted(model.module.named_parameters())])


OTHERS = [pytest.param(one, marks=pytest.mark.slow) for one in ({"optimizer": "adafactor"}, {"precision": "bf16"})]


@pytest.mark.parametrize("settings", [{}, *OTHERS])
def test_swapped_blocks_train_to_the_same_weights_bit_for_bit(tmp_path, settings):
    resident = train(tmp_path / "resident", 0, **settings)
    assert torch.equal(train(tmp_path / "swapped", 3, **settings), resident)
    train(tmp_path / "stopped", 3, stop_at=2, **settings)
    assert torch.equal(train(tmp_path / "stopped", 3, **settings), resident)


def test_no_weight_of_a_swapped_block_moves_and_all_others_do():
    transformer = tiny_flux.transformer()
    set_trainable(torch.nn.ModuleDict({"transformer": transformer}), Trainable(gradient_checkpointing=True, swap=1))
    first, *others = blocks_of(transformer)
    assert hasattr(first, SWAPPED) and not any(hasattr(block, SWAPPED) for block in others)
    assert is_swapped(transformer)
    move(transformer, torch.device("meta"))
    moved = {name for name, p in transformer.named_parameters() if p.is_meta}
    assert moved == {
        name for name, _ in transformer.named_parameters() if not name.startswith("transformer_blocks.0.")
    }


def test_a_forward_pass_without_a_gradient_is_the_same():
    plain = adapter("flux")
    swapped = copy.deepcopy(plain)
    set_trainable(swapped.module, Trainable(gradient_checkpointing=True, swap=2))
    with torch.no_grad():
        assert torch.equal(plain.velocity(*inputs("flux", seed=3)), swapped.velocity(*inputs("flux", seed=3)))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"weights": "lora", "gradient_checkpointing": True, "swap": 1}, "needs trainable.weights=full"),
        ({"swap": 1}, "gradient_checkpointing=true"),
        ({"swap": -1}, "trainable.swap must be at least 0"),
    ],
)
def test_what_cannot_be_swapped_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Trainable(**settings).check()


def test_more_blocks_than_there_are_is_refused():
    module = torch.nn.ModuleDict({"transformer": tiny_flux.transformer()})
    with pytest.raises(ValueError, match=r"trainable.swap is 99; FluxTransformer2DModel has \d+ blocks"):
        set_trainable(module, Trainable(gradient_checkpointing=True, swap=99))
