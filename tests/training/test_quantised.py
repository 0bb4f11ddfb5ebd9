"""A LoRA on a base in 4 bits, on bitsandbytes' CPU kernels; without bitsandbytes there is nothing to test."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from safetensors.torch import load_file
from small_halves import adapter, inputs
from small_stages import log_of, save_tiny_flux, write_posters, write_stage

from posterkit.pipelines.lora_weights import base_of
from posterkit.training.lora import Trainable, add_adapter, fuse_adapter, load_adapter, save_adapter, set_trainable
from posterkit.training.lora_files import read_lora
from posterkit.training.stages import StageConfig, quantise_base

CPU = torch.device("cpu")
needs_bitsandbytes = pytest.mark.skipif("not __import__('importlib').util.find_spec('bitsandbytes')")


def fresh(family: str):
    model = adapter(family)
    model.readers[-1] = copy.deepcopy(model.readers[-1])  # other tests read with it
    return model


def quantised(family: str):
    model = fresh(family)
    quantise_base(model, CPU)
    return model


def transformer_of(model):
    return model.parts["transformer"]


def alike(one: torch.Tensor, other: torch.Tensor) -> float:
    """Cosine similarity; below 1 where anything was rounded."""
    return torch.nn.functional.cosine_similarity(one.flatten().double(), other.flatten().double(), dim=0).item()


@needs_bitsandbytes
@pytest.mark.parametrize("family", ["flux", "qwen"])
def test_four_bits_take_an_eighth_of_float32_and_predict_about_the_same(family):
    model, small = fresh(family), quantised(family)
    layers = {n: part for n, part in transformer_of(small).named_modules() if type(part).__name__ == "Linear4bit"}
    of_blocks = {n for n, part in transformer_of(model).named_modules()
                 if isinstance(part, torch.nn.Linear) and "transformer_blocks" in n}  # fmt: skip
    assert set(layers) == of_blocks
    for name, layer in layers.items():
        state, whole = layer.weight.quant_state, transformer_of(model).get_submodule(name).weight
        assert state.quant_type == "nf4" and state.nested  # double quantisation
        assert layer.weight.nbytes * 8 == whole.nbytes and not layer.weight.requires_grad
    with torch.no_grad():
        pair = [one.velocity(*inputs(family)) for one in (model, small)]
    assert 0.95 < alike(*pair) < 1 - 1e-6


@needs_bitsandbytes
@pytest.mark.parametrize("family", ["flux", "qwen"])
def test_text_is_read_about_the_same(family):
    model, small = fresh(family), quantised(family)
    with torch.no_grad():
        if family == "flux":
            pair = [one.states(*one.tokenize(["JAZZ NIGHT"]))[0] for one in (model, small)]
        else:
            ids = torch.randint(20, 200, (1, 12), generator=torch.Generator().manual_seed(0))
            pair = [one.readers[0].model.language_model(input_ids=ids)[0] for one in (model, small)]
    assert 0.95 < alike(*pair) < 1 - 1e-6


@needs_bitsandbytes
@pytest.mark.parametrize("family", ["flux", "qwen"])
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_only_the_lora_trains_also_with_checkpointing_and_its_file_fits_the_whole_base(family, kind, tmp_path):
    model = quantised(family)
    set_trainable(model.module, Trainable(kind, rank=4, gradient_checkpointing=True))
    transformer = transformer_of(model)
    transformer.train()
    frozen = {n: p.detach().clone() for n, p in transformer.named_parameters() if not p.requires_grad}
    trained = [p for p in transformer.parameters() if p.requires_grad]
    assert {p.dtype for p in trained} == {torch.float32}
    optimizer, batch, losses = torch.optim.AdamW(trained, lr=3e-2), inputs(family), []
    for _ in range(6):
        loss = (model.velocity(*batch) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(p, frozen[n]) for n, p in transformer.named_parameters() if n in frozen)
    model.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["pytorch_lora_weights.safetensors"]
    whole = fresh(family)
    assert read_lora(tmp_path).base == base_of(transformer_of(whole))
    load_adapter(transformer_of(whole), "a", tmp_path)  # the base is known again
    with torch.no_grad():
        assert alike(whole.velocity(*batch), model.velocity(*batch)) > 0.9


@needs_bitsandbytes
def test_a_lora_of_the_whole_base_goes_on_four_bits_but_is_not_added_to_them(tmp_path):
    model, small, other = fresh("flux"), quantised("flux"), fresh("flux")
    add_adapter(transformer_of(model), "a", Trainable("lora", rank=4))
    save_adapter(transformer_of(model), "a", tmp_path)
    load_adapter(transformer_of(small), "a", tmp_path)
    with pytest.raises(ValueError, match='LoRA "a" is not added to a base in 4 bits'):
        fuse_adapter(transformer_of(small), "a")
    torch.nn.init.normal_(transformer_of(other).proj_out.weight)
    quantise_base(other, CPU)
    with pytest.raises(ValueError, match="a LoRA of another base"):
        load_adapter(transformer_of(other), "a", tmp_path)


@needs_bitsandbytes
@pytest.mark.slow
def test_a_stage_on_four_bits_goes_on_bit_for_bit_and_starts_the_next_one(run_recipe, tmp_path):
    base, posters = save_tiny_flux(tmp_path / "base"), write_posters(tmp_path / "set", 4, heldout=1)
    settings = {"base": "nf4", "trainable": {"weights": "lora", "rank": 2, "gradient_checkpointing": True},
                "sample_every": 2, "ema_decay": 0.9, "precision": "bf16"}  # fmt: skip
    for run, stops in (("whole", [[]]), ("halves", [["stop_at=2"], []])):
        for stop in stops:
            run_recipe("stage1_text_render", write_stage(tmp_path, run, base, posters, **settings), *stop)
    a, b = (load_file(tmp_path / run / "last" / "weights.safetensors") for run in ("whole", "halves"))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert all(".lora_" in name for name in a)
    # the LoRA is added to the base in bfloat16, and the sum brought to 4 bits
    following = write_stage(tmp_path, "next", tmp_path / "whole", posters, **settings, max_steps=2)
    run_recipe("stage1_text_render", following)
    assert len(log_of(tmp_path / "next")) == 2


def test_four_bits_do_not_train():
    with pytest.raises(ValueError, match=r"base is nf4, which is frozen; it takes trainable.weights=lora or dora"):
        StageConfig(base="nf4", init_from="x").check()


def test_without_bitsandbytes_the_line_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "bitsandbytes"] or ["bitsandbytes"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn", None)
    with pytest.raises(
        ValueError, match=r"bitsandbytes does not work here .*; pip install 'posterkit\[gpu\]'"
    ) as caught:
        quantised("flux")
    assert "\n" not in str(caught.value)
