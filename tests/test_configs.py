"""Every config in `configs/` loads into its recipe's dataclass."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import yaml

from posterkit.pipelines.preset_table import preset_names, read_preset
from posterkit.rewards import open_reward
from posterkit.training.config import RunConfig, load_config

ROOT = Path(__file__).resolve().parents[1]
SIZES = ("critic", "mini", "nano", "planner", "postercraft", "posteromni", "safety")
STAGES = sorted(path for size in SIZES for path in (ROOT / "configs" / size).glob("*.yaml"))


def recipe_of(config: Path):
    """The recipe whose name a config's begins with."""
    recipe = max(
        (r for r in (ROOT / "train").glob("*.py") if config.stem.startswith(r.stem)), key=lambda r: len(r.stem)
    )
    spec = importlib.util.spec_from_file_location(recipe.stem, recipe)
    module = importlib.util.module_from_spec(spec)
    sys.modules[recipe.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", STAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_stage_config_has_only_known_keys_of_the_right_types(path):
    module = recipe_of(path)
    config_class = next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, RunConfig) and value.__module__ == module.__name__
    )
    config = load_config(config_class, path)
    assert config.max_steps > 0 and re.match(r"runs/", config.run_dir)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "rewards").iterdir()), ids=lambda path: path.stem)
def test_a_file_of_weights_opens_as_a_reward(path):
    assert open_reward(str(path)).name.startswith(path.stem)


@pytest.mark.parametrize("recipe", sorted((ROOT / "train").glob("*.py")), ids=lambda path: path.stem)
def test_a_recipe_has_a_mini_config_of_its_name_and_fits_a_page(recipe):
    assert (ROOT / "configs" / "mini" / f"{recipe.stem}.yaml").is_file()
    assert len(recipe.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("family", ["posteromni", "postercraft"])
def test_a_preset_is_read_for_both_families(name, family):
    assert read_preset(name, family).offload in {"none", "text", "group"}


def test_no_config_is_left_out_of_these_tests():
    # those of accelerate are read in tests/training/test_sharding.py
    tested = {path for folder in ("accelerate", "rewards") for path in (ROOT / "configs" / folder).glob("*.yaml")}
    tested |= {*STAGES}
    assert set((ROOT / "configs").rglob("*.yaml")) == tested
    assert all(isinstance(yaml.safe_load(path.read_text()), dict) for path in tested)
