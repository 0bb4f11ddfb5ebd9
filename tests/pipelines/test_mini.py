"""The shipped checkpoints: their size, their files, and that stock classes read them alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline, QwenImageEditPlusPipeline
from PIL import Image
from safetensors import safe_open

from posterkit import PosterCraftPipeline, PosterOmniPipeline, load_processor, mini
from posterkit.pipelines.instruction import prefix_length
from posterkit.pipelines.loading import card_scripts
from posterkit.pipelines.registry import FAMILIES
from posterkit.tasks import TASKS

MB = 10**6


@pytest.fixture(scope="module")
def omni() -> PosterOmniPipeline:
    pipe = PosterOmniPipeline.from_pretrained(mini.path("posteromni"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def craft() -> PosterCraftPipeline:
    pipe = PosterCraftPipeline.from_pretrained(mini.path("postercraft"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def files() -> list[Path]:
    return [path for name in mini.NAMES for path in Path(mini.path(name)).rglob("*") if path.is_file()]


def test_a_version_is_at_most_26_mb_and_a_planner_4_in_files_of_at_most_15():
    planner = [path.stat().st_size for path in files() if "planner" in path.parts]
    sizes = [path.stat().st_size for path in files() if "planner" not in path.parts]
    assert sum(sizes) <= 26 * MB and max(sizes) <= 15 * MB and 0 < sum(planner) <= 4 * MB


def test_weights_are_bfloat16_safetensors_and_nothing_else():
    assert {path.suffix for path in files()} <= {".safetensors", ".json", ".jinja", ".md", ".yaml", ".txt"}
    for path in files():
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as weights:
                assert {weights.get_tensor(name).dtype for name in weights.keys()} == {torch.bfloat16}, path  # noqa: SIM118


def test_everything_loads_in_float32_when_no_dtype_is_given(omni, craft):
    for pipe in (omni, craft):
        parts = {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}
        assert {part.dtype for part in parts.values()} == {torch.float32}, parts.keys()


def test_the_templates_prefix_is_64_tokens_as_the_stock_pipeline_assumes(omni):
    assert prefix_length(omni.tokenizer) == 64


def test_the_cards_say_what_the_models_can_letter():
    for name in FAMILIES:
        assert card_scripts(mini.path(name)) == ()


def test_model_index_names_stock_classes_only():
    for name in FAMILIES:
        index = json.loads((Path(mini.path(name)) / "model_index.json").read_text())
        libraries = {value[0] for value in index.values() if isinstance(value, list)}
        assert libraries <= {"diffusers", "transformers", None}


def test_stock_flux_draws_the_very_same_picture(craft):
    stock = FluxPipeline.from_pretrained(mini.path("postercraft"))
    stock.set_progress_bar_config(disable=True)
    call = {
        "prompt": "A red sun over navy waves, no text.", "width": 128, "height": 192, "num_inference_steps": 3,
        "guidance_scale": 2.0, "max_sequence_length": craft.config.max_sequence_length, "output_type": "pt",
    }  # fmt: skip
    ours, theirs = (p(**call, generator=torch.Generator().manual_seed(3)).images for p in (craft, stock))
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_stock_qwen_edit_draws_the_very_same_picture(omni, monkeypatch):
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as module

    monkeypatch.setattr(module, "VAE_IMAGE_SIZE", omni.config.reference_area)
    monkeypatch.setattr(module, "CONDITION_IMAGE_SIZE", omni.config.condition_area)
    folder = mini.path("posteromni")
    stock = QwenImageEditPlusPipeline.from_pretrained(folder, processor=load_processor(folder))
    stock.set_progress_bar_config(disable=True)
    call = {
        "image": Image.new("RGB", (96, 144), "teal"), "prompt": "A poster.", "negative_prompt": " ",
        "true_cfg_scale": 2.0, "width": 128, "height": 192, "num_inference_steps": 3, "output_type": "pt",
    }  # fmt: skip
    ours, theirs = (p(**call, generator=torch.Generator().manual_seed(3)).images for p in (omni, stock))
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_task_runs_at_the_checkpoints_own_defaults(omni, task):
    photo, mask = Image.new("RGB", (120, 150), "orange"), Image.new("L", (120, 150))
    mask.paste(255, (40, 40, 80, 90))
    extra = {"mask_image": mask} if task.needs_mask else {}
    out = omni(image=photo, task=task.name, num_inference_steps=2, **extra)
    width, height = out.images[0].size
    assert abs(width * height - omni.config.native_area) < 0.2 * omni.config.native_area
