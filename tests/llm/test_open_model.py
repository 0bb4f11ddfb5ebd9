"""What is opened once a process."""

from __future__ import annotations

import threading
import time

from posterkit.llm.open_model import opened_once


def test_threads_that_ask_at_once_get_one_and_the_same():
    opened: list[str] = []

    @opened_once(1)
    def open_slowly(name: str) -> object:
        opened.append(name)
        time.sleep(0.05)
        return object()

    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(open_slowly("a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == ["a"] and len(set(map(id, got))) == 1
    open_slowly("b")  # one alone stays open
    open_slowly("a")
    assert opened == ["a", "b", "a"]
