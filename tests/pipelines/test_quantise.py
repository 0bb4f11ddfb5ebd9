"""Layers in fewer bits, one by one; bitsandbytes and torchao run on the CPU here."""

from __future__ import annotations

import copy

import pytest
import tiny_flux
import tiny_qwen
import torch
from peft import LoraConfig
from torch import nn

from posterkit import PosterCraftPipeline
from posterkit.pipelines import presets
from posterkit.pipelines.memory import PACKAGES, STORED, Preset
from posterkit.pipelines.preset_table import is_installed
from posterkit.pipelines.quantise import block_layers, makes_modulation, quantise

CPU = torch.device("cpu")
# the relative error of a number that is rounded to so many bits, over normally distributed weights: about 8 steps of
# their own spread each way for 4 bits, 127 of the row's largest for 8, 3 bits of mantissa for fp8
MOST = {"nf4": 0.1, "int8": 0.008, "torchao_int8": 0.008, "torchao_fp8": 0.03, "fp8": 0.03}


class Model(nn.Module):
    """One block of one layer."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([nn.ModuleDict({"layer": nn.Linear(256, 192, bias=bias)})]).to(torch.bfloat16)
        self.around = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[0]["layer"](x)  # type: ignore[index]


def needs(how: str) -> None:
    if how in PACKAGES and not is_installed(PACKAGES[how]):
        pytest.skip(f"{PACKAGES[how]} is not installed")


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).float().norm() / expected.float().norm()).item()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("how", STORED)
def test_a_layer_answers_about_the_same_in_bfloat16(how, bias):
    needs(how)
    model, x = Model(bias), torch.randn(2, 5, 256, dtype=torch.bfloat16)
    small = copy.deepcopy(model)
    quantise(small, lambda path: how, CPU, CPU, torch.bfloat16)
    with torch.no_grad():
        expected, made = model(x), small(x)
    assert made.dtype == torch.bfloat16
    assert 1e-4 < error(made, expected) < MOST[how]
    assert type(small.around) is nn.Linear and small.around.weight.dtype == torch.float32
    assert not any(p.requires_grad for p in small.blocks.parameters())


@pytest.mark.parametrize("how", STORED)
def test_activations_that_float16_cannot_hold_pass(how):
    needs(how)
    model = Model()
    x = torch.randn(4, 256, dtype=torch.bfloat16) * torch.tensor([[1.0], [1e3], [1e5], [1e6]], dtype=torch.bfloat16)
    small = copy.deepcopy(model)
    quantise(small, lambda path: how, CPU, CPU, torch.bfloat16)
    with torch.no_grad():
        expected, made = model(x), small(x)
    for row in range(len(x)):
        assert error(made[row], expected[row]) < 1.5 * MOST[how]


def test_rows_of_very_different_size_keep_their_digits_in_fp8():
    model = Model()
    layer = model.blocks[0]["layer"]  # type: ignore[index]
    with torch.no_grad():
        layer.weight[::2] *= 1e-4  # below what float8 could hold of it without a scale
        layer.bias.zero_()
    small, x = copy.deepcopy(model), torch.randn(8, 256, dtype=torch.bfloat16)
    quantise(small, lambda path: "fp8", CPU, CPU, torch.bfloat16)
    with torch.no_grad():
        assert error(small(x)[:, ::2], model(x)[:, ::2]) < MOST["fp8"]


def test_the_layers_of_blocks_are_found_and_those_of_the_modulation_told_apart():
    flux = [one.path for one in block_layers(tiny_flux.transformer())]
    assert "transformer_blocks.0.attn.to_q" in flux and "single_transformer_blocks.0.proj_out" in flux
    assert not [path for path in flux if path in ("proj_out", "x_embedder", "norm_out.linear")]
    modulation = {path for path in flux if makes_modulation(path, ("norm", "norm1", "norm1_context"))}
    assert modulation == {"transformer_blocks.0.norm1.linear", "transformer_blocks.0.norm1_context.linear",
                          "single_transformer_blocks.0.norm.linear"}  # fmt: skip
    qwen = [one.path for one in block_layers(tiny_qwen.transformer(layers=1))]
    assert {path for path in qwen if makes_modulation(path, ("img_mod", "txt_mod"))} == {
        "transformer_blocks.0.img_mod.1", "transformer_blocks.0.txt_mod.1"
    }  # fmt: skip
    t5 = [one.path for one in block_layers(tiny_flux.components()["text_encoder_2"])]
    assert any(path.endswith(".wi_0") for path in t5) and not any(path.endswith(".wo") for path in t5)


@pytest.mark.parametrize("how", STORED)
def test_a_lora_stays_as_it_is_on_a_quantised_transformer(how):
    needs(how)
    pipes = []
    for _ in range(2):
        pipe = PosterCraftPipeline(**tiny_flux.components())
        torch.manual_seed(3)
        config = LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_out.0"], init_lora_weights=False)
        pipe.transformer.add_adapter(config)
        pipes.append(pipe.to(torch.bfloat16))
    whole, small = pipes
    presets.place(small, Preset({"transformer": how}), CPU, "postercraft", torch.bfloat16)
    adapters = [
        {path: value for path, value in pipe.transformer.named_parameters() if ".lora_" in path} for pipe in pipes
    ]
    assert len(adapters[0]) > 4
    assert all(torch.equal(value, adapters[1][path]) for path, value in adapters[0].items())
    small.transformer.disable_adapters()
    without = velocity(small)
    small.transformer.enable_adapters()
    difference = velocity(small) - without
    whole.transformer.disable_adapters()
    plain = velocity(whole)
    whole.transformer.enable_adapters()
    expected = velocity(whole) - plain
    cosine = nn.functional.cosine_similarity(difference.flatten().float(), expected.flatten().float(), dim=0)
    assert cosine > 0.8  # it passes through layers of their own rounding
    with pytest.raises(ValueError, match="a preset quantised this pipeline"):
        small.save_pretrained("never")


def velocity(pipe: PosterCraftPipeline) -> torch.Tensor:
    torch.manual_seed(1)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.bfloat16)

    with torch.no_grad():
        return pipe.transformer(
            hidden_states=drawn(1, 6, 16), encoder_hidden_states=drawn(1, 5, 32), pooled_projections=drawn(1, 32),
            timestep=drawn(1).abs(), guidance=drawn(1), img_ids=torch.zeros(6, 3), txt_ids=torch.zeros(5, 3),
            return_dict=False,
        )[0]  # fmt: skip


def test_compile_and_cache_are_turned_on():
    pipe = PosterCraftPipeline(**tiny_flux.components()).to(torch.bfloat16)
    presets.place(pipe, Preset(compile=True, cache=0.1), CPU, "postercraft", torch.bfloat16)
    assert pipe.transformer.is_cache_enabled
    assert all(block._compiled_call_impl is not None for block in pipe.transformer.transformer_blocks)
