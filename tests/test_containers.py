"""What the Dockerfiles name exists. Images are built where Docker runs, which is not here."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Dockerfile", "Dockerfile.cuda")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(name: str) -> list[tuple[str, str]]:
    """Keyword and arguments of each instruction, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text())
    lines = (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out: the last pattern that fits decides."""
    ignored = False
    for pattern in (ROOT / ".dockerignore").read_text().split():
        if fnmatch.fnmatch(path, pattern.lstrip("!").removeprefix("**/")):
            ignored = not pattern.startswith("!")
    return ignored


@pytest.mark.parametrize("name", FILES)
def test_every_copied_file_is_there_and_goes_to_the_daemon(name: str) -> None:
    copied = [word for keyword, rest in instructions(name) if keyword == "COPY" for word in rest.split()[:-1]]
    assert {"pyproject.toml", "posterkit", "train", "data_tools", "configs"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists() and not is_ignored(source)
    assert all(is_ignored(name) for name in (".git", ".venv", "runs", "tests", "docs"))


@pytest.mark.parametrize("name", FILES)
def test_what_the_wheel_takes_along_is_copied(name: str) -> None:
    copied = {word for keyword, rest in instructions(name) if keyword == "COPY" for word in rest.split()[:-1]}
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    assert {files[0].split("/")[0] for files in data.values()} <= copied


@pytest.mark.parametrize("name", FILES)
def test_versions_extras_and_the_command_are_the_projects(name: str) -> None:
    runs = " ".join(rest for keyword, rest in instructions(name) if keyword == "RUN")
    version = re.search(r"^TORCH := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert version and f"torch=={version[1]} " in f"{runs} "
    (extras,) = re.findall(r'"\.\[([^\]]+)\]"', runs)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    by_keyword = dict(instructions(name))
    (command,) = json.loads(by_keyword["ENTRYPOINT"])
    assert command in PROJECT["scripts"]


@pytest.mark.parametrize("name", FILES)
def test_an_image_has_a_pinned_base_and_no_root(name: str) -> None:
    found = instructions(name)
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", dict(found)["FROM"])
    assert dict(found)["USER"] == "poster" and any("useradd" in rest and "poster" in rest for _, rest in found)
    docs = (ROOT / "docs" / "containers.md").read_text()
    assert f"`{name}`" in docs
