"""Optimisers by name, and which weights decay."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor, zeros

from posterkit.training.config import RunConfig
from posterkit.training.errors import WrongCall

Groups = list[dict[str, Any]]
_SMALL = 4096  # values; bitsandbytes keeps the states of smaller weights in 32 bits
_BLOCK = 256  # values that share one scale in its 8-bit states


def choose_optimizer(
    config: RunConfig, device: torch.device, say: Callable[[str], None] = print
) -> Callable[[Groups], torch.optim.Optimizer]:
    """A function that makes the configured optimiser for some parameter groups; nothing is allocated yet.

    The 8-bit ones are bitsandbytes'. Without an NVIDIA card the same config runs on PyTorch's AdamW, and `say` gets a
    line about it. Adafactor works as in PosterCraft: at the schedule's own rate, neither relative to the step nor to
    the size of a weight, which transformers' has an option for and PyTorch's has not.

    Raises:
        WrongCall: there is a card, and bitsandbytes cannot be imported.
    """
    betas = (config.betas[0], config.betas[1])
    if config.optimizer == "adafactor":
        return partial(_adafactor, lr=config.learning_rate)
    if config.optimizer == "muon":
        return partial(MuonAdamW, lr=config.learning_rate, rest=config.adamw_rate, betas=betas)
    if config.optimizer != "adamw":
        if device.type == "cuda":
            try:
                from bitsandbytes import optim  # pyright: ignore[reportMissingImports]
            except Exception as fault:  # its own library may be missing for this CUDA, in its own ways
                raise WrongCall(
                    f"optimizer {config.optimizer}: bitsandbytes cannot be imported "
                    f"({str(fault).strip().splitlines()[0]}); install posterkit[gpu], or take optimizer=adamw"
                ) from None
            kind = {"adamw8bit": optim.AdamW8bit, "paged_adamw8bit": optim.PagedAdamW8bit}[config.optimizer]
            return partial(kind, lr=config.learning_rate, betas=betas)
        say(f"optimizer {config.optimizer} needs an NVIDIA card; here PyTorch's AdamW does its work, in float32")
    return partial(torch.optim.AdamW, lr=config.learning_rate, betas=betas)


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float, apart: Collection[torch.Tensor] = ()
) -> Groups:
    """Those that train: matrices, which decay, and vectors (biases, norms, DoRA's magnitudes), which do not.

    Args:
        apart: of more than one dimension, and to be treated like vectors all the same.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    aside = {id(parameter) for parameter in apart}
    groups = [
        {"params": [p for p in trained if p.ndim > 1 and id(p) not in aside], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1 or id(p) in aside], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def no_matrices(module: nn.Module) -> list[torch.Tensor]:
    """What Muon does not step though it has several dimensions: tables of embeddings, and convolutions."""
    tables = [part.weight for part in module.modules() if isinstance(part, nn.Embedding)]
    return [*tables, *(parameter for parameter in module.parameters() if parameter.ndim > 2)]


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) for matrices, AdamW for all else.

    Muon's steps have the size of AdamW's (`match_rms_adamw`, Liu et al. 2025). A group's `scale` says what the run's
    rate is multiplied with there.

    Args:
        groups: as `parameter_groups` makes them; those that hold matrices alone are Muon's.
        lr: Muon's rate.
        rest: AdamW's.
    """

    def __init__(self, groups: Groups, lr: float, rest: float, betas: tuple[float, float] = (0.9, 0.99)) -> None:
        super().__init__(groups, {"lr": lr})
        for group in self.param_groups:
            group["muon"] = all(parameter.ndim == 2 for parameter in group["params"])
            group["scale"] = 1.0 if group["muon"] else rest / lr
            group["lr"] = lr * group["scale"]
        kinds = {
            True: partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw", weight_decay=0.0),
            False: partial(torch.optim.AdamW, betas=betas),
        }
        # each fills its own groups with what it has to know
        self._kinds = {muon: make(mine) for muon, make in kinds.items() if (mine := self._of(muon))}

    def _of(self, muon: bool) -> Groups:
        return [group for group in self.param_groups if group["muon"] is muon]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of both."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for muon, optimizer in self._kinds.items():
            optimizer.param_groups, optimizer.state = self._of(muon), self.state  # loading a state makes new ones
            optimizer.step()
        return loss


def _adafactor(groups: Groups, lr: float) -> torch.optim.Optimizer:
    """Transformers' Adafactor; of sharded weights its rows are sharded too, and its columns whole everywhere."""
    from transformers.optimization import Adafactor

    optimizer = Adafactor(groups, lr=lr, scale_parameter=False, relative_step=False, warmup_init=False)
    for parameter in (one for group in optimizer.param_groups for one in group["params"]):
        if isinstance(parameter, DTensor) and parameter.ndim > 1:
            # what its first step would make, but not as parts of a whole
            mesh, shape = parameter.device_mesh, parameter.shape
            rows = zeros(shape[:-1], device_mesh=mesh, placements=parameter.placements)
            columns = zeros((*shape[:-2], shape[-1]), device_mesh=mesh)
            optimizer.state[parameter].update(step=0, exp_avg_sq_row=rows, exp_avg_sq_col=columns, RMS=0)
    return optimizer


def optimizer_bytes(optimizer: torch.optim.Optimizer, device: str | None = None) -> int:
    """Bytes of an optimiser's states after its first step; of weights on a device of this type, where one is given.

    AdamW keeps two moments as the weights are kept, its 8-bit kinds a byte for each of both and a scale for every 256
    values, Adafactor the rows' and the columns' means of a matrix and one moment of a vector.
    """
    kind = type(optimizer).__name__
    total = 0
    weights = (p for group in optimizer.param_groups for p in group["params"] if device in (None, p.device.type))
    for weight in (p.to_local() if isinstance(p, DTensor) else p for p in weights):
        count = weight.numel()
        if "8bit" in kind and count >= _SMALL:
            total += 2 * count + 2 * 4 * -(-count // _BLOCK)
        elif kind == "Adafactor":
            factored = weight.ndim > 1
            total += 4 * (count // weight.shape[-1] + count // weight.shape[-2] if factored else count)
        else:
            total += 2 * weight.nbytes
    return total
