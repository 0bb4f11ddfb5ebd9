"""The first-hour pages: their blocks run, from top to bottom, and leave the pictures that the pages show."""

from __future__ import annotations

from pathlib import Path

import pytest
from first_hours import PICTURES, READERS, ROOT, blocks, row, run_page


@pytest.mark.parametrize("reader", READERS)
def test_a_page_shows_its_pictures_and_has_blocks_to_run(reader: str) -> None:
    page = (ROOT / "docs" / f"first_hour_{reader}.md").read_text(encoding="utf-8")
    assert len(list(blocks(page))) >= 5
    assert all(f"]({name})" in page for name in PICTURES[reader])


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_every_block_of_a_page_runs(reader: str, tmp_path: Path) -> None:
    run_page(reader, tmp_path)
    for files in PICTURES[reader].values():
        assert row([tmp_path / file for file in files]).height > 100
