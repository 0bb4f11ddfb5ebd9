"""What the documents name exists: files, links, commands, configs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from posterkit.cli.main import parse

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "posterkit/mini/**/*.md")
    for page in ROOT.glob(pattern)
)
OURS = (
    "posterkit", "pipelines", "train", "data_tools", "configs", "tests", "examples", "benchmarks", "docs", "comfyui",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_path_leads_to_a_file(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"
    for path in re.findall(rf"`((?:{'|'.join(OURS)})/[\w./-]+)`", text):
        assert (ROOT / path.rstrip("/")).exists(), f"{page.name} names {path}"


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:\w*)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            found += [(page.name, line.strip()) for line in block.splitlines() if re.match(r"\s*posterkit \w", line)]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_is_one_that_the_program_takes(page, line):
    words = shlex.split(line.split("  #")[0])
    parse(words[1:])


def test_the_readme_gives_at_least_one_line_for_each_command():
    named = {line.split()[1] for page, line in commands() if page == "README.md"}
    assert named >= {"generate", "transform", "batch", "info", "doctor"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_recipe_call_names_a_recipe_and_a_config(page):
    for line in re.findall(
        r"(?:accelerate launch|python) ((?:train|data_tools)/\S+\.py.*)", page.read_text(encoding="utf-8")
    ):
        for path in re.findall(r"(?:train|data_tools|configs)/[\w./-]+\.(?:py|yaml)", line):
            assert (ROOT / path).is_file(), f"{page.name} runs {path}"


def test_every_make_target_in_the_readme_is_in_the_makefile():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {"poster", "test", "docs"} <= named <= targets


def test_every_page_stands_in_the_sites_navigation():
    named = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")[2]))
    docs = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert named - {"contributing.md", "changelog.md"} == docs, "mkdocs.yml lists the pages of docs/"


def test_every_module_that_the_rename_map_leads_to_is_there():
    text = (ROOT / "docs" / "renames.md").read_text(encoding="utf-8")
    found = re.findall(
        r"^\| [^|]+ \| ([^|]+) \|$", text.partition("## Modules")[2].partition("\n## ")[0], re.MULTILINE
    )
    assert len(found) > 100
    for name in (name for cell in found[1:] for name in cell.split(", ")):
        path = name if "/" in name else f"posterkit/{name.replace('.', '/')}"
        assert any((ROOT / one).exists() for one in (path, f"{path}.py", f"posterkit/{path}")), name
