"""The page in headless Chromium: every task by clicks, faults, the keyboard alone, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_server import CHROMIUM, shown

from posterkit.generate.metadata import read_record

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs {CHROMIUM}"),
]

PHOTOS = Path(__file__).parents[3] / "examples"
DRAWN = "#pk-files a[data-form='PNG']"
WAIT = 60_000  # milliseconds


@pytest.fixture(scope="module")
def address(maker) -> Iterator[str]:
    with shown(maker) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page at 1440 pixels; a script's error or a request to elsewhere fails the test."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda one: faults.append(one.url) if not one.url.startswith((address, "data:", "blob:")) else 0
    )
    page.set_default_timeout(WAIT)
    page.goto(address)
    page.wait_for_selector("#pk-draw")
    yield page
    page.close()
    assert not faults


def field(page: Any, name: str) -> Any:
    return page.locator(f"#pk-{name} textarea, #pk-{name} input:not([type=range])").first


def write(page: Any, name: str, words: str) -> None:
    """Type words into a field, in place of what it says."""
    field(page, name).press("Control+a")
    field(page, name).press_sequentially(words)


def small(page: Any, steps: int = 2) -> None:
    """Ask for a small poster."""
    page.get_by_role("button", name="Paper and drawing").click()
    write(page, "steps", str(steps))
    write(page, "seed", "3")
    write(page, "size", "192x288")
    field(page, "size").press("Enter")


def begin(page: Any, title: str) -> None:
    page.locator("#pk-task label", has_text=title).click()


def drawn(page: Any) -> None:
    page.click("#pk-draw")
    page.wait_for_selector(DRAWN)


def test_words_become_a_plan_a_poster_other_words_and_files(page, tmp_path: Path):
    small(page)
    write(page, "prompt", "a lighthouse at night")
    write(page, "title", "NORTH LIGHT")
    page.wait_for_selector("#pk-stage img[alt='The plan']")
    page.locator("#pk-view label", has_text="Layout").click()
    page.wait_for_selector(".pk-boxes[aria-label*='title']")
    page.locator("#pk-view label", has_text="Poster").click()
    write(page, "seeds", "2")
    drawn(page)
    page.locator("#pk-gallery .thumbnail-item").nth(1).wait_for()
    page.locator("#pk-gallery .thumbnail-item").nth(1).click()
    page.wait_for_selector("#pk-stage img[alt='The poster, seed 4']")
    write(page, "title", "SOUTH LIGHT")
    page.wait_for_selector("#pk-line >> text=Set again")
    page.locator("#pk-view label", has_text="Compare").click()
    page.wait_for_selector(".pk-compare input[type=range]")
    for form, begins in (("PNG", b"\x89PNG"), ("PSD", b"8BPS"), ("SVG", b"<"), ("PDF", b"%PDF"), ("PPTX", b"PK")):
        with page.expect_download() as download:
            page.click(f"#pk-files a[data-form='{form}']")
        target = tmp_path / download.value.suggested_filename
        download.value.save_as(target)
        assert target.read_bytes().startswith(begins), form
    assert read_record(tmp_path / "poster.png")["edited"]["texts"] == ["SOUTH LIGHT"]
    # the file dropped onto a fresh page fills its form
    page.reload()
    page.wait_for_selector("#pk-draw")
    page.set_input_files("#pk-dropped input[type=file]", tmp_path / "poster.png")
    page.wait_for_selector(DRAWN)
    assert field(page, "title").input_value() == "SOUTH LIGHT" and "lighthouse" in field(page, "prompt").input_value()


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (lambda page: page.keyboard.press("Backspace"), "NORTH LIGH"),
        (lambda page: page.keyboard.insert_text("ER"), "NORTH LIGHTER"),  # as a clipboard or a telephone does
        (lambda page: field(page, "title").fill("LIGHT"), "LIGHT"),
    ],
    ids=["deleted", "inserted", "replaced"],
)  # fmt: skip
def test_a_text_that_is_changed_without_a_letters_key_is_set_again(page, change, title, tmp_path: Path):
    small(page)
    write(page, "title", "NORTH LIGHT")
    drawn(page)
    before = page.locator("#pk-stage img").get_attribute("src")
    field(page, "title").focus()
    change(page)
    page.wait_for_function("(before) => document.querySelector('#pk-stage img').src !== before", arg=before)
    assert field(page, "title").input_value() == title
    with page.expect_download() as download:
        page.click(DRAWN)
    download.value.save_as(tmp_path / "poster.png")
    assert read_record(tmp_path / "poster.png")["edited"]["texts"] == [title]


@pytest.mark.parametrize(
    ("title", "photo"),
    [
        ("Extend a photo", "photos/coffee.jpg"), ("Fill a part", "photos/rocket.jpg"),
        ("Another shape", "references/mountains.png"), ("Feature a subject", "references/coffee_cup.png"),
        ("Follow a layout", "references/sailing.png"), ("Follow a style", "references/mountains.png"),
    ],
)  # fmt: skip
def test_each_task_by_clicks(page, title, photo):
    small(page)
    begin(page, title)
    page.set_input_files("#pk-photo input[type=file]", PHOTOS / photo)
    write(page, "title", "SUMMER")
    if title == "Extend a photo":
        page.locator("#pk-anchor label", has_text="bottom").last.click()
    if title == "Fill a part":
        canvas = page.wait_for_selector("#pk-mask canvas")
        canvas.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)  # the editor fits its canvas to the photograph
        box = canvas.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x - 30, y - 20)
        page.mouse.down()
        page.mouse.move(x + 30, y + 20, steps=8)
        page.mouse.up()
        page.get_by_role("button", name="Save changes").click()
        page.wait_for_selector("#pk-stage img[alt='The plan']")
    drawn(page)
    assert page.locator("#pk-line .pk-status p").inner_text().startswith("Seed 3")


def test_a_damaged_upload_is_one_line(page, tmp_path: Path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    begin(page, "Extend a photo")
    page.set_input_files("#pk-photo input[type=file]", broken)
    line = page.wait_for_selector("#pk-line [role=alert]").inner_text()
    assert "broken.png" in line and "\n" not in line.strip()
    page.click("#pk-draw")
    page.wait_for_selector("#pk-line [role=alert]")
    assert page.locator("#pk-draw").is_enabled()


def test_a_job_is_stopped(page):
    small(page, steps=300)
    write(page, "prompt", "waves")
    page.click("#pk-draw")
    page.wait_for_selector("#pk-line progress")
    page.click("#pk-stop")
    page.wait_for_selector("#pk-line >> text=Stopped")
    assert page.locator("#pk-draw").is_enabled() and page.locator("#pk-stage img").count() == 1


def test_a_batch_with_its_ledger(page, tmp_path: Path):
    page.get_by_role("tab", name="Batch").click()
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    page.set_input_files("#pk-uploads input[type=file]", [PHOTOS / "photos/coffee.jpg", tmp_path / "broken.jpg"])
    page.get_by_label("Sizes of each").press_sequentially("192x288")
    page.get_by_label("Steps").last.press_sequentially("2")
    page.click("#pk-explain")
    page.wait_for_selector("pre.pk-explain")
    page.click("#pk-make")
    page.wait_for_selector("#pk-batch-files a")
    assert page.locator("#pk-ledger tbody tr").count() == 2 and page.locator("#pk-ledger tr.pk-failed").count() == 1
    with page.expect_download() as download:
        page.click("#pk-batch-files a >> nth=0")
    assert Path(download.value.path()).read_bytes().startswith(b"PK")


def test_a_brand_kit_is_kept_to(page):
    page.get_by_role("tab", name="Brand").click()
    page.get_by_label("Name", exact=True).press_sequentially("Acme")
    page.get_by_label("Words to avoid").press_sequentially("cheap")
    page.click("#pk-use-kit")
    page.wait_for_selector("#pk-kit >> text=Acme")
    page.get_by_role("tab", name="Poster").click()
    write(page, "title", "CHEAP LIGHT")
    assert "which it avoids" in page.wait_for_selector("#pk-line [role=alert]").inner_text()


def test_the_keyboard_alone_makes_a_poster(page):
    """From the top by Tab: every stop can be seen, and the form, the button and the files are reached."""
    small(page)
    page.evaluate("document.body.tabIndex = -1; document.body.focus()")
    seen, unseen = [], []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            """() => { const e = document.activeElement, l = e.closest('label');
            const outlined = (one) => one && getComputedStyle(one).outlineStyle !== 'none';
            return {id: e.closest('[id^=pk-]')?.id || '', tag: e.tagName, seen: !!(outlined(e) || outlined(l))}; }"""
        )
        seen.append(stop["id"])
        if not stop["seen"]:
            unseen.append(stop)
        if stop["id"] == "pk-prompt":
            page.keyboard.type("waves")
        if stop["id"] == "pk-title":
            page.keyboard.type("SURF")
        if stop["id"] == "pk-draw":
            break
    assert seen[-1] == "pk-draw" and {"pk-theme", "pk-task", "pk-prompt", "pk-title", "pk-size"} <= set(seen)
    assert not unseen
    page.keyboard.press("Enter")
    page.wait_for_selector(DRAWN)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.form") == "PNG":
            break
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "poster.png"


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_runs_out_of_the_page_and_everything_has_a_name(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    for tab in ("Poster", "Batch", "Brand"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('input, textarea, select, button')].filter((e) =>
            e.offsetParent && e.type !== 'hidden' && !e.labels?.length && !e.ariaLabel && !e.title
            && !e.getAttribute('aria-labelledby') && !e.textContent.trim()).map((e) => e.outerHTML.slice(0, 200))"""
        )
        assert not nameless, tab
