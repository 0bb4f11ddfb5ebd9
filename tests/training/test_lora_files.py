"""A LoRA as a file: what stock pipelines read, what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import tiny_flux
import tiny_qwen
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel, QwenImageEditPlusPipeline
from safetensors import safe_open
from safetensors.torch import load, save_file
from small_adapters import FILE, SMALL, batch_for, flux, give_values, qwen, transformer_of, velocity

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.pipelines.loading import add_loras
from posterkit.pipelines.lora_weights import base_of
from posterkit.training.lora import (
    Trainable,
    add_adapter,
    load_adapter,
    save_adapter,
    set_trainable,
    train_only,
    using_adapter,
)
from posterkit.training.lora_files import read_lora


@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize(
    ("build", "parts", "pipelines"),
    [
        (flux, tiny_flux.components, (FluxPipeline, PosterCraftPipeline)),
        (qwen, tiny_qwen.components, (QwenImageEditPlusPipeline, PosterOmniPipeline)),
    ],
)
def test_what_is_saved_loads_exactly_into_stock_pipelines_and_ours(build, parts, pipelines, kind, tmp_path):
    model = build()
    set_trainable(model.module, Trainable(kind, rank=4, alpha=8.0))
    give_values(transformer_of(model), "default", 3)
    model.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]
    batch = batch_for(model)
    with torch.no_grad():
        expected = velocity(model, batch)
    again = build()
    load_adapter(transformer_of(again), "again", tmp_path)
    for path, parameter in transformer_of(model).named_parameters():
        parameter = 2 * parameter if ".lora_B." in path else parameter  # alpha 8 of rank 4
        assert torch.equal(parameter, transformer_of(again).get_parameter(path.replace(".default.", ".again.")))
    for pipeline in pipelines:
        pipe = pipeline(**parts())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if pipeline in (PosterCraftPipeline, PosterOmniPipeline):
                add_loras(pipe, str(tmp_path))
            else:
                pipe.load_lora_weights(tmp_path)
        model.parts["transformer"] = model.module["transformer"] = pipe.transformer
        with torch.no_grad():
            assert torch.equal(velocity(model, batch), expected)


def test_the_file_says_rank_and_base_and_has_alpha_folded_in(tmp_path):
    transformer = tiny_flux.transformer()
    transformer.register_to_config(_name_or_path="black-forest-labs/FLUX.1-dev")
    add_adapter(transformer, "a", Trainable("lora", rank=4, alpha=2.0, targets=["to_q", "to_v"]))
    layer = transformer.transformer_blocks[0].attn.to_q
    torch.nn.init.ones_(layer.lora_B["a"].weight)
    save_adapter(transformer, "a", tmp_path)
    lora = read_lora(tmp_path / FILE)
    assert lora.config == {"r": 4, "lora_alpha": 4, "target_modules": ["to_q", "to_v"], "use_dora": False}
    b = lora.weights["transformer_blocks.0.attn.to_q.lora_B.weight"]
    assert torch.equal(b, torch.full_like(b, 0.5))  # alpha 2 of rank 4
    assert lora.scale == 1 and lora.base["name"] == "black-forest-labs/FLUX.1-dev"
    assert lora.base["kind"] == "FluxTransformer2DModel"
    assert lora.layers == [f"{block}_blocks.0.attn.to_{x}" for block in ("single_transformer", "transformer")
                           for x in "qv"]  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("somebody/stage2/ema/transformer", "stage2"),
        ("somebody/posteromni/transformer", "posteromni"),
        ("hub/models--black-forest-labs--FLUX.1-dev/snapshots/3de623/transformer", "black-forest-labs/FLUX.1-dev"),
    ],
)
def test_a_base_is_named_without_the_folders_it_lay_in(folder, name, tmp_path):
    tiny_flux.transformer().save_pretrained(tmp_path / folder)
    assert base_of(FluxTransformer2DModel.from_pretrained(tmp_path / folder))["name"] == name


def test_a_base_is_known_again_in_another_dtype_and_with_adapters_on_it():
    transformer = tiny_qwen.transformer().to(torch.bfloat16).float()  # as loaded from a bf16 checkpoint
    known = base_of(transformer)
    add_adapter(transformer, "a", SMALL)
    assert base_of(transformer) == known == base_of(transformer.to(torch.bfloat16))
    with torch.no_grad():
        transformer.proj_out.weight[0, 0] += 1
    assert base_of(transformer)["weights"] != known["weights"]


def test_an_adapter_of_another_base_is_refused_in_one_line(tmp_path):
    torch.manual_seed(1)
    one, other = tiny_flux.transformer(), tiny_flux.transformer()
    add_adapter(one, "a", SMALL)
    save_adapter(one, "a", tmp_path)
    for transformer, said in ((other, "FluxTransformer2DModel"), (tiny_qwen.transformer(), "QwenImageTransformer")):
        before = set(transformer.state_dict())
        with pytest.raises(ValueError, match=f"a LoRA of another base, .*; here is .*{said}") as caught:
            load_adapter(transformer, "b", tmp_path)
        assert "\n" not in str(caught.value) and set(transformer.state_dict()) == before


def test_a_foreign_adapter_that_does_not_fit_names_its_layer(tmp_path):
    key = "transformer.transformer_blocks.0.attn.to_q"
    for width, layer, said in ((32, key, None), (48, key, r"to_q is \(32, 48\), here it is \(32, 32\)"),
                               (32, f"{key}_odd", "has no linear layer")):  # fmt: skip
        weights = {f"{layer}.lora_A.weight": torch.randn(2, width), f"{layer}.lora_B.weight": torch.randn(32, 2)}
        save_file(weights, tmp_path / FILE)
        transformer = tiny_flux.transformer()
        if said:
            with pytest.raises(ValueError, match=f"a LoRA of another base: .*{said}"):
                load_adapter(transformer, "x", tmp_path)
        else:
            load_adapter(transformer, "x", tmp_path)
            layer = transformer.transformer_blocks[0].attn.to_q
            expected = weights[f"{key}.lora_B.weight"] @ weights[f"{key}.lora_A.weight"]
            assert torch.allclose(layer.get_delta_weight("x"), expected)


def test_bad_files_and_names_are_said_in_one_line(tmp_path):
    transformer = tiny_flux.transformer()
    with pytest.raises(FileNotFoundError, match="there is no such LoRA"):
        load_adapter(transformer, "a", tmp_path)
    (tmp_path / FILE).write_bytes(b"torn")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_adapter(transformer, "a", tmp_path)
    save_file({"unet.x.lora_A.weight": torch.ones(1)}, tmp_path / FILE)
    with pytest.raises(ValueError, match="no LoRA in diffusers' format"):
        load_adapter(transformer, "a", tmp_path)
    with pytest.raises(ValueError, match='has no LoRA "a"; it has none'):
        train_only(transformer, "a")
    with pytest.raises(ValueError, match=r'ends in "to_qq" \(did you mean "to_q"\?\)'):
        add_adapter(transformer, "a", Trainable("lora", targets=["to_k", "to_qq"]))
    add_adapter(transformer, "a", SMALL)
    with pytest.raises(ValueError, match='has no LoRA "b"; it has a'), using_adapter(transformer, "b"):
        pass


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_a_file_with_parts_missing_is_refused_in_one_line_and_leaves_the_transformer_alone(tmp_path, kind):
    one = tiny_flux.transformer()
    add_adapter(one, "a", Trainable(kind, rank=4))
    save_adapter(one, "a", tmp_path)
    file = tmp_path / FILE
    whole = file.read_bytes()
    weights = load(whole)  # no view of a file that is cut short below
    with safe_open(file, framework="pt") as saved:
        metadata = saved.metadata()
    layer = "transformer.transformer_blocks.0.attn.to_q"

    def without(*ends: str) -> dict:
        return {key: value for key, value in weights.items() if not key.endswith(ends)}

    cases: list[tuple[Any, str]] = [
        (whole[: len(whole) // 2], "not a safetensors file"),
        (without(f"{layer}.lora_B.weight"), "transformer_blocks.0.attn.to_q: has no lora_B"),
        (without(f"{layer}.lora_A.weight", f"{layer}.lora_B.weight", f"{layer}.lora_magnitude_vector"),
         "a LoRA of to_q that has no transformer_blocks.0.attn.to_q"),
        ({**weights, f"{layer}.lora_B.weight": torch.ones(32, 3)}, r"have the shapes \(4, 32\), \(32, 3\)"),
        ({**weights, f"{layer}.lora_A.weight": torch.ones(4)}, "to_q: its parts have the shapes"),
    ]  # fmt: skip
    if kind == "dora":
        cases += [
            (without(f"{layer}.lora_magnitude_vector"), "to_q: has no lora_magnitude_vector"),
            ({**weights, f"{layer}.lora_magnitude_vector": torch.ones(31)}, "no DoRA's"),
        ]
    for content, said in cases:
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            save_file(content, file, metadata)
        before = set(one.state_dict())
        with pytest.raises(ValueError, match=said) as caught:
            load_adapter(one, "b", tmp_path)
        assert "\n" not in str(caught.value) and set(one.state_dict()) == before
    save_file(weights, file, {**metadata, "lora_adapter_metadata": "{"})
    with pytest.raises(ValueError, match="its metadata is not JSON"):
        load_adapter(one, "b", tmp_path)
