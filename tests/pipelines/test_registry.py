"""The registry of model families, and what names of models stand for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import diffusers
import pytest
from safetensors import safe_open

from posterkit import mini
from posterkit.pipelines.loading import card_draft
from posterkit.pipelines.registry import (
    FAMILIES,
    family_for,
    family_named,
    family_of,
    is_hub_id,
    read_index,
    resolve,
    resolve_folder,
)
from posterkit.tasks import TASKS


def test_every_task_is_drawn_by_one_family():
    assert sorted(task for family in FAMILIES.values() for task in family.tasks) == sorted(["text", *TASKS])
    assert family_for("text").name == "postercraft" and family_for("filling").name == "posteromni"


@pytest.mark.parametrize("name", list(FAMILIES))
def test_the_classes_of_a_family_exist_and_fit_its_shipped_checkpoint(name):
    family = family_named(name)
    assert family_of(family.mini) is family
    index = read_index(resolve(family.mini))
    assert index["transformer"] == ["diffusers", family.transformer]
    assert family.guidance in index  # a checkpoint carries its own default for it
    assert issubclass(family.pipeline_class(), getattr(diffusers, family.stock_pipeline).__mro__[1])
    assert family.adapter_class().family is family


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_transformer_file_is_known_by_a_key_that_no_other_family_has(name):
    with safe_open(next((Path(mini.path(name)) / "transformer").glob("*.safetensors")), "pt") as file:
        keys = list(file.keys())
    assert [one.name for one in FAMILIES.values() if any(one.file_key in key for key in keys)] == [name]


def test_a_run_folder_stands_for_its_averaged_weights_else_for_its_last_ones(tmp_path):
    (tmp_path / "model").mkdir()
    assert resolve(tmp_path) == str(tmp_path / "model")
    (tmp_path / "ema").mkdir()
    assert resolve(f"{tmp_path}=0.8") == f"{tmp_path / 'ema'}=0.8"


def test_a_shipped_checkpoint_and_its_parts_have_names():
    assert resolve("mini:postercraft/vae") == str(Path(mini.path("postercraft")) / "vae")
    with pytest.raises(ValueError, match="unknown mini checkpoint 'flux'"):
        resolve("mini:flux")


def test_a_hub_id_stays_as_it_is_and_a_folder_of_runs_is_never_one(tmp_path, monkeypatch):
    assert resolve("black-forest-labs/FLUX.1-dev") == "black-forest-labs/FLUX.1-dev"
    assert is_hub_id("black-forest-labs/FLUX.1-dev") and not is_hub_id("runs/stage1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    assert not is_hub_id("models/flux")
    with pytest.raises(FileNotFoundError, match="models/flux: no such folder"):
        resolve_folder("models/flux")


def test_what_no_family_opens_is_refused_with_what_is_accepted():
    with pytest.raises(ValueError, match=r"m: is a StableDiffusionPipeline; accepted are FluxPipeline"):
        family_of("m", {"_class_name": "StableDiffusionPipeline"})
    with pytest.raises(ValueError, match="family 'sd' is unknown; accepted are postercraft, posteromni"):
        family_named("sd")


def test_names_are_resolved_without_torch():
    code = "import sys; from posterkit.pipelines.registry import resolve; resolve('mini:postercraft'); "
    code += "print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize("draft", ["{area: x, strength: 0.3}", "{area: 100}", "{area: 100, strength: 2}"])
def test_a_card_whose_draft_makes_no_sense_is_refused(tmp_path: Path, draft: str) -> None:
    (tmp_path / "README.md").write_text(f"---\nposterkit:\n  draft: {draft}\n---\n")
    with pytest.raises(ValueError, match="its card's draft needs an area"):
        card_draft(str(tmp_path))
