"""The first command after an installation."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from posterkit.cli.main import main


@pytest.mark.slow
def test_the_demo_makes_three_posters_and_says_where_they_are_and_leaves_them_alone_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my posters"
    assert main(["demo", "-o", str(folder)]) == 0
    said = capsys.readouterr().out
    posters = [folder / name for name in ("1_lighthouse.png", "2_fox.png", "3_planet.png")]
    for poster in (*posters, folder / "contact_sheet.png"):
        assert str(poster) in said.splitlines() or f"all on one sheet: {poster}" in said
        Image.open(poster).verify()
    assert f"'{folder}'/1_lighthouse.png" in said  # what to try next is quoted as a shell needs it
    written = {poster: poster.stat().st_mtime_ns for poster in posters}
    assert main(["demo", "-o", str(folder)]) == 0
    assert {poster: poster.stat().st_mtime_ns for poster in posters} == written


def test_a_file_is_no_folder_for_the_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"")
    assert main(["demo", "-o", str(tmp_path / "photo.jpg")]) == 2
    assert "photo.jpg: -o names a file; demo needs a folder" in capsys.readouterr().err
