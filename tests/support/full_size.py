"""The models of FLUX.1-dev and Qwen-Image-Edit-2509 by their published configs, on the meta device."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import tiny_flux
import tiny_qwen
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, AutoencoderKLQwenImage, FluxTransformer2DModel, QwenImageTransformer2DModel
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

LEVELS = 4
QWEN_WORDS: dict[str, Any] = {
    "vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "rope_theta": 1e6, "tie_word_embeddings": False,
    "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"},
}  # fmt: skip
QWEN_EYES = {
    "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 3584,
    "patch_size": 14, "window_size": 112, "fullatt_block_indexes": [7, 15, 23, 31],
}  # fmt: skip


def _flux() -> dict[str, nn.Module]:
    clip = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12, projection_dim=768,
        max_position_embeddings=77, vocab_size=49408,
    )  # fmt: skip
    t5 = T5Config(
        d_ff=10240, d_kv=64, d_model=4096, num_heads=64, num_layers=24, vocab_size=32128,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False, is_encoder_decoder=False,
    )  # fmt: skip
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * LEVELS, up_block_types=("UpDecoderBlock2D",) * LEVELS,
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=16, sample_size=1024,
        scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip
    transformer = FluxTransformer2DModel(guidance_embeds=True)  # diffusers' defaults are FLUX.1's sizes
    return {"text_encoder": CLIPTextModel(clip), "text_encoder_2": T5EncoderModel(t5), "transformer": transformer,
            "vae": vae}  # fmt: skip


def _qwen(**ids: int) -> dict[str, nn.Module]:
    config = Qwen2_5_VLConfig(text_config=QWEN_WORDS, vision_config=QWEN_EYES, tie_word_embeddings=False, **ids)
    return {
        "text_encoder": Qwen2_5_VLForConditionalGeneration(config),
        "transformer": QwenImageTransformer2DModel(),  # diffusers' defaults are Qwen-Image's sizes
        "vae": AutoencoderKLQwenImage(),
    }


@functools.cache
def models(family: str) -> dict[str, nn.Module]:
    """The models of a family in bfloat16."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            made = {"postercraft": _flux, "posteromni": _qwen}[family]()
    finally:
        torch.set_default_dtype(before)
    return {name: model.eval() for name, model in made.items()}


def random_components(family: str, toy: bool = False) -> dict[str, Any]:
    """What the family's pipeline is made of at the published sizes, with random bfloat16 weights in main memory.

    Tokenizers are those of the tiny models: which rows of the embeddings are looked up costs no memory.

    Args:
        toy: models of the tiny sizes.
    """
    tiny = {"postercraft": tiny_flux, "posteromni": tiny_qwen}[family]
    made = tiny.components()
    with init_empty_weights():
        if toy:
            models = {name: part for name, part in tiny.components().items() if isinstance(part, nn.Module)}
        elif family == "postercraft":
            models = _flux()
        else:
            words = made["tokenizer"]
            named = {"vision_start": "vision_start", "vision_end": "vision_end", "vision": "vision_pad",
                     "image": "image_pad", "video": "video_pad"}  # fmt: skip
            models = _qwen(
                **{f"{key}_token_id": words.convert_tokens_to_ids(f"<|{name}|>") for key, name in named.items()}
            )
    noise = (torch.randn(2**22) * 0.02).to(torch.bfloat16)
    for model in models.values():
        _fill(model.eval(), noise)
    return made | models


def _fill(model: nn.Module, noise: torch.Tensor) -> None:
    """Real parameters for those on the meta device; the noise is repeated, since drawing billions takes minutes."""
    filled: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            if id(old) not in filled:
                new = torch.empty(old.shape, dtype=torch.bfloat16)
                if old.ndim == 1:
                    new.fill_(float(name == "weight"))  # of a norm; biases are 0
                else:
                    for start in range(0, new.numel(), len(noise)):
                        part = new.view(-1)[start : start + len(noise)]
                        part.copy_(noise[: len(part)])
                filled[id(old)] = nn.Parameter(new, requires_grad=False)
            setattr(module, name, filled[id(old)])


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(*shape, device="meta", dtype=torch.bfloat16)


def forward_passes(family: str, side: int = 1024, references: int = 1) -> dict[str, Callable[[], Any]]:
    """What a call of the pipeline runs at each moment, for one poster of `side` x `side` pixels."""
    made, cells, rows = models(family), side // 8, side // 16
    tokens = rows * rows
    vae, transformer = made["vae"], made["transformer"]
    if family == "postercraft":
        words = torch.zeros(1, 512, dtype=torch.long, device="meta")
        return {
            "encoding": lambda: made["text_encoder_2"](words),
            "denoising": lambda: transformer(
                hidden_states=empty(1, tokens, 64), encoder_hidden_states=empty(1, 512, 4096),
                pooled_projections=empty(1, 768), timestep=empty(1), guidance=empty(1),
                img_ids=empty(tokens, 3), txt_ids=empty(512, 3),
            ),
            "decoding": lambda: vae.decode(empty(1, 16, cells, cells)),
        }  # fmt: skip
    shapes = [[(1, rows, rows)] * (1 + references)]
    language: Any = made["text_encoder"].model.language_model  # type: ignore[union-attr]
    return {
        # the eyes count their patches, which the meta device cannot; at 384 x 384 pixels they see few
        "encoding": lambda: language(inputs_embeds=empty(1, 1024, 3584), use_cache=False),
        "denoising": lambda: transformer(
            hidden_states=empty(1, tokens * (1 + references), 64), timestep=empty(1),
            encoder_hidden_states=empty(1, 1024, 3584), img_shapes=shapes,
        ),
        "decoding": lambda: vae.decode(empty(1, 16, 1, cells, cells)),
    }  # fmt: skip


class _FusedAttention(TorchFunctionMode):
    """Attention as a card's kernels do it: no matrix of all pairs is made."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is nn.functional.scaled_dot_product_attention:
            query, _, value = args[:3] if len(args) > 2 else (kwargs[name] for name in ("query", "key", "value"))
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that a computation makes, while they live; runs on any device.

    Attributes:
        peak: the most at one time. What existed before counts not.
    """

    def __init__(self, *models: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, Any] = {}
        for tensor in (t for model in models for t in (*model.parameters(), *model.buffers())):
            storage = tensor.untyped_storage()
            self._known[storage._cdata] = storage

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                place, size = storage._cdata, storage.nbytes()
                if place not in self._known:
                    self.now += size
                    self.peak = max(self.peak, self.now)
                    self._known[place] = weakref.ref(storage, functools.partial(self._drop, place, size))
        return out

    def _drop(self, place: int, size: int, _: Any) -> None:
        self._known.pop(place, None)
        self.now -= size


def peak(work: Callable[[], Any], *models: nn.Module) -> int:
    """Bytes of live tensors at the peak of some work."""
    with torch.no_grad(), LiveTensors(*models) as live, _FusedAttention():
        work()
    return live.peak
