"""`posterkit lora-info` and `posterkit merge` on LoRAs of a tiny FLUX.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_flux
import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file, save_file

from posterkit.cli.main import main

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


def test_a_merged_lora_is_a_lora_of_that_base(files: Path, tmp_path: Path) -> None:
    from posterkit.pipelines.loading import add_loras

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
