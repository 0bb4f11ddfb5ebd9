"""How soon the page answers while a model draws, and how soon other words stand on a finished poster.

    OMP_NUM_THREADS=1 python benchmarks/ui_speed.py [--rounds 20] [--steps 400]

Starts `posterkit ui` with mini and opens it in headless Chromium (needs playwright and /usr/bin/chromium). While a
poster of 832x1216 is drawn, the page, its settings and a font are fetched, and the stage changes from the poster to
its layout and back: each time is that of a whole answer. Then the title of a finished poster is changed: from the
keystroke until the browser has the new picture on the stage. That is the form sent, the safety gate asked, the text
set, and the picture sent back.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
# from the next key until the stage has another picture, in milliseconds
_LISTEN = """() => {
  const source = () => document.querySelector("#pk-stage img")?.getAttribute("src");
  const old = source();
  let began = 0;
  document.addEventListener("keydown", () => { began = performance.now(); }, { once: true });
  window.another = new Promise((done) => {
    const look = () => (source() ?? old) !== old ? done(performance.now() - began) : setTimeout(look, 2);
    look();
  });
}"""
_VIEW = """async (name) => {
  const old = document.querySelector("#pk-stage").innerHTML;
  const began = performance.now();
  [...document.querySelectorAll("#pk-view label")].find((one) => one.textContent.trim() === name).click();
  await new Promise((done) => {
    const look = () => document.querySelector("#pk-stage").innerHTML !== old ? done() : setTimeout(look, 2);
    look();
  });
  return performance.now() - began;
}"""


def row(what: str, times: list[float]) -> str:
    """A line of the table: median, 95th percentile and longest, in milliseconds."""
    ordered = sorted(times)
    late = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return f"| {what} | {statistics.median(times):.0f} | {late:.0f} | {ordered[-1]:.0f} |"


def fetched(client: httpx.Client, path: str) -> float:
    began = time.perf_counter()
    client.get(path).raise_for_status()
    return 1000 * (time.perf_counter() - began)


def processor() -> float:
    """Milliseconds that the server and the browser have kept a core busy so far."""
    return 1000 * sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children(recursive=True))


def draw(page: Any, steps: int) -> None:
    page.locator("#pk-steps textarea, #pk-steps input").first.press("Control+a")
    page.locator("#pk-steps textarea, #pk-steps input").first.press_sequentially(str(steps))
    page.wait_for_timeout(3000)  # the plan
    page.click("#pk-draw")


def typed(page: Any, number: int) -> float:
    """One letter more in the title, or one fewer."""
    page.locator("#pk-title textarea, #pk-title input").first.focus()
    page.evaluate(_LISTEN)
    page.keyboard.press("Backspace" if number % 2 else "S")
    return page.evaluate("() => window.another")


def measure(page: Any, client: httpx.Client, rounds: int, steps: int) -> None:
    page.get_by_role("button", name="Paper and drawing").click()
    for name, words in (("prompt", "a lighthouse at night"), ("title", "NORTH LIGHT"), ("cta", "Book now")):
        page.locator(f"#pk-{name} textarea, #pk-{name} input").first.press_sequentially(words)
    draw(page, 2)  # the model is loaded
    page.wait_for_selector("#pk-files a[data-form='PDF']")
    draw(page, steps)
    page.wait_for_selector("#pk-line progress")
    page.wait_for_timeout(2000)
    print("| while a poster is drawn | median, ms | 95th percentile, ms | longest, ms |\n|---|---|---|---|")
    for what, path in (("the page", "/"), ("its settings", "/config"), ("a font", "/fonts/medium.ttf")):
        print(row(what, [fetched(client, path) for _ in range(rounds)]))
    print(row("another view of the stage", [page.evaluate(_VIEW, ("Layout", "Poster")[n % 2]) for n in range(rounds)]))
    state = "still" if page.locator("#pk-line progress").count() else "no longer"
    print(f"\nThe poster was {state} being drawn.\n")
    page.click("#pk-stop")
    page.wait_for_selector("#pk-draw:enabled")  # stopped, or drawn before that
    draw(page, 2)
    page.wait_for_selector("#pk-files a[data-form='PDF']")
    page.wait_for_timeout(1000)
    print("| nothing is drawn | median, ms | 95th percentile, ms | longest, ms |\n|---|---|---|---|")
    before = processor()
    print(row("other words on the poster", [typed(page, number) for number in range(rounds)]))
    print(f"\nA change keeps a core busy for {(processor() - before) / rounds:.0f} ms, server and browser together.")


@contextmanager
def opened(width: int = 1440, height: int = 900) -> Iterator[tuple[Any, str]]:
    """`posterkit ui` with mini in a browser, and its address; the server goes with it."""
    command = [sys.executable, "-m", "posterkit", "ui", "--port", "0", "--device", "cpu", "--grace", "1"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(180_000)
            page.goto(url)
            page.wait_for_selector("#pk-draw")
            yield page, url
            browser.close()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="answers of each kind")
    parser.add_argument("--steps", type=int, default=400, help="denoising steps of the poster that is drawn meanwhile")
    args = parser.parse_args()
    with opened() as (page, url), httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        page.wait_for_timeout(10_000)  # the server warms up
        measure(page, client, args.rounds, args.steps)


if __name__ == "__main__":
    main()
