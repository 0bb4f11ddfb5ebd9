"""Loading by what a folder says of itself: another transformer, LoRAs, presets, devices, cards."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tiny_flux
import tiny_qwen
import torch
import yaml
from diffusers import FluxPipeline
from diffusers.hooks.group_offloading import ModuleGroup
from PIL import Image
from safetensors.torch import save_file

from posterkit import PosterCraftPipeline, PosterOmniPipeline
from posterkit.pipelines import preset_table, presets
from posterkit.pipelines.loading import card_scripts
from posterkit.pipelines.lora_weights import base_of
from posterkit.pipelines.memory import Preset, family_sizes, footprint
from posterkit.pipelines.preset_table import CACHE, preset_names, read_preset
from posterkit.pipelines.presets import Hardware, load_pipeline
from posterkit.pipelines.registry import FAMILIES

SMALL = {"width": 32, "height": 48, "num_inference_steps": 2, "max_sequence_length": 24, "output_type": "latent"}


def draw(pipe: Any) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    return pipe(prompt="a poster", **SMALL, generator=torch.Generator("cpu").manual_seed(0)).images


def same(made: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(made, expected, atol=2e-6, rtol=2e-6)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "stock"
    FluxPipeline(**tiny_flux.components(seed=0)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Another transformer in every form that people have one in, and what it draws in the base."""
    folder = tmp_path_factory.mktemp("other")
    parts = tiny_flux.components(seed=0)
    parts["transformer"] = tiny_flux.components(seed=7)["transformer"]
    parts["transformer"].save_pretrained(folder / "alone")
    FluxPipeline(**parts).save_pretrained(folder / "pipeline")
    save_file(parts["transformer"].state_dict(), folder / "diffusers.safetensors")
    return {
        "folder": folder / "alone",
        "pipeline": folder / "pipeline",
        "file": folder / "diffusers.safetensors",
        "drawn": draw(PosterCraftPipeline(**parts)),
    }


def test_a_stock_flux_folder_opens_as_postercraft_in_float32_on_the_cpu(base):
    pipe = load_pipeline(base, device="cpu")
    assert type(pipe) is PosterCraftPipeline
    assert {pipe.transformer.dtype, pipe.text_encoder.dtype, pipe.vae.dtype} == {torch.float32}
    same(draw(pipe), draw(FluxPipeline(**tiny_flux.components(seed=0))))


def test_the_cpu_is_spoken_of_once(base, caplog, monkeypatch):
    monkeypatch.setattr(__import__("logging").getLogger("posterkit"), "propagate", True)
    presets._say_once.cache_clear()
    for _ in range(2):
        load_pipeline(base, device="cpu")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("posterkit")]
    assert lines == ["no graphics card is used: float32 on the CPU with PyTorch's attention"]


def test_an_asked_dtype_counts(base):
    assert load_pipeline(base, device="cpu", dtype="bfloat16").transformer.dtype == torch.bfloat16


@pytest.mark.parametrize("form", ["folder", "pipeline", "file"])
def test_another_transformer_goes_in_whatever_its_form(base, other, form):
    same(draw(load_pipeline(base, transformer=other[form], device="cpu")), other["drawn"])


def test_a_base_without_its_own_transformer_weights_takes_another(base, other, tmp_path):
    bare = shutil.copytree(base, tmp_path / "bare")
    for file in (bare / "transformer").glob("*.safetensors"):
        file.unlink()
    same(draw(load_pipeline(bare, transformer=other["folder"], device="cpu")), other["drawn"])


def test_a_transformer_that_does_not_fit_is_named_with_what_does_not(base, tmp_path):
    tiny_flux.transformer(channels=8).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"transformer {tmp_path}: its in_channels is 32, the base needs 16"):
        load_pipeline(base, transformer=tmp_path, device="cpu")


def test_a_folder_of_another_class_is_no_transformer(base, tmp_path):
    tiny_flux.vae().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a AutoencoderKL, the base needs a FluxTransformer2DModel"):
        load_pipeline(base, transformer=tmp_path, device="cpu")


def test_a_transformer_that_is_not_there_never_falls_back_to_the_base(base, tmp_path):
    with pytest.raises(ValueError, match="missing") as error:
        load_pipeline(base, transformer=tmp_path / "missing", device="cpu")
    assert "\n" not in str(error.value)


def test_pickled_weights_are_not_read(base, other, tmp_path):
    pickled = tmp_path / "weights.pt"
    torch.save({}, pickled)
    with pytest.raises(ValueError, match=r"only \.safetensors files are read"):
        load_pipeline(base, transformer=pickled, device="cpu")
    with pytest.raises(ValueError, match=r"only \.safetensors files are read"):
        load_pipeline(base, lora=str(pickled), device="cpu")


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "text_encoder_2"])
def test_a_folder_with_a_pickled_part_is_refused(base, tmp_path, part):
    folder = shutil.copytree(base, tmp_path / "pickled")
    for file in (folder / part).glob("*.safetensors"):
        file.unlink()
    weights = "pytorch_model.bin" if part.startswith("text") else "diffusion_pytorch_model.bin"
    torch.save(tiny_flux.components()[part].state_dict(), folder / part / weights)
    with pytest.raises(ValueError, match="cannot be loaded") as error:
        load_pipeline(folder, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "text_encoder_2"])
def test_a_folder_with_a_torn_file_is_one_line_that_names_it(base, tmp_path, part):
    folder = shutil.copytree(base, tmp_path / "torn")
    for file in (folder / part).glob("*.safetensors"):
        file.write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match=f"{folder}: cannot be loaded") as error:
        load_pipeline(folder, device="cpu")
    assert "\n" not in str(error.value)


def test_a_torn_lora_is_one_line_that_names_it(base, tmp_path):
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"\xff" * 64)
    with pytest.raises(ValueError, match=f"LoRA {torn}: ") as error:
        load_pipeline(base, lora=str(torn), device="cpu")
    assert "\n" not in str(error.value)


def test_an_index_that_is_no_mapping_is_one_clear_line(tmp_path):
    (tmp_path / "model_index.json").write_text("[]")
    with pytest.raises(ValueError, match="must hold keys and values"):
        load_pipeline(tmp_path, device="cpu")


def test_a_folder_whose_index_asks_for_its_own_code_is_refused(base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "hostile")
    index = json.loads((folder / "model_index.json").read_text())
    index["vae"] = ["autoencoder", "Autoencoder"]
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "vae" / "autoencoder.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Autoencoder: pass\n")
    with pytest.raises(ValueError, match="cannot be loaded"):
        load_pipeline(folder, device="cpu")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", None])
def test_a_folder_of_another_pipeline_is_refused_with_what_is_accepted(tmp_path, name):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": name}))
    with pytest.raises(ValueError, match=f"is a {name}; accepted are FluxPipeline, PosterCraftPipeline"):
        load_pipeline(tmp_path)


def test_the_hub_form_of_a_class_name_is_understood(base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "hub")
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = ["pipeline", "PosterCraftPipeline"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert type(load_pipeline(folder, device="cpu")) is PosterCraftPipeline


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    folder = tmp_path_factory.mktemp("loras")
    for seed in (1, 2):
        transformer = tiny_flux.components()["transformer"]
        torch.manual_seed(seed)
        transformer.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q"], init_lora_weights=False))
        layers = get_peft_model_state_dict(transformer)
        PosterCraftPipeline.save_lora_weights(folder / str(seed), transformer_lora_layers=layers)
    return folder


def test_loras_are_loaded_together_with_their_weights(base, loras):
    both = load_pipeline(base, lora=[f"{loras}/1=0.5", str(loras / "2")], device="cpu")
    by_hand = PosterCraftPipeline.from_pretrained(base)
    by_hand.load_lora_weights(loras / "1", adapter_name="a")
    by_hand.load_lora_weights(loras / "2", adapter_name="b")
    by_hand.set_adapters(["a", "b"], [0.5, 1.0])
    assert torch.equal(draw(both), draw(by_hand))
    assert not torch.allclose(draw(both), draw(load_pipeline(base, device="cpu")), atol=1e-4)


def test_one_lora_file_is_a_lora(base, loras):
    file = loras / "1" / "pytorch_lora_weights.safetensors"
    same(
        draw(load_pipeline(base, lora=str(file), device="cpu")),
        draw(load_pipeline(base, lora=f"{file}=1", device="cpu")),
    )


def test_a_run_folder_stands_for_its_averaged_weights_else_for_its_last_ones(base, loras, tmp_path):
    for run, kind, lora in (("averaged", "ema", "1"), ("plain", "model", "2")):
        shutil.copytree(loras / lora, tmp_path / run / kind)
        (tmp_path / run / "config.yaml").write_text("seed: 0\n")
    shutil.copytree(loras / "2", tmp_path / "averaged" / "model")
    for run, lora in (("averaged", "1"), ("plain", "2")):
        same(
            draw(load_pipeline(base, lora=f"{tmp_path / run}=0.5", device="cpu")),
            draw(load_pipeline(base, lora=f"{loras / lora}=0.5", device="cpu")),
        )
    shutil.copytree(base, tmp_path / "whole" / "ema")
    (tmp_path / "whole" / "config.yaml").write_text("seed: 0\n")
    same(draw(load_pipeline(tmp_path / "whole", device="cpu")), draw(load_pipeline(base, device="cpu")))


def test_a_lora_without_a_key_of_this_model_is_an_error_not_a_silence(base, tmp_path):
    keys = {f"transformer.blocks.0.to_q.lora_{side}.weight": torch.zeros(2, 2) for side in "AB"}
    save_file(keys, tmp_path / "pytorch_lora_weights.safetensors")
    with pytest.raises(ValueError, match=f"LoRA {tmp_path}: "):
        load_pipeline(base, lora=str(tmp_path), device="cpu")


def test_a_lora_weight_must_be_a_number(base, loras):
    with pytest.raises(ValueError, match="the weight behind = must be a number, found 'much'"):
        load_pipeline(base, lora=f"{loras}/1=much", device="cpu")


@pytest.mark.parametrize("family", ["postercraft", "posteromni"])
def test_every_shipped_preset_is_read_for_both_families(family):
    assert preset_names() == ["8gb", "12gb", "16gb", "24gb", "32gb", "40gb", "48gb", "80gb", "141gb"]
    offloads = [read_preset(name, family).offload for name in preset_names()]
    assert offloads[0] == "group"  # the smallest card keeps only blocks
    assert offloads[-1] == "none"  # the largest keeps everything
    assert not read_preset("80gb", family).quantize


def test_a_preset_takes_compile_and_the_cache_by_its_name():
    assert read_preset("80gb+compile+cache", "posteromni") == Preset(compile=True, cache=CACHE)
    with pytest.raises(ValueError, match=r"'fast' is unknown; accepted are .compile and .cache"):
        read_preset("80gb+fast", "posteromni")
    with pytest.raises(ValueError, match="preset 8gb: what is compiled has to stay on the card"):
        read_preset("8gb+compile", "posteromni")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("postercraft: {offlod: model}", 'unknown key "offlod" .did you mean "offload"'),
        ("postercraft: {offload: disk}", "offload is 'disk'; accepted are none, model, group, text"),
        ("postercraft: {quantize: {transformer: int3}}", "quantize.transformer is 'int3'; accepted are nf4, int8"),
        ("postercraft: {quantize: {transfomer: nf4}}", 'unknown key "transfomer" .did you mean "transformer"'),
        ("postercraft: {quantize: {modulation: half}}", "quantize.modulation is 'half'; accepted are nf4, int8"),
        ("postercraft: {tile_vae: yess}", "tile_vae is 'yess'; accepted are true and false"),
        ("postercraft: {cache: 3}", "cache is 3; it is a threshold between 0 and 1"),
        ("postercraft: {quantize: nf4}", "must hold keys and values, found 'nf4'"),
        ("[1, 2]", "must hold keys and values"),
        ("a: [", "not YAML"),
    ],
)
def test_a_bad_preset_file_is_one_clear_line(tmp_path, content, message):
    (tmp_path / "my.yaml").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_preset(str(tmp_path / "my.yaml"), "postercraft")
    assert "\n" not in str(error.value)


def test_a_wrong_preset_name_is_an_error_on_the_cpu_too(base):
    with pytest.raises(ValueError, match="preset '13gb' is unknown; there are 8gb, 12gb, 16gb"):
        load_pipeline(base, preset="13gb", device="cpu")


def test_a_preset_whose_package_is_missing_says_what_to_do(monkeypatch):
    monkeypatch.setattr(preset_table.importlib.util, "find_spec", lambda name: None)
    for name, package in (("12gb", "bitsandbytes"), ("24gb", "torchao")):
        with pytest.raises(
            ValueError, match=rf"needs {package}: pip install 'posterkit\[gpu\]', or take --preset 8gb"
        ):
            preset_table.check_packages(read_preset(name, "postercraft"))
    preset_table.check_packages(read_preset("8gb", "postercraft"))


PACKAGES = {package: bool(find_spec(package)) for package in ("bitsandbytes", "torchao")}
WAYS = [(family, way) for family in FAMILIES for way in [*family_sizes(family).ways, Preset({"transformer": "int8"}),
        Preset({"transformer": "torchao_fp8", "modulation": "torchao_fp8"})]]  # fmt: skip


@pytest.fixture(scope="module")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("omni") / "ours"
    PosterOmniPipeline(**tiny_qwen.components(), native_area=32 * 48, reference_area=32 * 48).save_pretrained(folder)
    return folder


def drawn(pipe: Any, family: str) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    options = {"width": 32, "height": 48, "num_inference_steps": 2, "generator": torch.Generator().manual_seed(0)}
    given = {"postercraft": {"prompt": "a poster", "max_sequence_length": 24},
             "posteromni": {"prompt": "make it night", "image": Image.new("RGB", (32, 48), "teal")}}  # fmt: skip
    return pipe(**given[family], **options, output_type="pt").images


@pytest.fixture(scope="module")
def whole(base: Path, omni: Path) -> dict[str, torch.Tensor]:
    """By family, what its pipeline draws with all weights in bfloat16."""
    folders = {"postercraft": base, "posteromni": omni}
    return {
        name: drawn(load_pipeline(folder, device="cpu", dtype="bfloat16"), name) for name, folder in folders.items()
    }


@pytest.mark.parametrize(("family", "way"), WAYS, ids=[f"{family}: {way.words()}" for family, way in WAYS])
def test_every_way_of_the_table_draws_about_the_same_on_the_cpu(base, omni, whole, family, way):
    if missing := [package for package in way.packages() if not PACKAGES[package]]:
        pytest.skip(f"{missing[0]} is not installed")
    cpu = torch.device("cpu")
    folder = {"postercraft": base, "posteromni": omni}[family]
    placed = load_pipeline(folder, device="cpu", dtype="bfloat16")
    presets.place(placed, way, cpu, family, torch.bfloat16)
    expected, made = whole[family], drawn(placed, family)
    assert torch.isfinite(made).all()
    assert (made - expected).abs().mean() < 0.02
    assert torch.equal(made, expected) == (not way.quantize)
    if "transformer" in way.quantize:
        modulation = {
            type(layer.weight).__name__ if "torchao" in str(way) else layer.weight.dtype
            for path, layer in placed.transformer.named_modules()
            if path.endswith((".norm1.linear", ".img_mod.1"))
        }
        assert (modulation <= {torch.bfloat16, "Parameter"}) == ("modulation" not in way.quantize)


def hooked(module: torch.nn.Module) -> int:
    return sum(hasattr(part, "_diffusers_hook") for part in module.modules())


def test_group_offloading_changes_no_pixel_and_takes_text_encoders_layer_by_layer(base):
    plain, turns = load_pipeline(base, device="cpu"), load_pipeline(base, device="cpu")
    presets.group_offload(turns, torch.device("cpu"))
    same(draw(turns), draw(plain))
    leaves = (torch.nn.Linear, torch.nn.Embedding)
    layers = [part for part in turns.text_encoder_2.modules() if isinstance(part, leaves)]
    assert hooked(turns.text_encoder_2) >= len(layers) > 8
    assert hooked(turns.transformer) >= 2  # a double and a single block
    assert hooked(turns.vae) == 0  # it stays on the card


@pytest.mark.parametrize(("family", "encodes"), [("postercraft", 1), ("posteromni", 2)])  # the second for guidance
def test_no_part_of_a_text_encoder_lies_on_the_card_while_it_draws(base, omni, monkeypatch, family, encodes):
    pipe = load_pipeline({"postercraft": base, "posteromni": omni}[family], device="cpu")
    expected = drawn(pipe, family)
    presets.place(pipe, Preset(offload="text"), torch.device("cpu"), family, torch.float32)
    visits, there, drawing = Counter(), set(), []

    def onload(group, move=ModuleGroup.onload_):
        visits[group], _ = visits[group] + 1, there.add(group)
        move(group)

    def offload(group, move=ModuleGroup.offload_):
        there.discard(group)
        move(group)

    monkeypatch.setattr(ModuleGroup, "onload_", onload)
    monkeypatch.setattr(ModuleGroup, "offload_", offload)
    pipe.transformer.register_forward_pre_hook(lambda *_: drawing.append(len(there)))
    assert torch.equal(drawn(pipe, family), expected)
    assert len(visits) > 8 and set(drawing) == {0} and len(drawing) == 2 * encodes
    assert set(visits.values()) == {encodes}  # each layer comes once for a text


def test_group_offloading_reaches_qwens_encoder():
    parts = tiny_qwen.components()
    pipe = PosterOmniPipeline(**parts)
    picture = Image.new("RGB", (56, 84), "teal")
    with torch.no_grad():
        expected = pipe.encode_prompt("make it night", [picture])[0]
        presets.group_offload(pipe, torch.device("cpu"))
        assert torch.equal(pipe.encode_prompt("make it night", [picture])[0], expected)
    assert hooked(pipe.text_encoder) > 8 and hooked(pipe.vae) == 0


def planned(card: Hardware, base: Path, family: str = "postercraft", **asked: Any) -> tuple[torch.dtype, Preset]:
    said = {"transformer": None, "preset": None, "dtype": None, "small": False} | asked
    return presets._plan(card, FAMILIES[family], "owner/name", **said)


def card(memory: float, ram: float = 128.0, kind: str = "cuda:0") -> Hardware:
    return Hardware(torch.device(kind), "a card", memory, ram)


@pytest.fixture
def all_packages(monkeypatch):
    monkeypatch.setattr(presets, "is_installed", lambda package: True)


def test_a_small_model_on_a_card_stays_whole_in_float32(base, all_packages):
    assert planned(card(24.0), base, small=True) == (torch.float32, Preset())
    assert planned(card(24.0), base) == (torch.bfloat16, read_preset("24gb", "postercraft"))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("memory", [8.4, 12.6, 15.8, 19.9, 23.8, 25.3, 33.7, 42.3, 47.7, 85.0, 95.0, 150.0])
def test_every_card_gets_the_first_way_that_fits_it(base, all_packages, family, memory):
    _, plan = planned(card(memory), base, family)
    ways = family_sizes(family).ways
    fitting = [way for way in ways if footprint(way, family_sizes(family)).card <= memory * 1e9]
    assert plan == fitting[0]
    sold = max(size for size in preset_table.CARDS if size * 0.97 <= memory)
    assert ways.index(plan) <= ways.index(read_preset(f"{sold}gb", family))


def test_without_packages_a_card_gets_a_way_that_needs_none(base, monkeypatch):
    monkeypatch.setattr(presets, "is_installed", lambda package: False)
    for memory in (8.4, 12.6, 15.8, 23.8):
        _, plan = planned(card(memory), base, "posteromni")
        assert not plan.packages()


@pytest.mark.parametrize(
    ("machine", "family", "message"),
    [
        (card(2.0), "postercraft", r"FLUX.1 does not fit: it needs 2\.\d GB of a card .* here are 2.0 and 128.0"),
        (card(8.4, ram=16.0), "posteromni", r"needs 3\.\d GB of a card and 4\d\.\d GB of main memory at least"),
        (card(32.0, 32.0, "cpu"), "postercraft", r"FLUX.1 in bfloat16 needs 39 GB of main memory, here are 32"),
        (card(48.0, 48.0, "mps"), "posteromni", r"Qwen-Image-Edit in bfloat16 needs 6\d GB of main memory"),
    ],
)
def test_what_cannot_fit_is_refused_before_anything_loads(base, machine, family, message):
    with pytest.raises(ValueError, match=message) as error:
        planned(machine, base, family)
    assert "\n" not in str(error.value)


def test_the_cpu_takes_bfloat16_where_main_memory_does_not_hold_float32(base):
    assert planned(card(64.0, 64.0, "cpu"), base) == (torch.bfloat16, Preset())
    assert planned(card(128.0, 128.0, "cpu"), base) == (torch.float32, Preset())
    with pytest.raises(ValueError, match=r"FLUX.1 in float32 needs 76 GB"):
        planned(card(64.0, 64.0, "cpu"), base, dtype="float32")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "device 'tpu' is"),
        ({"device": "cuda:99"}, "NVIDIA cards that torch can use"),
        ({"device": "cpu", "dtype": "float8"}, "dtype 'float8' is unknown; accepted are float32, bfloat16, float16"),
    ],
)
def test_an_unknown_device_or_dtype_is_one_clear_line(base, options, message):
    with pytest.raises(ValueError, match=message):
        load_pipeline(base, **options)


@pytest.mark.parametrize("trains", [False, True])
def test_an_attention_is_judged_by_a_call_so_xformers_never_counts_on_the_cpu(trains):
    transformer = tiny_flux.transformer()
    for backend, works in (("native", True), ("xformers", False), ("flash", False)):
        fault = presets.use_attention(transformer, backend, torch.device("cpu"), trains=trains)
        assert (fault is None) == works
        processors = [part.processor for part in transformer.modules() if hasattr(part, "processor")]
        assert processors and all(one._attention_backend == "native" for one in processors)


@pytest.mark.parametrize(
    ("head", "scripts"),
    [
        ({"language": "en"}, ("latin",)),
        ({"language": ["en", "zh"]}, ("latin", "han")),
        ({"language": ["en"], "posterkit": {"scripts": ["latin", "greek"]}}, ("latin", "greek")),
        ({"posterkit": {"scripts": []}}, ()),
        ({"license": "other"}, None),
    ],
)
def test_a_card_says_which_scripts_its_model_draws(tmp_path, head, scripts):
    (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump(head)}---\n# A model\n")
    assert card_scripts(str(tmp_path)) == scripts


@pytest.mark.parametrize("card", ["# no head\n", "---\na: [\n---\n", "---\n- a\n---\n"])
def test_a_card_without_a_readable_head_says_nothing(tmp_path, card):
    (tmp_path / "README.md").write_text(card)
    assert card_scripts(str(tmp_path)) is None
    assert card_scripts(str(tmp_path / "nowhere")) is None


def test_a_transformer_folder_that_torchao_quantised_is_loaded_as_it_is(base, tmp_path):
    pytest.importorskip("torchao", reason="torchao is not installed: pip install 'posterkit[gpu]'")
    from diffusers import FluxTransformer2DModel, TorchAoConfig
    from torchao.quantization import Int8WeightOnlyConfig

    quantised = FluxTransformer2DModel.from_pretrained(
        base / "transformer", quantization_config=TorchAoConfig(Int8WeightOnlyConfig()), dtype=torch.bfloat16
    )
    quantised.save_pretrained(tmp_path)
    pipe, whole = (
        load_pipeline(base, transformer=other, device="cpu", dtype="bfloat16") for other in (tmp_path, None)
    )
    layer = pipe.transformer.transformer_blocks[0].attn.to_q
    assert type(layer.weight).__module__.startswith("torchao")
    assert 0 < (drawn(pipe, "postercraft") - drawn(whole, "postercraft")).abs().mean() < 0.01
    before = layer.weight
    presets.place(pipe, Preset({"transformer": "fp8"}), torch.device("cpu"), "postercraft", torch.bfloat16)
    assert pipe.transformer.transformer_blocks[0].attn.to_q.weight is before  # not quantised a second time
    assert base_of(pipe.transformer)["weights"] is None  # it does not say which base it was
