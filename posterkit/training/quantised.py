"""A frozen base in 4 bits, so that a LoRA of a large model trains on a small card (QLoRA, arXiv 2305.14314).

bitsandbytes' NF4 with double quantisation and bfloat16 arithmetic, in the linear layers of the blocks; what stands
around them stays bfloat16. FLUX.1-dev's transformer then takes about 7 GB instead of 24, Qwen-Image-Edit's 12 instead
of 41. Run on a CPU, where bitsandbytes has slow kernels of its own; not yet run on a GPU.
"""

from __future__ import annotations

import torch
from torch import nn

from posterkit.pipelines.lora_weights import UNQUANTISED, base_of
from posterkit.training.adapters import Adapter


def quantise_base(model: Adapter, device: torch.device) -> None:
    """Bring an adapter's frozen transformer and its large text encoders to 4 bits, layer by layer on the device.

    A LoRA of the stage before has been added by then, in bfloat16, and the one that trains comes after. CLIP, which is
    small, and Qwen's eyes stay as they are. The transformer stays on the device, the text encoders go back.

    Raises:
        ValueError: bitsandbytes cannot be imported, or has no kernels for this machine.
    """
    transformer = model.parts["transformer"]
    setattr(transformer, UNQUANTISED, base_of(transformer))
    readers = [getattr(reader, "encoder", None) or reader.model.language_model for reader in model.readers[-1:]]
    try:
        for module in (transformer, *readers):
            _quantise(module, device)
    except Exception as fault:  # its own library may be missing or fail, in its own ways
        reason = str(fault).strip().splitlines()[0]
        raise ValueError(
            f"base nf4: bitsandbytes does not work here ({reason}); pip install 'posterkit[gpu]'"
        ) from None
    transformer.is_loaded_in_4bit = True  # peft asks for it
    model.readers[-1].to("cpu")


def _quantise(module: nn.Module, device: torch.device) -> None:
    """Put 4-bit layers in place of the linear ones of a module's blocks."""
    from bitsandbytes.nn import Linear4bit, Params4bit  # pyright: ignore[reportMissingImports]

    blocks = [block for part in module.modules() if isinstance(part, nn.ModuleList) for block in part]
    found = {
        id(layer): (parent, name)
        for block in blocks
        for parent in block.modules()
        for name, layer in parent.named_children()
        # T5 looks at the dtype of the weights of `wo` and would bring its input to it
        if type(layer) is nn.Linear and name != "wo"
    }
    for parent, name in found.values():
        layer = getattr(parent, name)
        made = Linear4bit(layer.in_features, layer.out_features, False, compute_dtype=torch.bfloat16, device="meta")
        weight = layer.weight.detach().to(torch.bfloat16)
        made.weight = Params4bit(weight, quant_type="nf4", compress_statistics=True, module=made)
        if layer.bias is not None:
            made.bias = nn.Parameter(layer.bias.detach().to(torch.bfloat16), requires_grad=False)
        # else a CPU of some kinds packs the weights anew for pictures on the way, and no gradient passes them then
        made.support_avx512bf16_for_cpu = False
        setattr(parent, name, made.to(device))
