"""Pictures of the page as it is, for its docs: wide, dark, and on a telephone.

    python benchmarks/ui_pictures.py --out docs
    python benchmarks/ui_pictures.py --out docs --study study.html     # of `posterkit bench study`

Starts `posterkit ui` with mini, makes a poster by clicks in headless Chromium (needs playwright and
/usr/bin/chromium), and writes ui.jpg, ui_dark.jpg and ui_narrow.jpg. With --study it answers some questions of a study
and writes study.jpg alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright
from ui_speed import CHROMIUM, opened

from posterkit.image_io import read_image

WORDS = {"prompt": "a lighthouse at night", "title": "NORTH LIGHT", "subtitle": "From 6 May", "cta": "Book now"}
QUALITY = 86


def seen(page: Any, folder: Path) -> Image.Image:
    """What the window shows."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(600)
    page.screenshot(path=folder / "window.png")
    image = read_image(folder / "window.png")
    (folder / "window.png").unlink()
    return image


def drawn(page: Any) -> None:
    for name, words in WORDS.items():
        page.locator(f"#pk-{name} textarea, #pk-{name} input").first.fill(words)
    page.get_by_role("button", name="Paper and drawing").click()
    page.locator("#pk-seed textarea, #pk-seed input").first.press_sequentially("3")
    page.get_by_role("button", name="Paper and drawing").click()
    page.wait_for_timeout(3000)
    page.click("#pk-draw")
    page.wait_for_selector("#pk-files a[data-form='PDF']")


def switched(page: Any, view: str) -> None:
    page.locator("#pk-view label", has_text=view).click()
    page.wait_for_timeout(1500)


def answered(study: Path, out: Path) -> None:
    """A study whose first four pairs are answered, and two questions of the fifth."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 930})
        page.goto(study.resolve().as_uri())
        page.fill("#voter", "Ann")
        for number in (*range(4 * 4), 0, 2):
            page.locator("#questions tr").nth(number % 4).locator("button").nth(2 - number % 4 // 2).click()
        seen(page, out).save(out / "study.jpg", quality=QUALITY, optimize=True)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--study", type=Path, help="a study page; pictures it alone")
    given = parser.parse_args()
    out = given.out
    if given.study:
        return answered(given.study, out)
    with opened() as (page, _):
        drawn(page)
        page.evaluate("scrollTo(0, 0)")
        seen(page, out).save(out / "ui.jpg", quality=QUALITY, optimize=True)
        switched(page, "Compare")
        page.click("#pk-theme")
        seen(page, out).save(out / "ui_dark.jpg", quality=QUALITY, optimize=True)
        page.click("#pk-theme")
        switched(page, "Poster")
        page.set_viewport_size({"width": 390, "height": 844})
        screens = []
        for anchor in ("#pk-head", "#pk-task", "#pk-files"):
            page.locator(anchor).evaluate("(e) => e.scrollIntoView()")
            screens.append(seen(page, out))
        for tab in ("Batch", "Brand"):
            page.evaluate("scrollTo(0, 0)")
            page.get_by_role("tab", name=tab).click()
            screens.append(seen(page, out))
    sheet = Image.new("RGB", (sum(one.width + 24 for one in screens) + 24, screens[0].height + 48), "#8d8a83")
    for number, one in enumerate(screens):
        sheet.paste(one, (24 + number * (one.width + 24), 24))
    sheet.save(out / "ui_narrow.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
