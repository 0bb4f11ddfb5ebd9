"""The study page in headless Chromium: what is pressed is counted, kept and saved."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_server import CHROMIUM
from PIL import Image

from posterkit.evaluation.study_page import QUESTIONS, count_votes, write_study
from posterkit.schema import PosterRequest

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}")]


def test_every_answer_is_counted_kept_and_saved(tmp_path: Path):
    request = PosterRequest("waves", texts=["SURF"])
    pictures = [Image.new("RGB", (32, 48), color) for color in ("red", "blue")]
    pairs = dict.fromkeys(("one", "two"), (request, *pictures))
    study = write_study(tmp_path / "study.html", ("a", "b"), pairs)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto((tmp_path / "study.html").as_uri())
        for number, name in enumerate(QUESTIONS):
            assert page.inner_text("#count") == f"Pair 1 of 2, {number} of 8 questions answered"
            page.locator(f"[id='{name} tie']").press("Enter")
        assert page.inner_text("#count") == "Pair 2 of 2, 4 of 8 questions answered"
        page.reload()
        assert page.inner_text("#count") == "Pair 2 of 2, 4 of 8 questions answered"
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "votes.json")
        browser.close()
    found = count_votes([tmp_path / "votes.json"], study)
    assert [(name, row["votes"], row["tie"]["mean"]) for name, row in found.items()] == [
        (name, 1, 1) for name in QUESTIONS
    ]  # fmt: skip
