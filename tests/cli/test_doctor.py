"""doctor against packages that are really installed beside posterkit, in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.specifiers import SpecifierSet

from posterkit import compatibility
from posterkit.cli import doctor
from posterkit.cli.main import main
from posterkit.pipelines import preset_table

ROOT = Path(__file__).resolve().parents[2]


def install(site: Path, name: str, version: str, code: str = "", summary: str = "") -> None:
    """What pip leaves behind."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {summary}\n")
    module = site / name.replace("-", "_")
    module.mkdir()
    (module / "__init__.py").write_text(code)


def troubles(site: Path) -> list[str]:
    code = "from posterkit.cli.doctor import troubles\nfor t in troubles(): print(f'{t.what} | {t.cure}')"
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    site = tmp_path_factory.mktemp("site")
    # what a CUDA torchvision does beside a CPU torch
    install(site, "torchvision", "0.28.0", "raise RuntimeError('operator torchvision::nms does not exist')")
    install(site, "nunchaku", "0.16.1", summary="Optimally partitioning data into piece-wise linear segments")
    install(site, "opencv-python", "5.0.0")
    install(site, "uniseg", "0.1")
    return troubles(site)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "cure"),
    [
        ("torchvision 0.28.0 do not fit (operator torchvision::nms does not exist)", "pip uninstall torchvision"),
        ("nunchaku 0.16.1 from PyPI is an unrelated library", "pip uninstall nunchaku"),
        ("opencv-python and opencv-python-headless share one folder", "pip install opencv-python-headless"),
        ("uniseg 0.1 is installed, >=0.10 is needed", 'pip install "uniseg>=0.10"'),
    ],
)
def test_a_broken_pair_is_named_with_its_cure(found: list[str], what: str, cure: str) -> None:
    assert [line for line in found if what in line and cure in line], found


def test_no_package_of_this_environment_is_in_trouble(tmp_path: Path) -> None:
    assert [line for line in troubles(tmp_path) if "mini:" not in line] == []


@pytest.mark.parametrize(
    ("transformers", "peft", "lines"),
    [("5.24.0", "0.21.2", 1), ("5.24.0", "0.22.0", 0), ("5.23.0", "0.21.2", 0), ("5.30.1", "0.19.0", 1)],
)
def test_a_pair_that_is_known_to_fail_is_one_line_with_its_cure(monkeypatch, transformers, peft, lines) -> None:
    numbers = {"transformers": transformers, "peft": peft}
    monkeypatch.setattr(compatibility, "version", lambda name: numbers.get(name) or metadata.version(name))
    found = [one for one in doctor.troubles() if "work together" in one.what]
    assert len(found) == lines
    for one in found:
        assert one.what.startswith(f"transformers {transformers} and peft {peft} do not work together: LoRA on text")
        assert one.cure == 'pip install "transformers<5.24"'


def test_every_known_pair_is_one_that_the_tested_versions_do_not_form() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    for pair in compatibility.BAD_PAIRS:
        assert not all(SpecifierSet(bad).contains(tested[name]) for name, bad in pair.versions.items())


def test_a_version_that_was_not_tested_is_shown_beside_the_tested_one(monkeypatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: "99.0" if name == "peft" else "1.0+cpu")
    shown = dict(doctor._versions())
    tested = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert shown["peft"] == f"99.0; tested with {tested['peft']}"
    assert shown["xformers"] == "1.0+cpu"  # tested with none


def fits(card: float | None, ram: float, apple: bool = False) -> dict[str, list[list[str]]]:
    return {title: [heads, *rows] for title, heads, rows in doctor.fits(card, ram, apple)}


def test_the_arithmetic_is_shown_by_part_and_moment_and_adds_up(monkeypatch) -> None:
    monkeypatch.setattr(preset_table, "is_installed", lambda package: True)
    found = fits(24.0, 64.0)
    assert [title.partition(":")[0] for title in found] == ["FLUX.1", "Qwen-Image-Edit"]
    for heads, *rows in found.values():
        assert heads == ["GB", "loading", "encoding", "denoising", "decoding"]
        for place in ("card", "ram"):
            parts = [row for row in rows if row[0].startswith(f"{place}: ")]
            (together,) = [row for row in rows if row[0] == f"{place}, together"]
            for column in range(1, 5):
                total = sum(float(row[column] or 0) for row in parts)
                assert abs(total - float(together[column])) < 0.06 * len(parts)
                assert float(together[column]) <= {"card": 24.0, "ram": 64.0}[place]
    assert any(row[0] == "ram: text encoder 2" and row[1] == "9.5" for row in found[next(iter(found))])


def test_a_missing_package_is_named_with_its_command_beside_what_loads_without_it(monkeypatch) -> None:
    monkeypatch.setattr(preset_table, "is_installed", lambda package: False)
    found = list(fits(16.0, 64.0).items())
    assert [bool(rows[1:]) for _, rows in found] == [False, True, False, True]
    assert found[0][0].endswith("once this is installed: pip install torchao")
    assert found[2][0].endswith("once this is installed: pip install bitsandbytes")
    for title, _ in found[1::2]:  # what is shown with figures needs no package
        assert "torchao" not in title and "nf4" not in title


@pytest.mark.parametrize(
    ("card", "ram", "apple", "words"),
    [
        (
            8.0,
            16.0,
            False,
            "Qwen-Image-Edit: does not fit: 3.0 GB of a card and 46.9 GB of main memory needed at least",
        ),
        (None, 25.0, False, "FLUX.1: does not fit: 39 GB of main memory needed"),
        (None, 48.0, False, "FLUX.1: bfloat16 on the CPU; a poster takes hours"),
        (None, 128.0, False, "FLUX.1: float32 on the CPU; a poster takes hours"),
        (None, 128.0, True, "Qwen-Image-Edit: bfloat16 on the Apple GPU"),
    ],
)
def test_each_kind_of_machine_gets_its_verdict(card, ram, apple, words) -> None:
    assert words in fits(card, ram, apple)


def test_doctor_prints_another_machine(capsys) -> None:
    assert main(["doctor", "--card", "48", "--ram", "64"]) in (0, 1)
    printed = capsys.readouterr().out
    assert "bfloat16, text encoders by layers, tiles" in printed and "card, together" in printed
    assert "not yet run on a GPU" in printed


def test_a_card_that_torch_cannot_use_is_named(monkeypatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    found = [one for one in doctor.troubles() if "NVIDIA" in one.what]
    if not torch.cuda.is_available():
        (one,) = found
        assert one.what.startswith(f"there is an NVIDIA driver, and torch {torch.__version__} ")
        assert one.cure.startswith("pip install --force-reinstall torch")
