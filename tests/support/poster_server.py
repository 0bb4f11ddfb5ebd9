"""The HTTP API behind a real server on loopback, with mini at a tiny size."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from posterkit.app.api import PosterApi
from posterkit.app.intake import Intake
from posterkit.app.job_queue import JobQueue
from posterkit.app.limits import Limits
from posterkit.generate.maker import PosterMaker
from posterkit.serving import Server, listen

TINY = {"prompt": "a red boat", "width": 64, "height": 96, "steps": 2, "seed": 3, "draft": "none"}


@dataclass
class Running:
    """A server that runs: its address, its queue, a client, and itself."""

    url: str
    queue: JobQueue
    client: httpx.Client
    server: Server

    def serves(self, client: socket.socket) -> bool:
        """Whether a client is connected as the server sees it."""
        return client.getsockname() in [one.client for one in self.server.server_state.connections]

    def finished(self, job: dict[str, Any], seconds: float = 60.0) -> dict[str, Any]:
        """The job once it is over."""
        until = time.monotonic() + seconds
        while job["state"] in ("queued", "drawing"):
            assert time.monotonic() < until, job
            time.sleep(0.02)
            job = self.client.get(f"/v1/jobs/{job['id']}").json()
        return job


@contextmanager
def running(
    maker: PosterMaker, limits: Limits = Limits(), *, allowed: Path | None = None, key: str = ""  # noqa: B008
) -> Iterator[Running]:  # fmt: skip
    """A server of a maker; the client sends the key."""
    with TemporaryDirectory() as folder, listen("127.0.0.1", 0) as listener:
        queue = JobQueue(maker, Path(folder), limits)
        server = Server(PosterApi(queue, Intake(maker, limits, allowed), key).app())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            yield Running(url, queue, client, server)
        queue.stop(0.0)
        server.should_exit = True
        thread.join(10)
        assert queue.join(30)


class HeldMaker(PosterMaker):
    """A maker whose posters wait at their first denoising step until they are let go."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.reached, self.go = threading.Event(), threading.Event()

    def make(self, plans: Any, at_once: Any = None, progress: Any = None) -> Any:
        maker = self

        class Held:
            def begin(self, words: str, total: int) -> None:
                progress.begin(words, total)

            def step(self, done: int) -> None:
                maker.reached.set()
                assert maker.go.wait(30)
                progress.step(done)

        return super().make(plans, at_once, Held())


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The server-sent events of a stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found
