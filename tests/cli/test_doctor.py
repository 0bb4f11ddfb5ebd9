"""doctor against packages that are really installed beside posterkit, in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


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
