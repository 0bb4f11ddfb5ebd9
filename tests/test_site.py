"""The documentation's site: its links, and that every page of docs/ stands in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_has_every_page(tmp_path: Path) -> None:
    pytest.importorskip("material")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (ROOT / "docs").rglob("*.md"):
        assert (tmp_path / "site" / page.relative_to(ROOT / "docs")).with_suffix(".html").is_file()
    html = (tmp_path / "site" / "contributing.html").read_text()
    assert 'href="pipelines.html"' in html or "Add a model family" in html
    api = (tmp_path / "site" / "api.html").read_text()
    assert "PosterMaker" in api and "Makes finished posters with one set of settings" in api
