"""Rewards behind a real server on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import uvicorn
from PIL import Image

from posterkit.rewards import RewardResult
from posterkit.rewards.service.pool import RewardPool
from posterkit.rewards.service.server import reward_app
from posterkit.schema import PosterRequest


@contextmanager
def serve(reward: RewardPool, app: Any = None) -> Iterator[str]:
    """The URL of a server of the reward, or of another application around it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app or reward_app(reward), log_level="critical"))
    running = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    running.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        running.join()
        reward.close()


class Marks:
    """The n-th poster is worth the n-th mark; None fails."""

    name = "marks"

    def __init__(self, *marks: float | None) -> None:
        self.marks, self.rows = list(marks), list[PosterRequest]()

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult]:
        self.rows += rows
        mark = self.marks.pop(0)
        if mark is None:
            raise RuntimeError("no eyes for this one")
        return [RewardResult(mark, {"looks": mark}, "as told")]


@contextmanager
def reward_servers() -> Iterator[Callable[[Marks], str]]:
    """Starts servers, each named as `--reward` takes it, and stops them at the end."""
    with ExitStack() as stack:

        def start(marks: Marks) -> str:
            return f"reward+{stack.enter_context(serve(RewardPool(marks, workers=0, at_once=1, tolerated=1.0)))}"

        yield start
