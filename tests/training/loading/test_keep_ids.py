"""Token ids in the cache and the frozen text encoders in the step: the same numbers, on less of the disk."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from safetensors import safe_open
from small_omni import save_tiny_qwen
from small_stages import log_of, save_tiny_flux, write_posters, write_stage

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def flux(tmp_path_factory) -> Path:
    return save_tiny_flux(tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="module")
def omni(tmp_path_factory) -> Path:
    return save_tiny_qwen(tmp_path_factory.mktemp("omni"))


def stage(folder: Path, run: str, start: Path, posters: Path, keep: str, **settings) -> Path:
    data = {"path": str(posters), "cache": str(folder / "cache"), "keep": keep}
    return write_stage(folder, run, start, None, **{"max_steps": 3, "data": data, "drop_prompt": 0.4, **settings})


def both(run_recipe, folder: Path, recipe: str, start: Path, posters: Path, **settings) -> None:
    """Run a recipe with states and with ids; losses and weights have to be equal to the bit."""
    for keep in ("states", "ids"):
        run_recipe(recipe, stage(folder, keep, start, posters, keep, **settings))
    states, ids = ([row["loss"] for row in log_of(folder / keep)] for keep in ("states", "ids"))
    assert states == ids and len(states) == 3
    weights = [(folder / keep / "last" / "weights.safetensors").read_bytes() for keep in ("states", "ids")]
    assert weights[0] == weights[1]


def kept(folder: Path) -> list[set[str]]:
    """What the entries of each cache hold, the one with the smaller entries first."""
    found = []
    for path in sorted((folder / "cache").glob("*/*.safetensors"), key=lambda path: path.stat().st_size):
        with safe_open(path, framework="pt") as file:
            found.append({key.rsplit("/", 1)[1] for key in file.keys()})  # noqa: SIM118
    return found


SETTINGS = pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="fp32"),
        pytest.param({"base": "bf16", "precision": "bf16"}, id="bf16", marks=pytest.mark.slow),
    ],
)


@SETTINGS
def test_postercraft_learns_the_same_to_the_bit(flux, run_recipe, tmp_path, settings):
    both(run_recipe, tmp_path, "stage1_text_render", flux, write_posters(tmp_path / "set", 5), **settings)
    smaller, larger = kept(tmp_path)
    assert smaller == {"latents", "t5", "clip"} and larger == {"latents", "prompt", "pooled"}


@SETTINGS
def test_posteromni_learns_the_same_to_the_bit(omni, run_recipe, tmp_path, settings):
    posters = write_posters(tmp_path / "set", 6, ("extending", "filling", "rescaling", "id_driven"))
    both(
        run_recipe, tmp_path, "stage2_experts", omni, posters, text_share=0, group="local",
        trainable={"weights": "lora", "rank": 2, "targets": ["to_q"]}, **settings,
    )  # fmt: skip
    said = [{name for name in held if not name.startswith("latents")} for held in kept(tmp_path)]
    assert {"prompt", "empty", "made"} in said and {"ids", "empty_ids", "patches", "grid", "made"} in said


@pytest.mark.slow
def test_a_run_that_keeps_ids_goes_on_bit_for_bit(flux, run_recipe, tmp_path):
    posters = write_posters(tmp_path / "set", 5)
    for run, stops in (("whole", [[]]), ("halves", [["stop_at=2"], []])):
        for stop in stops:
            run_recipe("stage1_text_render", stage(tmp_path, run, flux, posters, "ids"), *stop)
    whole, halves = (tmp_path / run / "last" / "weights.safetensors" for run in ("whole", "halves"))
    assert whole.read_bytes() == halves.read_bytes()


@pytest.mark.slow
def test_a_disk_too_small_for_states_ends_the_run_before_anything_is_written(
    flux, run_recipe, tmp_path, capsys, monkeypatch
):
    posters = write_posters(tmp_path / "set", 5)
    # an entry has 16 states of 32 values in float32 (2 kB), and latents of 1.5 kB
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**6, 0, 10_000))
    with pytest.raises(SystemExit) as ended:
        run_recipe("stage1_text_render", stage(tmp_path, "run", flux, posters, "states"))
    said = capsys.readouterr()
    assert ended.value.code == 2 and said.err.count("\n") == 1
    assert "10.0 kB of the disk are free; what the encoders say of 5 posters needs about" in said.err
    assert "; data.keep=ids needs about" in said.err and "runs the frozen text encoders in every step" in said.err
    assert not list((tmp_path / "cache").glob("*/*.safetensors"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**6, 0, 100))
    with pytest.raises(SystemExit):
        run_recipe("stage1_text_render", stage(tmp_path, "ids", flux, posters, "ids"))
    assert "; free some, give the cache another place, or take fewer posters" in capsys.readouterr().err
