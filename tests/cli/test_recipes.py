"""What an installed wheel brings: the recipes, which are found as in a checkout, and the first command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from PIL import Image

from posterkit.cli.recipes import find_recipe, recipe_names

ROOT = Path(__file__).resolve().parents[2]


def test_every_recipe_of_the_checkout_is_found():
    assert recipe_names("train") == sorted(path.stem for path in (ROOT / "train").glob("*.py"))
    assert find_recipe("data_tools", "render_text") == ROOT / "data_tools" / "render_text.py"
    assert find_recipe("train", "stage3_reward.py") == ROOT / "train" / "stage3_reward.py"


def test_an_unknown_recipe_is_named_with_the_nearest_one():
    with pytest.raises(ValueError, match=r'no recipe "stage3_rewards" in train/.*did you mean "stage3_reward"'):
        find_recipe("train", "stage3_rewards")


def run(*call: object, folder: Path) -> str:
    """Without this process's own search path, on which the checkout may be."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in call], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The Python of a fresh environment with the wheel in it; all else comes from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("posterkit", "train", "data_tools", "configs"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source", folder=folder)
    venv.create(folder / "env")
    python = folder / "env" / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-deps", *folder.glob("*.whl"), folder=folder)
    (packages,) = (folder / "env").glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


@pytest.mark.slow
def test_a_wheel_brings_the_recipes_and_their_configs(installed, tmp_path):
    code = """
from posterkit.cli.recipes import find_recipe, recipe_names
import posterkit
print(posterkit.__file__)
print(find_recipe("train", "stage0_autoencoder"))
print(find_recipe("data_tools", "build_prompts"))
print(*recipe_names("train"))
"""
    package, recipe, tool, names = run(installed, "-c", code, folder=tmp_path).splitlines()
    environment = installed.parents[1]
    assert all(Path(path).is_relative_to(environment) for path in (package, recipe, tool))
    assert names.split() == recipe_names("train")
    configs = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml")}
    share = environment / "share" / "posterkit"
    assert {str(path.relative_to(share)) for path in (share / "configs").rglob("*.yaml")} == configs

    assert (share / "constraints.txt").read_text() == (ROOT / "constraints.txt").read_text()

    dry = run(installed, recipe, "--dry-run", folder=tmp_path)
    assert "configs/mini/stage0_autoencoder.yaml" in dry.splitlines()[0]
    run(installed, tool, "--out", "set", "--count", "2", folder=tmp_path)
    assert (tmp_path / "set" / "prompts.jsonl").is_file()


@pytest.mark.slow
def test_the_first_command_of_an_installed_wheel_makes_posters_outside_a_checkout(installed, tmp_path):
    said = run(installed.parent / "posterkit", "demo", "-o", "demo", folder=tmp_path)
    posters = [tmp_path / "demo" / name for name in ("1_lighthouse.png", "2_fox.png", "3_planet.png")]
    for poster in (*posters, tmp_path / "demo" / "contact_sheet.png"):
        assert str(poster.relative_to(tmp_path)) in said
        with Image.open(poster) as picture:
            picture.load()
    assert str(ROOT) not in said
    exported = run(installed.parent / "posterkit", "export", "mini:planner", "-o", "planner", folder=tmp_path)
    assert "licence apache-2.0" in exported and (tmp_path / "planner" / "README.md").is_file()
