"""`posterkit lora-info` and `posterkit merge` on LoRAs of a tiny FLUX.1."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_flux
import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file

from posterkit.cli.main import main
from posterkit.pipelines.loading import add_loras
from posterkit.pipelines.lora_weights import base_of, note_fused
from posterkit.pipelines.registry import LORA_FILE
from posterkit.training.lora import Trainable, add_adapter, fuse_adapter, load_adapter, save_adapter

LAYERS = {"transformer_blocks.0.attn.to_q": (32, 32), "proj_out": (16, 32)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, one LoRA in diffusers' names and one in kohya's with an alpha, which share a layer."""
    folder = tmp_path_factory.mktemp("loras")
    FluxPipeline(**tiny_flux.components()).save_pretrained(folder / "base")
    torch.manual_seed(0)
    plain, kohya = {}, {}
    for layer, (outputs, inputs) in LAYERS.items():
        plain |= {f"transformer.{layer}.lora_A.weight": torch.randn(2, inputs),
                  f"transformer.{layer}.lora_B.weight": torch.randn(outputs, 2)}  # fmt: skip
    name = "lora_unet_transformer_blocks_0_attn_to_q"
    kohya = {f"{name}.lora_down.weight": torch.randn(3, 32), f"{name}.lora_up.weight": torch.randn(32, 3),
             f"{name}.alpha": torch.tensor(6.0)}  # fmt: skip
    save_file(plain, folder / "plain.safetensors")
    save_file(kohya, folder / "kohya.safetensors", {"ss_tag": "a\x1b[2J"})
    return folder


def product(file: Path, layer: str) -> torch.Tensor:
    weights = load_file(file)
    return weights[f"transformer.{layer}.lora_B.weight"] @ weights[f"transformer.{layer}.lora_A.weight"]


def expected(files: Path, layer: str) -> torch.Tensor:
    """0.5 of the one and -1 of the other, whose alpha 6 at rank 3 doubles it."""
    made = 0.5 * product(files / "plain.safetensors", layer)
    if layer != "proj_out":
        kohya = load_file(files / "kohya.safetensors")
        (down,), (up,) = ([v for k, v in kohya.items() if part in k] for part in ("down", "up"))
        made -= 2 * up @ down
    return made


def test_merged_loras_are_the_sum_of_both_by_their_weights(files: Path, tmp_path: Path) -> None:
    loras = (f"{files}/plain.safetensors*0.5", f"{files}/kohya.safetensors*-1")
    assert main(["merge", *loras, "--model", str(files / "base"), "-o", str(tmp_path / "out")]) == 0
    for layer in LAYERS:
        made = product(tmp_path / "out" / "pytorch_lora_weights.safetensors", layer)
        torch.testing.assert_close(made, expected(files, layer), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and the folders of three LoRAs, each trained on the base with those before it."""
    folder = tmp_path_factory.mktemp("chain")
    torch.manual_seed(3)
    FluxPipeline(**tiny_flux.components()).save_pretrained(folder / "base")
    for number, name in enumerate(("first", "second", "third")):
        transformer = FluxPipeline.from_pretrained(folder / "base").transformer
        for former in ("first", "second", "third")[:number]:
            load_adapter(transformer, "former", folder / former)
            before = base_of(transformer)
            fuse_adapter(transformer, "former")
            note_fused(transformer, before, folder / former / LORA_FILE)
        add_adapter(transformer, "default", Trainable("lora", rank=2, alpha=5.0, targets=["to_q", "proj_mlp"]))
        for path, parameter in transformer.named_parameters():
            if ".lora_" in path:
                torch.nn.init.normal_(parameter, std=0.5)
        save_adapter(transformer, "default", folder / name)
    return folder


def whole_weight(chain: Path, *loras: str) -> torch.Tensor:
    """A weight of the base with LoRAs on it, as a user loads them."""
    pipe = FluxPipeline.from_pretrained(chain / "base")
    add_loras(pipe, [str(chain / lora) for lora in loras])
    pipe.fuse_lora()
    return pipe.transformer.transformer_blocks[0].attn.to_q.weight


def test_a_lora_on_a_lora_works_in_its_sequence_and_as_one_file(chain: Path, tmp_path: Path) -> None:
    names = ("first", "second", "third")
    weight = FluxPipeline.from_pretrained(chain / "base").transformer.transformer_blocks[0].attn.to_q.weight
    wanted = weight + sum(product(chain / name / LORA_FILE, "transformer_blocks.0.attn.to_q") for name in names)
    torch.testing.assert_close(whole_weight(chain, *names), wanted, rtol=1e-4, atol=1e-4)
    loras = [str(chain / name) for name in names]
    assert main(["merge", *loras, "--model", str(chain / "base"), "-o", str(tmp_path / "all")]) == 0
    torch.testing.assert_close(whole_weight(chain, str(tmp_path / "all")), wanted, rtol=1e-4, atol=1e-4)
    # two of them as one file stand for both below the third
    assert main(["merge", *loras[:2], "--model", str(chain / "base"), "-o", str(tmp_path / "two")]) == 0
    torch.testing.assert_close(whole_weight(chain, str(tmp_path / "two"), "third"), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loras", [["second"], ["second", "first"], ["first", "third"], ["first*0.5", "second"]])
def test_a_lora_on_a_lora_is_refused_without_those_below_it(chain: Path, tmp_path: Path, capsys, loras) -> None:
    with pytest.raises(
        ValueError, match=r"LoRAs? added first, [0-9a-f]{16}.*name the file before this one, at weight 1"
    ):
        whole_weight(chain, *loras)
    if loras != ["second", "first"]:  # a sum has no order
        given = [str(chain / lora) for lora in loras]
        assert main(["merge", *given, "--model", str(chain / "base"), "-o", str(tmp_path / "out")]) == 2
        assert "added first" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_lora_named_as_a_model_says_how_it_is_used(chain: Path, tmp_path: Path, capsys) -> None:
    for name, start in (("one", str(chain / "base")), ("two", str(tmp_path / "one"))):
        shutil.copytree(chain / ("first" if name == "one" else "second"), tmp_path / name / "model")
        (tmp_path / name / "config.yaml").write_text(f"init_from: {start}\n")
    assert main(["generate", "a fox", "--model", str(tmp_path / "two"), "-o", str(tmp_path / "x.png")]) == 2
    said = f"but a LoRA: give --model {chain / 'base'} --lora {tmp_path / 'one'} --lora {tmp_path / 'two' / 'model'}"
    assert said in capsys.readouterr().err
    whole_weight(chain, str(tmp_path / "one"), str(tmp_path / "two" / "model"))


def test_a_merged_lora_is_a_lora_of_that_base(files: Path, tmp_path: Path) -> None:
    loras = (f"{files}/plain.safetensors*0.5", f"{files}/kohya.safetensors*-1")
    assert main(["merge", *loras, "--model", str(files / "base"), "-o", str(tmp_path)]) == 0
    one, both = (FluxPipeline(**tiny_flux.components()) for _ in range(2))
    add_loras(one, str(tmp_path))
    add_loras(both, "; ".join(loras))
    for pipe in (one, both):
        pipe.fuse_lora()
    layer = "transformer_blocks.0.attn.to_q"
    torch.testing.assert_close(
        one.transformer.get_submodule(layer).weight, both.transformer.get_submodule(layer).weight
    )


def test_info_says_what_a_lora_is(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lora-info", str(files / "kohya.safetensors"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rank"], found["alpha"], found["kind"], found["parameters"]) == ("3", "6", "LoRA", "193")
    assert found["changes"] == "1 layers of the transformer"
    assert main(["lora-info", str(files / "plain.safetensors")]) == 0
    assert "2 layers of the transformer" in capsys.readouterr().out


def test_what_is_no_lora_is_one_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 99)
    assert main(["lora-info", str(tmp_path / "a.safetensors")]) == 2
    assert capsys.readouterr().err.startswith(f"posterkit: LoRA {tmp_path}/a.safetensors: not a safetensors file")
    for name, base in (("a", "1" * 16), ("b", "2" * 16)):
        metadata = {"posterkit_base": json.dumps({"name": name, "weights": base})}
        save_file(load_file(files / "plain.safetensors"), tmp_path / f"{name}.safetensors", metadata)
    loras = [str(tmp_path / f"{name}.safetensors") for name in "ab"]
    assert main(["merge", *loras, "--model", str(files / "base"), "-o", str(tmp_path / "out")]) == 2
    assert "the LoRAs have other bases" in capsys.readouterr().err and not (tmp_path / "out").exists()
