"""A frozen base in 4 bits, so that a LoRA of a large model trains on a small card (QLoRA, arXiv 2305.14314).

bitsandbytes' NF4 with double quantisation and bfloat16 arithmetic, in the linear layers of the blocks; what stands
around them stays bfloat16. FLUX.1-dev's transformer then takes about 7 GB instead of 24, Qwen-Image-Edit's 12 instead
of 41. Run on a CPU, where bitsandbytes has slow kernels of its own; not yet run on a GPU.
"""

from __future__ import annotations

import torch

from posterkit.pipelines.lora_weights import UNQUANTISED, base_of
from posterkit.pipelines.quantise import quantise
from posterkit.training.adapters import Adapter


def quantise_base(model: Adapter, device: torch.device) -> None:
    """Bring an adapter's frozen transformer and its large text encoders to 4 bits, layer by layer on the device.

    A LoRA of the stage before has been added by then, in bfloat16, and the one that trains comes after. CLIP, which is
    small, and Qwen's eyes stay as they are. The transformer stays on the device, the text encoders go back. ValueError
    where bitsandbytes cannot be imported, or has no kernels for this machine.
    """
    transformer = model.parts["transformer"]
    setattr(transformer, UNQUANTISED, base_of(transformer))
    readers = [getattr(reader, "encoder", None) or reader.model.language_model for reader in model.readers[-1:]]
    for module in (transformer, *readers):
        quantise(module, lambda path: "nf4", device, device, torch.bfloat16)
    transformer.is_loaded_in_4bit = True  # peft asks for it
    model.readers[-1].to("cpu")
