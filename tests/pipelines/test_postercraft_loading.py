"""Saving and loading PosterCraft: both ways with stock, the hub's FLUX.1-dev layout, custom_pipeline, LoRA."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_flux
import torch
from diffusers import DiffusionPipeline, FluxPipeline
from safetensors.torch import load_file

from posterkit import PosterCraftPipeline, compatibility
from posterkit.generate.checkpoint import Settings, find_checkpoint
from posterkit.pipelines.loading import add_loras

SMALL = {"width": 32, "height": 48, "num_inference_steps": 2, "max_sequence_length": 24, "output_type": "latent"}
SHIM = Path(__file__).parents[2] / "pipelines" / "postercraft"


def draw(pipe: Any, **options: Any) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    return pipe(prompt="a poster", **SMALL | options, generator=torch.Generator("cpu").manual_seed(0)).images


def same(made: torch.Tensor, expected: torch.Tensor) -> None:
    # weights mapped from a file lie at other addresses, which is worth a last bit in the matrix products
    torch.testing.assert_close(made, expected, atol=2e-6, rtol=2e-6)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    folder = tmp_path_factory.mktemp("ours")
    pipe = PosterCraftPipeline(**tiny_flux.components(), native_area=1536, num_inference_steps=2, guidance_scale=5.0)
    pipe.save_pretrained(folder)
    return folder, draw(pipe, guidance_scale=3.5)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """A folder laid out file by file as black-forest-labs/FLUX.1-dev is on the hub, configs scaled down."""
    folder = tmp_path_factory.mktemp("hub") / "FLUX.1-dev"
    parts = tiny_flux.components()
    for name in ("scheduler", "tokenizer"):
        parts[name].save_pretrained(folder / name)
    parts["text_encoder"].save_pretrained(folder / "text_encoder")
    parts["vae"].save_pretrained(folder / "vae")
    # both large models are sharded there, in two and three files with an index
    parts["text_encoder_2"].save_pretrained(folder / "text_encoder_2", max_shard_size="20KB")
    parts["transformer"].save_pretrained(folder / "transformer", max_shard_size="120KB")
    parts["tokenizer_2"].save_pretrained(folder / "tokenizer_2")
    # CLIP's tokenizer lies there as vocab.json and merges.txt, without a tokenizer.json
    words = parts["tokenizer"].get_vocab()
    (folder / "tokenizer" / "vocab.json").write_text(json.dumps(words))
    (folder / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer" / "special_tokens_map.json").write_text(
        json.dumps({"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"})
    )
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "pad_token": "<|endoftext|>"})
    )
    (folder / "tokenizer_2" / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": 512, "tokenizer_class": "T5Tokenizer", "extra_ids": 0})
    )
    (folder / "model_index.json").write_text(
        json.dumps(
            {
                "_class_name": "FluxPipeline",
                "_diffusers_version": "0.30.0.dev0",
                "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
                "text_encoder": ["transformers", "CLIPTextModel"],
                "text_encoder_2": ["transformers", "T5EncoderModel"],
                "tokenizer": ["transformers", "CLIPTokenizer"],
                "tokenizer_2": ["transformers", "T5TokenizerFast"],
                "transformer": ["diffusers", "FluxTransformer2DModel"],
                "vae": ["diffusers", "AutoencoderKL"],
            }
        )
    )
    (folder / "README.md").write_text("---\nlanguage:\n- en\nlicense: other\n---\nA base.\n")
    return folder, draw(FluxPipeline(**parts))


def test_a_checkpoint_carries_its_own_defaults(ours):
    folder, _ = ours
    saved = json.loads((folder / "model_index.json").read_text())
    numbers = {"native_area": 1536, "num_inference_steps": 2, "guidance_scale": 5.0, "max_sequence_length": 512}
    assert {name: saved[name] for name in numbers} == numbers
    out = PosterCraftPipeline.from_pretrained(folder)(prompt="a", max_sequence_length=24)
    assert out.parameters[0]["guidance_scale"] == 5.0
    assert out.parameters[0]["num_inference_steps"] == 2
    assert out.images[0].size == (32, 48)


def test_what_was_saved_loads_with_equal_output(ours):
    folder, expected = ours
    same(draw(PosterCraftPipeline.from_pretrained(folder), guidance_scale=3.5), expected)


def test_stock_opens_what_we_save(ours):
    folder, expected = ours
    same(draw(FluxPipeline.from_pretrained(folder)), expected)


def test_the_index_names_stock_classes_only(ours):
    folder, _ = ours
    saved = json.loads((folder / "model_index.json").read_text())
    parts = [entry for name, entry in saved.items() if isinstance(entry, list) and entry[0]]
    assert len(parts) == 7
    assert {library for library, _ in parts} == {"diffusers", "transformers"}


def test_the_hub_layout_of_flux_dev_loads_unchanged(hub):
    folder, expected = hub
    pipe = PosterCraftPipeline.from_pretrained(folder)
    same(draw(pipe), expected)
    assert pipe.config.num_inference_steps == 28
    assert len(list((folder / "transformer").glob("*-of-*.safetensors"))) > 1


def test_a_stock_pipeline_becomes_ours_and_shares_its_weights(hub):
    folder, expected = hub
    stock = FluxPipeline.from_pretrained(folder)
    pipe = PosterCraftPipeline.from_pipe(stock)
    assert pipe.transformer is stock.transformer
    same(draw(pipe), expected)


def test_custom_pipeline_gives_our_class(ours):
    folder, expected = ours
    pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=str(SHIM), trust_remote_code=True)
    assert type(pipe) is PosterCraftPipeline
    same(draw(pipe, guidance_scale=3.5), expected)


def test_a_model_folder_with_the_shim_inside_loads_by_the_list_form(ours, tmp_path):
    folder, expected = ours
    copy = shutil.copytree(folder, tmp_path / "model")
    index = json.loads((copy / "model_index.json").read_text())
    index["_class_name"] = ["pipeline", "PosterCraftPipeline"]
    (copy / "model_index.json").write_text(json.dumps(index))
    shutil.copy(SHIM / "pipeline.py", copy)
    pipe = DiffusionPipeline.from_pretrained(copy, trust_remote_code=True)
    same(draw(pipe, guidance_scale=3.5), expected)


def test_a_lora_changes_the_poster_scales_fuses_and_unloads_without_a_trace(tmp_path):
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe = PosterCraftPipeline(**tiny_flux.components())
    before = draw(pipe)
    torch.manual_seed(1)
    config = LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    pipe.transformer.add_adapter(config)
    PosterCraftPipeline.save_lora_weights(
        tmp_path, transformer_lora_layers=get_peft_model_state_dict(pipe.transformer)
    )
    changed = draw(pipe)
    keys = load_file(tmp_path / "pytorch_lora_weights.safetensors")
    assert all(key.startswith("transformer.") and ".lora_" in key for key in keys)

    fresh = PosterCraftPipeline(**tiny_flux.components())
    fresh.load_lora_weights(tmp_path, adapter_name="style", use_safetensors=True)
    same(draw(fresh), changed)
    assert not torch.allclose(changed, before, atol=1e-4)
    fresh.set_adapters(["style"], [0.0])
    torch.testing.assert_close(draw(fresh), before)
    fresh.set_adapters(["style"], [1.0])
    torch.testing.assert_close(draw(fresh, joint_attention_kwargs={"scale": 0.0}), before)
    fresh.fuse_lora()
    torch.testing.assert_close(draw(fresh), changed, atol=1e-4, rtol=1e-4)
    fresh.unfuse_lora()
    fresh.unload_lora_weights()
    torch.testing.assert_close(draw(fresh), before, atol=1e-5, rtol=1e-5)


def test_a_lora_on_a_text_encoder_is_refused_where_transformers_and_peft_do_not_fit(tmp_path, monkeypatch):
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe = PosterCraftPipeline(**tiny_flux.components())
    for part, targets in ((pipe.transformer, ["to_q"]), (pipe.text_encoder, ["q_proj"])):
        part.add_adapter(LoraConfig(r=2, target_modules=targets))
    layers = {"transformer_lora_layers": get_peft_model_state_dict(pipe.transformer)}
    PosterCraftPipeline.save_lora_weights(tmp_path / "transformer", **layers)
    layers["text_encoder_lora_layers"] = get_peft_model_state_dict(pipe.text_encoder)
    PosterCraftPipeline.save_lora_weights(tmp_path / "both", **layers)

    fresh = PosterCraftPipeline(**tiny_flux.components())
    monkeypatch.setattr(compatibility, "version", {"transformers": "5.24.0", "peft": "0.21.2"}.__getitem__)
    with pytest.raises(ValueError, match=r"transformers 5\.24\.0 and peft 0\.21\.2 do not work together.*pip install"):
        add_loras(fresh, str(tmp_path / "both"))
    assert not fresh.get_list_adapters()
    add_loras(fresh, str(tmp_path / "transformer"))
    monkeypatch.undo()
    add_loras(PosterCraftPipeline(**tiny_flux.components()), str(tmp_path / "both"))


@pytest.mark.parametrize(("guidance", "steps", "tokens"), [(True, 28, 512), (False, 4, 256)])
def test_a_stock_schnell_folder_draws_in_four_steps(tmp_path, guidance, steps, tokens) -> None:
    FluxPipeline(**tiny_flux.components(guidance=guidance)).save_pretrained(tmp_path)
    pipe = PosterCraftPipeline.from_pretrained(tmp_path)
    assert (pipe.config["num_inference_steps"], pipe.config["max_sequence_length"]) == (steps, tokens)
    assert find_checkpoint(Settings(model=str(tmp_path)), "text").steps == steps
    assert PosterCraftPipeline.from_pretrained(tmp_path, num_inference_steps=9).config["num_inference_steps"] == 9
