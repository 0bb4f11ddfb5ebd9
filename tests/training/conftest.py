"""Nano versions of the shipped recipes' models, made on the spot."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import yaml
from small_omni import save_tiny_qwen, write_tasks

from posterkit.training.adapters.autoencoder import Autoencoder

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {"postercraft": "stage0_pretrain.yaml", "posteromni": "stage0_pretrain_posteromni.yaml"}
FAMILY = {"postercraft": "flux", "posteromni": "qwen"}


def nano_config(name: str) -> dict:
    """A shipped mini config, its transformer cut to one layer of each kind."""
    config = yaml.safe_load((ROOT / "configs" / "mini" / CONFIGS[name]).read_text())
    transformer = config["model"]["transformer"]
    transformer.update(num_layers=1, attention_head_dim=16, num_attention_heads=2, axes_dims_rope=[4, 6, 6])
    if "num_single_layers" in transformer:
        transformer["num_single_layers"] = 1
    return config


@pytest.fixture(scope="session")
def nano_autoencoder(tmp_path_factory):
    """`nano_autoencoder(name)` -> a vae folder of the family's real class, random weights."""
    made = {}

    def make(name: str) -> Path:
        if name not in made:
            model = yaml.safe_load((ROOT / "configs" / "mini" / "stage0_autoencoder.yaml").read_text())["model"]
            small = {"flux": {"block_out_channels": [8, 8, 8, 8]}, "qwen": {"base_dim": 8, "dim_mult": [1, 1, 1, 1]}}
            family = FAMILY[name]
            torch.manual_seed(0)
            folder = tmp_path_factory.mktemp("vae") / name
            Autoencoder.from_config(family, {**model[family], **small[family]}).save(folder)
            made[name] = folder
        return made[name]

    return make


@pytest.fixture
def nano_recipe(tmp_path, nano_autoencoder):
    """`nano_recipe(name, run, **overrides)` writes a nano config; returns its path."""

    def write(name: str, run: str, **overrides) -> Path:
        config = nano_config(name)
        config["data"] |= {"count": 24, "cache": str(tmp_path / "cache"), "sizes": [[64, 96]]}
        config |= {"autoencoder": str(nano_autoencoder(name)), "run_dir": str(tmp_path / run), "batch_size": 2,
                   "log_every": 1, "sample_every": 0, "precision": "fp32", **overrides}  # fmt: skip
        path = tmp_path / f"{run}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    return write


def recipe(name: str):
    """A recipe in `train/` as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "train" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def open_recipe():
    """`open_recipe("stage0_pretrain")` is the recipe's module."""
    return recipe


@pytest.fixture
def run_recipe(monkeypatch):
    """`run_recipe("stage0_pretrain", config, "key=value")` runs a recipe's main in this process."""

    def run(name: str, config: Path, *overrides: str) -> None:
        monkeypatch.setattr(sys, "argv", [f"train/{name}.py", "--config", str(config), *overrides])
        recipe(name).main()

    return run


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """A tiny Qwen-Image-Edit."""
    return save_tiny_qwen(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def posters(tmp_path_factory) -> Path:
    """A set of two tasks, three posters to train on and one held out of each."""
    tasks = {"layout_driven": [0, 1, 2], "style_driven": [0, 1, 2]}
    return write_tasks(tmp_path_factory.mktemp("set"), tasks, heldout=1)
