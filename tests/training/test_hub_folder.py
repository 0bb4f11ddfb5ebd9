"""Folders for the hub: what stock diffusers makes of them, and what their cards say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_flux
import torch
import yaml
from diffusers import DiffusionPipeline, FluxPipeline
from PIL import Image
from safetensors.torch import save_file
from small_runs import train

from posterkit import PosterCraftPipeline, mini
from posterkit.cli.main import main
from posterkit.pipelines.registry import FAMILIES, LORA_FILE
from posterkit.training.hub_folder import custom_pipeline, export

ROOT = Path(__file__).resolve().parents[2]
ALONE = """
import sys
sys.modules["posterkit"] = None  # an import of it fails
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained(sys.argv[1])
print(type(pipe).__name__, pipe("x", width=32, height=32, num_inference_steps=1, output_type="np").images.shape)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny FLUX.1 as our pipeline saves it, with things in its folder that no hub folder needs."""
    folder = tmp_path_factory.mktemp("export") / "FLUX.1-schnell"
    PosterCraftPipeline(**tiny_flux.components()).save_pretrained(folder)
    for name in ("optimizer.pt", "notes.log", "last/train_state.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def exported(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "mine"
    made = export(str(base), folder, name="me/mine")
    assert made.kind == "checkpoint" and made.licence == "apache-2.0"  # that of the base whose name the folder has
    assert set(made.left_out) == {"optimizer.pt", "notes.log", "last/train_state.safetensors"}
    return folder


def draw(pipe: DiffusionPipeline) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(1)
    return pipe(
        prompt="x", width=32, height=32, num_inference_steps=2, guidance_scale=3.5, generator=generator,
        output_type="pt", max_sequence_length=8,
    ).images  # fmt: skip


def head_of(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---")[1])


def test_a_checkpoint_opens_in_stock_diffusers_and_draws_the_same(base: Path, exported: Path) -> None:
    stock = DiffusionPipeline.from_pretrained(exported)
    assert type(stock) is FluxPipeline
    assert torch.equal(draw(stock), draw(PosterCraftPipeline.from_pretrained(base)))


@pytest.mark.slow
def test_a_checkpoint_opens_where_posterkit_is_not_installed(exported: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ALONE, exported], capture_output=True, text=True)
    assert done.stdout.strip() == "FluxPipeline (1, 32, 32, 3)", done.stderr


def test_its_own_custom_pipeline_gives_ours(base: Path, exported: Path) -> None:
    pipe = DiffusionPipeline.from_pretrained(exported, custom_pipeline=str(exported), trust_remote_code=True)
    assert type(pipe) is PosterCraftPipeline
    assert torch.equal(draw(pipe), draw(PosterCraftPipeline.from_pretrained(base)))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_custom_pipeline_is_the_one_of_the_repository(name: str) -> None:
    assert custom_pipeline(FAMILIES[name]) == (ROOT / "pipelines" / name / "pipeline.py").read_text()


def test_the_card_has_what_the_hub_reads_and_examples_that_name_the_model(exported: Path) -> None:
    head = head_of(exported)
    assert head["license"] == "apache-2.0" and head["pipeline_tag"] == "text-to-image"
    assert head["base_model"] == "black-forest-labs/FLUX.1-schnell" and head["base_model_relation"] == "finetune"
    assert {"posterkit", "flux"} <= set(head["tags"])
    card = (exported / "README.md").read_text()
    assert 'FluxPipeline.from_pretrained("me/mine")' in card and 'custom_pipeline="me/mine"' in card


@pytest.mark.parametrize("name", ["postercraft", "posteromni"])
def test_mini_keeps_what_its_card_says_and_its_pictures(name: str, tmp_path: Path) -> None:
    export(f"mini:{name}", tmp_path / "out", name="me/mini")
    ours = yaml.safe_load((Path(mini.path(name)) / "README.md").read_text().split("---")[1])["posterkit"]
    assert head_of(tmp_path / "out")["posterkit"] == ours
    card = (tmp_path / "out" / "README.md").read_text()
    assert "](.." not in card and card.count("```python") == 3
    index = json.loads((tmp_path / "out" / "model_index.json").read_text())
    assert (
        index["_class_name"] == FAMILIES[name].stock_pipeline and (tmp_path / "out" / "upscaler.safetensors").exists()
    )
    if name == "postercraft":
        Image.open(tmp_path / "out" / "mini_columns.jpg").verify()


def test_a_run_folder_brings_its_figures_its_sheets_and_its_averaged_weights(tmp_path: Path) -> None:
    train(tmp_path / "run", max_steps=4, ema_decay=0.9, sample_every=2)
    (tmp_path / "run" / "ema" / "config.json").write_text("{}")  # a model that transformers opens has one
    (tmp_path / "run" / "heldout.json").write_text('{"loss": {"all": 0.25}}')
    made = export(str(tmp_path / "run"), tmp_path / "out", licence="apache-2.0")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| step | loss |" in card and "| loss.all | 0.25 |" in card and "averaged over the steps" in card
    assert {"samples.png", "samples_before.png"} <= set(made.files)
    weights = next((tmp_path / "run" / "ema").glob("*.safetensors"))
    assert (tmp_path / "out" / weights.name).read_bytes() == weights.read_bytes()


def test_a_lora_file_gets_the_name_that_every_tool_looks_for_and_loads(base: Path, tmp_path: Path) -> None:
    weights = {"transformer.proj_out.lora_A.weight": torch.randn(2, 32),
               "transformer.proj_out.lora_B.weight": torch.randn(16, 2)}  # fmt: skip
    metadata = {"posterkit_base": json.dumps({"name": "FLUX.1-dev", "kind": "FluxTransformer2DModel"})}
    save_file(weights, tmp_path / "style.safetensors", metadata)
    made = export(str(tmp_path / "style.safetensors"), tmp_path / "out", name="me/style")
    assert made.kind == "LoRA" and set(made.files) == {LORA_FILE, "README.md"}
    assert made.licence == "flux-1-dev-non-commercial-license"
    head, card = head_of(tmp_path / "out"), (tmp_path / "out" / "README.md").read_text()
    assert head["base_model"] == "black-forest-labs/FLUX.1-dev" and head["base_model_relation"] == "adapter"
    assert "no commercial use" in card and 'pipe.load_lora_weights("me/style")' in card and "rank 2" in card
    stock = FluxPipeline.from_pretrained(base)
    before = draw(stock)
    stock.load_lora_weights(tmp_path / "out")
    assert not torch.equal(draw(stock), before)


def test_what_cannot_be_exported_is_one_line(base: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("seed: 1\n")
    FluxPipeline(**tiny_flux.components()).save_pretrained(tmp_path / "whose")
    kohya = {"lora_unet_proj_out.lora_down.weight": torch.zeros(1, 32)}
    save_file(kohya, tmp_path / "kohya.safetensors")
    for source, folder, line in (
        (base, "full", "is there already"),
        (tmp_path / "run", "a", "no weights to export yet"),
        (tmp_path / "whose", "b", "nothing says its licence; give --licence"),
        (tmp_path / "kohya.safetensors", "c", "posterkit merge"),
        (tmp_path / "nothing", "d", "no such folder"),
    ):
        assert main(["export", str(source), "-o", str(tmp_path / folder)]) == 2
        assert line in capsys.readouterr().err
    assert not any((tmp_path / name).exists() for name in "abcd")
    assert main(["export", str(tmp_path / "whose"), "-o", str(tmp_path / "e"), "--licence", "mit"]) == 0
    assert "licence mit" in capsys.readouterr().out
