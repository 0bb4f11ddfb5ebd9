"""Transformers in one file: recognised and brought to the right numbers, or refused in a line with what was found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny_flux
import torch
from accelerate import init_empty_weights
from diffusers import FluxPipeline, FluxTransformer2DModel, QwenImageTransformer2DModel
from safetensors.torch import save_file
from torch import Tensor

from posterkit.pipelines.loading import load_transformer
from posterkit.pipelines.registry import FAMILIES
from posterkit.pipelines.weight_files import check_tensors

FLUX, QWEN = FAMILIES["postercraft"], FAMILIES["posteromni"]
WIDTH, HEAD = 3072, 128


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    FluxPipeline(**tiny_flux.components()).save_pretrained(folder)
    return folder


def weights(seed: int = 7) -> dict[str, Tensor]:
    return tiny_flux.components(seed=seed)["transformer"].state_dict()


def loaded(path: Path, base: Path, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    return load_transformer(str(path), str(base), FLUX, dtype).state_dict()


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
@pytest.mark.parametrize("scale_name", ["scale_weight", "weight_scale"])
def test_scaled_fp8_becomes_the_numbers_that_it_stands_for(base, tmp_path, prefix, scale_name) -> None:
    file, expected = {}, {}
    for name, value in weights().items():
        if name.endswith(".weight") and value.ndim == 2:
            scale = value.abs().max() / 448
            packed = (value / scale).to(torch.float8_e4m3fn)
            layer = prefix + name.removesuffix(".weight")
            file |= {prefix + name: packed, f"{layer}.{scale_name}": scale, f"{layer}.scale_input": torch.tensor(1.0)}
            expected[name] = packed.float() * scale
        else:
            file[prefix + name] = expected[name] = value
    save_file(file | {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}, tmp_path / "a.safetensors")
    found = loaded(tmp_path / "a.safetensors", base)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_plain_fp8_is_read_as_it_stands(base, tmp_path) -> None:
    packed = {name: value.to(torch.float8_e5m2) for name, value in weights().items()}
    save_file(packed, tmp_path / "a.safetensors")
    found = loaded(tmp_path / "a.safetensors", base, torch.bfloat16)
    assert all(torch.equal(found[name], value.to(torch.bfloat16)) for name, value in packed.items())


def test_of_a_whole_checkpoint_in_one_file_the_transformer_is_taken(base, tmp_path) -> None:
    file = {f"model.diffusion_model.{name}": value for name, value in weights().items()}
    others = {"vae.decoder.conv_in.weight": torch.zeros(2), "text_encoders.t5xxl.a": torch.zeros(2)}
    save_file(file | others, tmp_path / "a.safetensors")
    assert torch.equal(loaded(tmp_path / "a.safetensors", base)["x_embedder.weight"], weights()["x_embedder.weight"])


def test_gguf_is_read_through_diffusers_quantiser(base, tmp_path) -> None:
    gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install gguf")
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    writer, expected = gguf.GGUFWriter(tmp_path / "a.gguf", "flux"), weights()
    for name, value in expected.items():
        fits = value.ndim == 2 and value.shape[1] % 32 == 0
        kind = gguf.GGMLQuantizationType.Q8_0 if fits else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(value.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for name, value in loaded(tmp_path / "a.gguf", base).items():
        found = dequantize_gguf_tensor(value) if hasattr(value, "quant_type") else value
        assert (found.float() - expected[name]).abs().max() <= expected[name].abs().max() / 127, name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.pop("x_embedder.weight"), "lacks 1 of .* tensors, first x_embedder.weight"),
        (lambda file: file.update(extra=torch.zeros(1)), "holds 1 tensors that the base does not have, first extra"),
        (
            lambda file: file.update({"x_embedder.weight": torch.zeros(2, 2)}),
            r"x_embedder.weight is \(2, 2\), the base",
        ),
        (lambda file: file.update({"x_embedder.bias": torch.zeros(32, dtype=torch.int8)}), "is int8, a quantisation"),
    ],
)
def test_a_file_that_does_not_fit_whole_is_refused(base, tmp_path, change, said) -> None:
    file = weights()
    change(file)
    save_file(file, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=said) as error:
        loaded(tmp_path / "a.safetensors", base)
    assert "\n" not in str(error.value) and str(error.value).startswith(f"transformer {tmp_path}")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("transformer.a.lora_A.weight", "holds a LoRA; give it to --lora, no transformer of FLUX.1"),
        ("transformer_blocks.0.txt_mod.1.weight", "holds a transformer of posteromni; the base is of postercraft"),
        ("model.diffusion_model.input_blocks.0.weight", "holds a U-Net of Stable Diffusion, no transformer"),
        ("model.diffusion_model.joint_blocks.0.weight", "holds a transformer of Stable Diffusion 3"),
        ("decoder.up.0.block.0.conv1.weight", "holds an autoencoder"),
        ("encoder.block.0.layer.0.weight", "holds a T5 encoder"),
        ("something.weight", "holds 1 tensors such as something.weight"),
        ("double_blocks.0.img_attn.qkv.weight", "holds 1 tensors such as double_blocks"),
        ("single_blocks.0.linear1.weight", "lacks"),
    ],
)
def test_a_file_of_something_else_is_named_for_what_it_is(base, tmp_path, key, said) -> None:
    save_file({key: torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        loaded(tmp_path / "a.safetensors", base)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"GGUF\3\0\0\0" + b"\xff" * 16, b"GGUF\3\0\0\0" + b"\1\0\0\0\0\0\0\0" * 2 + b"\xff" * 40]
)
def test_a_damaged_gguf_is_one_line(base, tmp_path, content) -> None:
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(ValueError, match="GGUF") as error:
        loaded(tmp_path / "a.gguf", base)
    assert "\n" not in str(error.value)


def authors(double: int = 19, single: int = 38) -> dict[str, tuple[int, ...]]:
    """FLUX.1-dev's tensors as its authors name them."""
    linear = {
        "img_in": (WIDTH, 64), "txt_in": (WIDTH, 4096), "time_in.in_layer": (WIDTH, 256),
        "final_layer.linear": (64, WIDTH), "final_layer.adaLN_modulation.1": (2 * WIDTH, WIDTH),
        "time_in.out_layer": (WIDTH, WIDTH), "vector_in.in_layer": (WIDTH, 768), "vector_in.out_layer": (WIDTH, WIDTH),
        "guidance_in.in_layer": (WIDTH, 256), "guidance_in.out_layer": (WIDTH, WIDTH),
    }  # fmt: skip
    made: dict[str, tuple[int, ...]] = {}
    for n in range(double):
        for side in ("img", "txt"):
            block = f"double_blocks.{n}.{side}"
            linear |= {
                f"{block}_mod.lin": (6 * WIDTH, WIDTH), f"{block}_attn.qkv": (3 * WIDTH, WIDTH),
                f"{block}_attn.proj": (WIDTH, WIDTH), f"{block}_mlp.0": (4 * WIDTH, WIDTH),
                f"{block}_mlp.2": (WIDTH, 4 * WIDTH),
            }  # fmt: skip
            made |= {f"{block}_attn.norm.{part}_norm.scale": (HEAD,) for part in ("query", "key")}
    for n in range(single):
        block = f"single_blocks.{n}"
        linear |= {
            f"{block}.linear1": (7 * WIDTH, WIDTH), f"{block}.linear2": (WIDTH, 5 * WIDTH),
            f"{block}.modulation.lin": (3 * WIDTH, WIDTH),
        }  # fmt: skip
        made |= {f"{block}.norm.{part}_norm.scale": (HEAD,) for part in ("query", "key")}
    for name, shape in linear.items():
        made |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return made


def test_flux_in_its_authors_names_fits_at_the_real_size() -> None:
    real = {"guidance_embeds": True}  # the class's other defaults are FLUX.1-dev's
    check_tensors(authors(), FLUX, FluxTransformer2DModel, real)
    with pytest.raises(ValueError, match=r"lacks \d+ of \d+ tensors, first single_transformer_blocks.37"):
        check_tensors(authors(single=37), FLUX, FluxTransformer2DModel, real)
    with pytest.raises(ValueError, match="holds a transformer of postercraft; the base is of posteromni"):
        check_tensors(authors(1, 1), QWEN, QwenImageTransformer2DModel, {})


def test_qwen_fits_at_the_real_size() -> None:
    with init_empty_weights():
        shapes = {name: tuple(value.shape) for name, value in QwenImageTransformer2DModel().state_dict().items()}
    check_tensors(shapes, QWEN, QwenImageTransformer2DModel, {})
    del shapes["transformer_blocks.59.txt_mod.1.bias"]
    with pytest.raises(ValueError, match=r"lacks 1 of \d+ tensors, first transformer_blocks.59.txt_mod.1.bias"):
        check_tensors(shapes, QWEN, QwenImageTransformer2DModel, {})
