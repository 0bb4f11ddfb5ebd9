"""The script that proves presets on a card, on tiny models on the CPU, and the table that it prints for the docs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from posterkit.pipelines.memory import CONTEXT, GB, Preset
from posterkit.pipelines.preset_table import is_installed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("prove_presets", ROOT / "tests" / "gpu" / "prove_presets.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_script_runs_every_preset_of_both_families_on_tiny_models(script, capsys):
    code = script.main(["--toy"])
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| poster")]
    packages = {"nf4": "bitsandbytes", "torchao": "torchao"}
    lacking = [word for word, package in packages.items() if not is_installed(package)]
    for line in lines:
        left_out = any(word in line[2] for word in lacking)
        assert line[-1] == "ran |" or (left_out and line[-1].startswith("skipped: "))
    assert {line[0] for line in lines} == {"| postercraft", "| posteromni"}
    assert len(lines) >= 10
    assert code == (1 if lacking else 0)


def test_a_preset_that_takes_more_than_computed_or_fails_is_no_proof(script):
    said = script.said_peaks("postercraft", Preset())
    assert script.Proof("postercraft", "80gb", Preset(), tuple(said), (1.0,) * 4).fits()
    assert not script.Proof("postercraft", "80gb", Preset(), tuple(1.1 * one for one in said), (1.0,) * 4).fits()
    assert not script.Proof("postercraft", "80gb", Preset(), (), (), "OutOfMemoryError: no").fits()
    # all models of FLUX.1 lie on the card: 16.87 billion parameters of two bytes
    assert min(said) == pytest.approx(2 * 16.87e9, rel=0.01)
    assert CONTEXT < GB


def test_a_preset_of_a_larger_card_is_proved_once(script):
    names = [name for name, _ in script.distinct(["40gb", "48gb", "80gb", "141gb"], "postercraft")]
    assert names == ["40gb"]


def test_the_page_shows_the_table_that_is_computed(script):
    page = (ROOT / "docs" / "presets.md").read_text(encoding="utf-8").splitlines()
    table = script.arithmetic()
    start = page.index(table[0])
    assert page[start : start + len(table)] == table
