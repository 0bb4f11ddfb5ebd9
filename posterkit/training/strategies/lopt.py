"""LoPT, local-learning post-training (arXiv 2605.04913), for diffusion transformers.

The paper cuts a transformer at its middle. With h_in and h_out what enters and leaves the first half,

    L_aux = mean (A(h_out) - sg(h_in))^2        what the first half learns, A a small head
    h_next = sg(h_out)                          what the second half sees
    L = L_task + weight L_aux

where sg stops the gradient: the forward pass is unchanged, and the task reaches the second half only. Two things are
ours. A diffusion transformer's blocks also read one vector of time and pooled text, which has to be cut as well, or
the task would reach the time embedding through it. And L_aux runs backward at the boundary, within the forward pass:
the two losses share no weight, so the gradients are those of L, but the first half's activations are gone before the
second half makes its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel, QwenImageTransformer2DModel
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from posterkit.training.adapters import Adapter
from posterkit.training.strategies.strategy import EndToEnd, Group, HalvesConfig

STREAMS = ("hidden_states", "encoder_hidden_states")  # image and text tokens, as the blocks' arguments call them


# the lists of blocks in the order of the forward pass; no block reads what another than the one before it made
BLOCKS = {
    FluxTransformer2DModel: ("transformer_blocks", "single_transformer_blocks"),
    QwenImageTransformer2DModel: ("transformer_blocks",),
}


class Halves:
    """The cut of an adapter's transformer: its `blocks` in the forward pass's order, `boundary` of them in the first
    half.

    TypeError for another transformer than the two families', or one that is wrapped (DDP, peft) or sharded.
    """

    def __init__(self, model: Adapter, config: HalvesConfig) -> None:
        self.model, self.config = model, config
        self.check_plain()
        self.transformer: Any = model.module["transformer"]
        self.blocks = [block for name in BLOCKS[type(self.transformer)] for block in getattr(self.transformer, name)]
        self.boundary = self._boundary()

    def check_plain(self) -> None:
        """Raise TypeError where something wraps the weights that a backward pass inside the forward pass would break.

        DDP and FSDP count on one backward pass after the forward pass. A Run needs neither: it averages gradients
        over processes itself, once a step.
        """
        wrapped = self.model.module
        if isinstance(wrapped, nn.ModuleDict):
            wrapped = wrapped["transformer"]
            if type(wrapped) in BLOCKS and not any(isinstance(part, FSDPModule) for part in wrapped.modules()):
                return
        raise TypeError(
            f"lopt and frozen_half cut {' or '.join(cls.__name__ for cls in BLOCKS)}, neither wrapped nor sharded; "
            f"got {type(wrapped).__name__}; several processes need no wrapper, Run averages their gradients"
        )

    def groups(self) -> list[Group]:
        """What trains before the boundary (embedders, time and text encoders, heads), and what after it."""
        late = [*self.blocks[self.boundary :], self.transformer.norm_out, self.transformer.proj_out]
        ids = {id(parameter) for part in late for parameter in part.parameters()}
        trained = [parameter for parameter in self.model.module.parameters() if parameter.requires_grad]
        return [
            Group("first_half", [p for p in trained if id(p) not in ids], self.config.early_rate),
            Group("second_half", [p for p in trained if id(p) in ids]),
        ]

    def check_trains(self, *names: str) -> None:
        """Raise ValueError where one of these groups has nothing that trains."""
        for group in self.groups():
            if group.name in names and not group.parameters:
                raise ValueError(
                    f"nothing trains in the {group.name.replace('_', ' ')} of the transformer (cut after block "
                    f"{self.boundary} of {len(self.blocks)}); check what the stage trains"
                )

    def _boundary(self) -> int:
        config, count = self.config, len(self.blocks)
        if count < 2:
            raise ValueError(f"a transformer of {count} block has no halves; take strategy end_to_end")
        if config.boundary is not None:
            if not 0 < config.boundary < count:
                raise ValueError(f"halves.boundary must lie in 1..{count - 1}, got {config.boundary}")
            return config.boundary
        if config.cut == "double_single":
            double = len(self.transformer.transformer_blocks)
            if not 0 < double < count:
                raise ValueError("halves.cut is double_single, but the transformer has blocks of one kind only")
            return double
        if config.cut == "parameters":
            sizes = [sum(parameter.numel() for parameter in block.parameters()) for block in self.blocks]
            return min(range(1, count), key=lambda number: (abs(2 * sum(sizes[:number]) - sum(sizes)), -number))
        return (count + 1) // 2


class FrozenHalf(EndToEnd):
    """Only the second half trains: the cheap alternative that LoPT has to beat. No backward pass in the first half."""

    def __init__(self, model: Adapter, config: HalvesConfig) -> None:
        super().__init__(model)
        self.halves = Halves(model, config)
        self.halves.check_trains("second_half")
        for parameter in self.halves.groups()[0].parameters:
            parameter.requires_grad_(False)

    def groups(self) -> list[Group]:
        return self.halves.groups()[1:]


class LoPT:
    """The task trains the second half of the transformer, a reconstruction the first half and what comes before it.

    Heads live in `model.module["reconstruction"]`, so that a run trains, averages and saves them with its state; what
    the adapter saves as a pipeline has none. Both targets are read through heads, one for each stream of tokens. For
    `anchor` this is no luxury: compared directly, the weights that the stage begins with would be at the loss's
    minimum already, and the first half would never move.

    With `anchor` every step runs the first half once more, without gradients, and its trained weights are kept twice.

    Raises:
        TypeError, ValueError: as `Halves`, or one half has nothing that trains.
    """

    def __init__(self, model: Adapter, config: HalvesConfig, accumulation: int = 1) -> None:
        """
        Args:
            accumulation: forward passes in one optimiser step; the reconstruction is divided by it, as the task is.
        """
        self.model, self.config, self.accumulation = model, config, accumulation
        self.halves = Halves(model, config)
        self.halves.check_trains("first_half", "second_half")
        self.transformer = self.halves.transformer
        of_transformer = {id(parameter) for parameter in self.transformer.parameters()}
        self._early = [p for p in self.halves.groups()[0].parameters if id(p) in of_transformer]
        self._start = [p.detach().clone() for p in self._early] if config.target == "anchor" else []
        with torch.random.fork_rng(devices=[]):  # the run's other random numbers are those of end_to_end
            self.heads = nn.ModuleDict({name: reconstruction_head(self.transformer.inner_dim) for name in STREAMS})
        model.module["reconstruction"] = self.heads.to(self.transformer.device)
        self._number = {id(block): number for number, block in enumerate(self.halves.blocks)}
        self._targets: dict[str, Tensor] = {}
        self._errors: list[Tensor] = []

    def velocity(self, *inputs: Any) -> Tensor:
        """The same numbers as the model's own velocity; under it lies the second half's graph alone.

        The reconstruction's gradient has been added when this returns. Each call adds one, so a loss over several
        calls weighs the reconstruction as often. A text encoder that trains learns from the reconstruction, and its
        states can serve one call only.

        Raises:
            FloatingPointError: the reconstruction's error is not finite.
            TypeError: the transformer was wrapped or sharded since the strategy was built.
        """
        if not torch.is_grad_enabled():
            return self.model.velocity(*inputs)
        self.halves.check_plain()
        self._targets = self._at_the_start(inputs) if self.config.target == "anchor" else {}
        with self._cut():
            return self.model.velocity(*inputs)

    def groups(self) -> list[Group]:
        return self.halves.groups()

    def report(self) -> dict[str, float]:
        errors, self._errors = self._errors, []
        return {"reconstruction": torch.stack(errors).mean().item()} if errors else {}

    @contextmanager
    def _cut(self) -> Iterator[None]:
        """Let `_call` call every block: where diffusers checkpoints, it calls blocks through a function of its own."""
        transformer = self.transformer
        before = transformer.gradient_checkpointing, transformer._gradient_checkpointing_func
        self._checkpoint = before[1] if before[0] else None
        transformer.gradient_checkpointing, transformer._gradient_checkpointing_func = True, self._call
        # the last norm reads the time as well
        hook = transformer.norm_out.register_forward_pre_hook(lambda _, args: (args[0], args[1].detach()))
        try:
            yield
        finally:
            hook.remove()
            transformer.gradient_checkpointing, transformer._gradient_checkpointing_func = before
            self._targets = {}

    def _call(self, block: nn.Module, *values: Any) -> tuple[Tensor, Tensor]:
        """One block of the forward pass, behind the boundary on inputs without a past."""
        number = self._number[id(block)]
        inputs = dict(zip(list(inspect.signature(type(block).forward).parameters)[1:], values, strict=False))
        if number == 0 and not self._targets:
            self._targets = {name: inputs[name].detach() for name in STREAMS}
        if number == self.halves.boundary:
            self._learn({name: inputs[name] for name in STREAMS}, inputs.get("encoder_hidden_states_mask"))
            inputs |= {name: inputs[name].detach() for name in STREAMS}
        if number >= self.halves.boundary:
            inputs["temb"] = inputs["temb"].detach()
        return block(**inputs) if self._checkpoint is None else self._checkpoint(block, *inputs.values())

    def _learn(self, features: dict[str, Tensor], mask: Tensor | None) -> None:
        """The reconstruction's backward pass; the first half's activations are free after it."""
        targets, self._targets = self._targets, {}
        errors = []
        for name, value in features.items():
            counts = mask if name == "encoder_hidden_states" else None
            made = self.heads[name](value.float())
            errors.append(reconstruction_error(made, targets[name], counts, self.config.normalised))
        error = torch.stack(errors).mean()
        if not torch.isfinite(error):
            raise FloatingPointError(f"the reconstruction's error is {error.item()}")
        with torch.autocast(error.device.type, enabled=False):  # a backward pass takes its precision from the forward
            (self.config.weight * error / self.accumulation).backward()
        self._errors.append(error.detach())

    @torch.no_grad()
    def _at_the_start(self, inputs: tuple[Any, ...]) -> dict[str, Tensor]:
        """What the first half makes of these inputs with the weights that the stage began with."""
        found: dict[str, Tensor] = {}

        def stop(_: nn.Module, __: Any, made: tuple[Tensor, Tensor]) -> None:
            found["encoder_hidden_states"], found["hidden_states"] = made
            raise _Reached

        hook = self.halves.blocks[self.halves.boundary - 1].register_forward_hook(stop)
        self._swap()
        try:
            self.model.velocity(*inputs)
        except _Reached:
            pass
        finally:
            hook.remove()
            self._swap()
        return found

    def _swap(self) -> None:
        """Exchange the first half's weights and those that the stage began with; a second call puts them back."""
        torch.clear_autocast_cache()  # it knows weights by their place in memory, and would take one for the other
        for index, parameter in enumerate(self._early):
            start = self._start[index].to(parameter.device)
            parameter.data, self._start[index] = start, parameter.data


class _Reached(Exception):
    """The forward pass has come as far as it was to go."""


def reconstruction_head(width: int) -> nn.Sequential:
    """LoPT's A, `(B, S, width)` to the same: LayerNorm, width to a quarter, GELU, back to width; near 0 at first."""
    head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width // 4), nn.GELU(), nn.Linear(width // 4, width))
    for layer in head:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=0.1)
            nn.init.zeros_(layer.bias)
    return head


def reconstruction_error(made: Tensor, target: Tensor, mask: Tensor | None = None, normalised: bool = True) -> Tensor:
    """Mean squared error in float32, as a share of the target's variance.

    Args:
        made, target: `(B, S, D)`, any float dtype.
        mask: `(B, S)` bool, True where a token counts; padding does not. All count where None.
        normalised: divide by the variance over tokens, mean over channels: 1 is what the mean token would score.

    Returns:
        Scalar.
    """
    made, target = (value.float().flatten(0, 1) if mask is None else value.float()[mask] for value in (made, target))
    error = F.mse_loss(made, target)
    return error / target.var(0, correction=0).mean().clamp_min(1e-6) if normalised else error
