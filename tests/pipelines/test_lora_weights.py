"""LoRAs of every tool, at the real widths: the same change of weights as diffusers' own converters or PEFT make."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_flux
import torch
from accelerate import init_empty_weights
from diffusers import FluxPipeline, FluxTransformer2DModel, QwenImageEditPlusPipeline, QwenImageTransformer2DModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from posterkit.pipelines.loading import LoraSource, add_loras, lora_source
from posterkit.pipelines.lora_weights import lora_state_dict, read_lora_file

WIDTH, MLP = 3072, 12288
FLUX_LAYERS = {  # outputs and inputs of the authors' layers that LoRAs change
    "double_blocks.0.img_attn.qkv": (3 * WIDTH, WIDTH), "double_blocks.0.txt_attn.qkv": (3 * WIDTH, WIDTH),
    "double_blocks.0.img_attn.proj": (WIDTH, WIDTH), "double_blocks.0.txt_attn.proj": (WIDTH, WIDTH),
    "double_blocks.0.img_mlp.0": (MLP, WIDTH), "double_blocks.0.txt_mlp.2": (WIDTH, MLP),
    "double_blocks.0.img_mod.lin": (6 * WIDTH, WIDTH), "single_blocks.0.linear1": (3 * WIDTH + MLP, WIDTH),
    "single_blocks.0.linear2": (WIDTH, WIDTH + MLP), "single_blocks.0.modulation.lin": (3 * WIDTH, WIDTH),
}  # fmt: skip


@pytest.fixture(scope="module")
def flux() -> Any:
    with init_empty_weights():
        return SimpleNamespace(transformer=FluxTransformer2DModel(num_layers=1, num_single_layers=1))


@pytest.fixture(scope="module")
def qwen() -> Any:
    with init_empty_weights():
        return SimpleNamespace(transformer=QwenImageTransformer2DModel(num_layers=1))


def factors(layers: dict[str, tuple[int, int]], down: str, up: str, rank: int = 2) -> dict[str, Tensor]:
    made, generator = {}, torch.Generator().manual_seed(0)
    for layer, (outputs, inputs) in layers.items():
        made[down.format(layer)] = torch.randn(rank, inputs, generator=generator)
        made[up.format(layer)] = torch.randn(outputs, rank, generator=generator)
    return made


def read(tensors: dict[str, Tensor], folder: Path, metadata: dict[str, str] | None = None) -> Any:
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "a.safetensors", metadata)
    return read_lora_file(folder / "a.safetensors")


def changes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Some rows and columns of B A of each layer; the whole of all layers would take gigabytes."""
    layers = {key.partition(".lora_A")[0] for key in state if ".lora_A" in key}
    return {
        one: state[f"{one}.lora_B.weight"][::97].float() @ state[f"{one}.lora_A.weight"][:, ::97].float()
        for one in layers
    }


def same(mine: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    mine, theirs = changes(mine), changes(theirs)
    assert mine.keys() == theirs.keys()
    for layer, value in mine.items():
        torch.testing.assert_close(value, theirs[layer], rtol=1e-4, atol=1e-4, msg=layer)


def flat(layers: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {layer.replace(".", "_"): shape for layer, shape in layers.items()}


def test_kohyas_names_and_alpha_mean_what_diffusers_makes_of_them(flux: Any, tmp_path: Path) -> None:
    tensors = factors(flat(FLUX_LAYERS), "lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight")
    tensors |= {f"lora_unet_{name}.alpha": torch.tensor(3.0) for name in flat(FLUX_LAYERS)}
    mine = lora_state_dict(read(tensors, tmp_path), flux)
    same(mine, FluxPipeline.lora_state_dict(dict(tensors)))  # type: ignore[arg-type]


def test_xlabs_names_mean_what_diffusers_makes_of_them(flux: Any, tmp_path: Path) -> None:
    names = {"qkv_lora1": 3 * WIDTH, "proj_lora1": WIDTH, "qkv_lora2": 3 * WIDTH, "proj_lora2": WIDTH}
    layers = {f"double_blocks.0.processor.{name}": (outputs, WIDTH) for name, outputs in names.items()}
    tensors = factors(layers, "{}.down.weight", "{}.up.weight")
    mine = lora_state_dict(read(tensors, tmp_path), flux)
    same(mine, FluxPipeline.lora_state_dict(dict(tensors)))  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "model.diffusion_model."])
def test_comfys_and_ai_toolkits_names_are_the_authors_with_or_without_a_prefix(flux, tmp_path, prefix) -> None:
    tensors = factors(FLUX_LAYERS, prefix + "{}.lora_A.weight", prefix + "{}.lora_B.weight")
    mine = lora_state_dict(read(tensors, tmp_path), flux)
    kohya = factors(flat(FLUX_LAYERS), "lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight")
    same(mine, FluxPipeline.lora_state_dict(kohya))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ("{}.lora_A.weight", "{}.lora_B.weight"),
        ("transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight"),
        ("base_model.model.{}.lora_A.weight", "base_model.model.{}.lora_B.weight"),
        ("{}.lora_A.default.weight", "{}.lora_B.default.weight"),
        ("diffusion_model.{}.lora_down.weight", "diffusion_model.{}.lora_up.weight"),
        ("lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight"),
    ],
)
def test_qwens_layers_go_by_one_name_whatever_stands_around_it(qwen, tmp_path, down, up) -> None:
    layers = {f"transformer_blocks.0.{name}": shape for name, shape in {
        "attn.to_q": (WIDTH, WIDTH), "attn.to_out.0": (WIDTH, WIDTH), "attn.add_k_proj": (WIDTH, WIDTH),
        "img_mlp.net.0.proj": (MLP, WIDTH), "txt_mlp.net.2": (WIDTH, MLP), "img_mod.1": (6 * WIDTH, WIDTH),
    }.items()}  # fmt: skip
    plain = factors(layers, "transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight")
    named = factors(flat(layers) if down.startswith("lora_unet") else layers, down, up)
    assert changes(lora_state_dict(read(named, tmp_path), qwen)).keys() == {f"transformer.{layer}" for layer in layers}
    same(lora_state_dict(read(named, tmp_path), qwen), plain)
    if ".lora_down" in down:
        alphas = {down.replace(".lora_down.weight", ".alpha").format(name): torch.tensor(1.0)
                  for name in (flat(layers) if down.startswith("lora_unet") else layers)}  # fmt: skip
        mine = lora_state_dict(read(named | alphas, tmp_path), qwen)
        same(mine, QwenImageEditPlusPipeline.lora_state_dict(named | alphas))  # type: ignore[arg-type]


def test_an_alpha_that_stands_in_the_metadata_or_beside_the_file_counts(qwen, tmp_path) -> None:
    layers = {"transformer_blocks.0.attn.to_q": (WIDTH, WIDTH)}
    tensors = factors(layers, "transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight")
    half = {key: value * (0.5 if ".lora_B" in key else 1) for key, value in tensors.items()}
    config = json.dumps({"transformer.r": 2, "transformer.lora_alpha": 1})
    same(lora_state_dict(read(tensors, tmp_path, {"lora_adapter_metadata": config}), qwen), half)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 2, "lora_alpha": 1}))
    same(lora_state_dict(read(tensors, tmp_path), qwen), half)


@pytest.fixture(scope="module")
def dora(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Tensor]:
    """A DoRA that PEFT made, and what the transformer with it gives."""
    transformer = tiny_flux.components()["transformer"]
    torch.manual_seed(3)
    transformer.add_adapter(LoraConfig(r=2, lora_alpha=2, use_dora=True, target_modules=["to_q", "proj_mlp"]))
    for name, parameter in transformer.named_parameters():
        if ".lora_" in name:
            parameter.data += 0.3 * torch.rand_like(parameter)
    return get_peft_model_state_dict(transformer), velocity(transformer)


def velocity(transformer: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return transformer(
            torch.randn(1, 4, 16, generator=generator), torch.randn(1, 3, 32, generator=generator),
            torch.randn(1, 32, generator=generator), torch.tensor([0.5]), torch.zeros(4, 3), torch.zeros(3, 3),
            torch.tensor([3.5]),
        )[0]  # fmt: skip


def renamed(key: str, names: dict[str, str]) -> str:
    for name, other in names.items():
        key = key.replace(name, other)
    return key


@pytest.mark.parametrize("names", ["peft", "kohya"])
def test_a_dora_works_as_peft_means_it_whoever_wrote_it(dora, names, tmp_path) -> None:
    tensors, expected = dora
    if names == "kohya":
        tensors = {
            renamed(key, {"lora_A": "lora_down", "lora_B": "lora_up", "lora_magnitude_vector": "dora_scale"}):
            value[:, None] if "magnitude" in key else value
            for key, value in tensors.items()
        }  # fmt: skip
    save_file({f"transformer.{key}": value.contiguous() for key, value in tensors.items()}, tmp_path / "a.safetensors")
    pipe = FluxPipeline(**tiny_flux.components())
    without = velocity(pipe.transformer)
    add_loras(pipe, str(tmp_path / "a.safetensors"))
    torch.testing.assert_close(velocity(pipe.transformer), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(without, expected, atol=1e-3)


GOOD = {"transformer_blocks.0.attn.to_q": (32, 32)}
A, B = "transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"transformer.proj_out.diff": torch.zeros(2)}, "the key transformer.proj_out.diff is none of a LoRA"),
        (
            {A.format("nothing"): torch.zeros(2, 32), B.format("nothing"): torch.zeros(32, 2)},
            "changes nothing, a layer",
        ),
        ({A.format("x_embedder"): torch.zeros(2, 16)}, "x_embedder has no factor B"),
        ({A.format(next(iter(GOOD))): torch.zeros(2, 64)}, r"is \(32, 64\), here it is \(32, 32\): of another base"),
        ({A.format(next(iter(GOOD))): torch.zeros(3, 32)}, r"factors are \(3, 32\) and \(32, 2\), which do not fit"),
        ({A.format(next(iter(GOOD))): torch.full((2, 32), torch.nan)}, "holds NaN or infinity"),
        ({"lora_te2_encoder_block_0.lora_down.weight": torch.zeros(2, 2)}, "changes the T5 encoder"),
        ({"double_blocks.0.img_attn.qkv.hada_w1_a": torch.zeros(2, 2)}, "is none of a LoRA"),
    ],
)
def test_no_key_is_left_aside(changed, said, tmp_path) -> None:
    save_file(factors(GOOD, A, B) | changed, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=said) as error:
        add_loras(FluxPipeline(**tiny_flux.components()), str(tmp_path / "a.safetensors"))
    assert "\n" not in str(error.value) and "a.safetensors: " in str(error.value)


def test_a_lora_of_another_base_is_refused_by_its_hash(tmp_path) -> None:
    base = {"name": "a/b", "kind": "FluxTransformer2DModel", "weights": "0" * 16}
    save_file(factors(GOOD, A, B), tmp_path / "a.safetensors", {"posterkit_base": json.dumps(base)})
    with pytest.raises(ValueError, match=r"was trained on another base, a/b FluxTransformer2DModel 0{16}; here is"):
        add_loras(FluxPipeline(**tiny_flux.components()), str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("owner/name", ("owner/name", None, None, 1.0)),
        ("owner/name*0.8", ("owner/name", None, None, 0.8)),
        ("owner/name=0.8", ("owner/name", None, None, 0.8)),
        ("owner/name@v1:sub/a.safetensors*-1", ("owner/name", "v1", "sub/a.safetensors", -1.0)),
        ("owner/name:a.safetensors", ("owner/name", None, "a.safetensors", 1.0)),
        ("owner/name/sub/a.safetensors", ("owner/name", None, "sub/a.safetensors", 1.0)),
    ],
)
def test_a_loras_repository_revision_file_and_weight_are_read(text, found) -> None:
    assert lora_source(text) == LoraSource(*found)


def test_a_folder_of_several_files_asks_which(tmp_path) -> None:
    for step in (100, 900):
        save_file(factors(GOOD, A, B), tmp_path / f"step-{step}.safetensors")
    said = f"holds step-100.safetensors, step-900.safetensors; name one: {tmp_path}:step-900.safetensors"
    with pytest.raises(ValueError, match=re.escape(said)):
        lora_source(str(tmp_path)).fetch()
    assert lora_source(f"{tmp_path}:step-100.safetensors*0.5").fetch() == tmp_path / "step-100.safetensors"
    with pytest.raises(ValueError, match=r"there is no step-1\.safetensors; there are step-100"):
        lora_source(f"{tmp_path}:step-1.safetensors").fetch()
