"""Weights that are shared out over several cards: torch's FSDP2, where accelerate's launcher asks for it.

What a run is stands in its config, what it runs on in the launcher's: replicated and sharded runs take the same steps.
`accelerate launch --config_file configs/accelerate/fsdp2.yaml` says it through two variables of the environment, and
so can torchrun: `ACCELERATE_USE_FSDP=true FSDP_VERSION=2 torchrun --nproc-per-node 8 train/...`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from posterkit.training.config import RunConfig
from posterkit.training.errors import WrongCall

_ACCEPTED = "take configs/accelerate/fsdp2.yaml, zero2.yaml or ddp.yaml, or torchrun"
# what accelerate's launcher may set beside FSDP, and a run would pass over
_OTHERS = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config",
    "ACCELERATE_USE_SAGEMAKER": "SageMaker's own data parallelism",
}
# options of accelerate's FSDP that would do harm here, or nothing
_PLACED = {
    "fsdp_cpu_ram_efficient_loading": "text encoders would be loaded empty in all processes but one: set it to false",
    "fsdp_activation_checkpointing": "set it to false and give trainable.gradient_checkpointing=true",
    "fsdp_offload_params": "a run keeps its weights on the cards: set it to false",
}


def asks_for_sharding(config: RunConfig) -> bool:
    """Whether the launcher asks for FSDP2; else every process is to hold all weights.

    Raises:
        WrongCall: it asks for another kind of training on several cards, for an option of FSDP2 that has a place
            elsewhere here, or `config` is of a run that cannot be sharded.
    """
    for variable, name in _OTHERS.items():
        if _true(variable):
            raise _wrong(f"the launcher asks for {name}, which a run does not use; {_ACCEPTED}")
    if not _true("ACCELERATE_USE_FSDP"):
        return False
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise _wrong(f"the launcher asks for FSDP 1; set fsdp_version: 2 ({_ACCEPTED})")
    for option, instead in _PLACED.items():
        if _true(option.upper()):
            raise _wrong(f"the launcher sets {option}: true; {instead}")
    trainable, strategy = getattr(config, "trainable", None), getattr(config, "strategy", None)
    if trainable is None:
        raise _wrong(f"{type(config).__name__}: stage 0 is small and is not sharded; {_ACCEPTED}")
    if strategy is None:
        raise _wrong(f"{type(config).__name__}: it is not sharded; train a LoRA with configs/accelerate/ddp.yaml")
    if trainable.weights != "full":
        raise _wrong(
            f"trainable.weights={trainable.weights} is not sharded, only full is; train it with "
            "configs/accelerate/ddp.yaml, each card then holds the base (base=nf4 makes it small)"
        )
    if trainable.swap:
        raise _wrong("trainable.swap is for one process; with FSDP2 the processes share the weights")
    if getattr(config, "compile", False):
        raise _wrong("compile does not go with FSDP2; set compile=false")
    if strategy != "end_to_end":
        raise _wrong(f"strategy={strategy} works on whole weights; take configs/accelerate/ddp.yaml")
    if "8bit" in config.optimizer:
        raise _wrong(f"optimizer={config.optimizer} works on whole weights; with FSDP2 take adafactor or adamw")
    return True


def shard(model: Any, device: torch.device, bf16: bool) -> None:
    """Share out a transformer's weights over all processes, in place; gradients and optimiser states follow them.

    Every block is gathered when it is used and freed after it, what stands between the blocks likewise; with the
    launcher's `fsdp_reshard_after_forward: false` it is freed after the backward pass only, as in ZeRO-2. Weights,
    reductions and steps are float32; with `bf16` blocks are gathered in bfloat16, and what enters them stays as it is
    (timesteps would lose digits), which autocast then takes care of.

    Args:
        model: an adapter whose `module` holds nothing but a transformer that trains, the same in every process; it may
            still lie in main memory: block by block it is moved to the card and shared out. Where the first process
            alone has read it (the others' lies on the meta device) the others get their parts from there.
    """
    (transformer,) = model.module.values()
    policy = MixedPrecisionPolicy(cast_forward_inputs=False)
    if bf16:
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    options: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (torch.distributed.get_world_size(),)),
        "reshard_after_forward": os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false",
        "mp_policy": policy,
    }
    blocks = [part for part in transformer.modules() if type(part).__name__ in transformer._no_split_modules]
    empty: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(empty, any(p.is_meta for p in transformer.parameters()))
    if not any(empty):
        for part in (*blocks, transformer):
            fully_shard(part, **options)
        return
    main = torch.distributed.get_rank() == 0
    read = dict(transformer.state_dict()) if main else {}
    transformer.to("meta")
    for part in (*blocks, transformer):
        fully_shard(part, **options)
    transformer.to_empty(device=device)
    with torch.no_grad():
        for name, tensor in [*transformer.named_parameters(), *transformer.named_buffers()]:
            value = read.pop(name).to(device) if main else torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
            if isinstance(tensor, DTensor):
                tensor.copy_(distribute_tensor(value, tensor.device_mesh, tensor.placements, src_data_rank=0))
            else:
                torch.distributed.broadcast(value, 0)
                tensor.copy_(value)


def reads_nothing(config: RunConfig) -> bool:
    """Whether this process gets its transformer's weights from the first one, which alone reads them."""
    return asks_for_sharding(config) and os.environ.get("RANK", "0") != "0"


@contextlib.contextmanager
def parted_again(module: nn.Module) -> Iterator[None]:
    """What a forward pass alone has gathered is freed afterwards: there is no backward pass that would do it."""
    try:
        yield
    finally:
        for part in module.modules():
            if isinstance(part, FSDPModule):
                part.reshard()


def whole(value: Tensor) -> Tensor:
    """A sharded tensor put together, in every process, which all must ask for; any other as it is."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def like(value: Tensor, sharded: Any) -> Tensor:
    """This process's part of a whole tensor where `sharded` has parts, else the tensor; nothing is sent."""
    if not isinstance(sharded, DTensor) or value.shape != sharded.shape:
        return value
    value = value.to(sharded.device)
    return distribute_tensor(value, sharded.device_mesh, sharded.placements, src_data_rank=None)


def clip_norm(parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
    """Clip gradients to a norm over all of them, whichever process holds which part; returns what it was."""
    norm = whole(nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]))
    nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm


@contextlib.contextmanager
def gathered(model: Any, main: bool) -> Iterator[None]:
    """The whole transformer in place of a sharded one, in main memory and bfloat16, as it is released.

    All processes must enter; only the main one then has something to save. Does nothing to what is not sharded.
    """
    sharded: Any = dict(model.module.named_children()).get("transformer")
    if FSDPModule not in type(sharded).__mro__:
        yield
        return
    weights = {}
    for name, value in sharded.state_dict().items():  # one after the other: no card need hold them all
        value = whole(value).to(torch.bfloat16)
        if main:
            weights[name] = value.cpu()
    if not main:
        yield
        return
    with torch.device("meta"):
        plain = type(sharded).from_config(sharded.config)
    plain.load_state_dict(weights, assign=True)
    model.parts["transformer"] = model.module["transformer"] = plain
    try:
        yield
    finally:
        model.parts["transformer"] = model.module["transformer"] = sharded


def _true(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() in ("1", "true", "yes")


def _wrong(line: str) -> WrongCall:
    """Said by one process; none has met the others yet."""
    return WrongCall(line, tell=os.environ.get("RANK", "0") == "0")
