"""A reward behind a real server on loopback that gives the marks a test wrote down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from PIL import Image

from posterkit.rewards import RewardResult
from posterkit.rewards.service.pool import RewardPool
from posterkit.rewards.service.server import RewardServer
from posterkit.schema import PosterRequest


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
            server = RewardServer(RewardPool(marks, workers=0, at_once=1, tolerated=1.0), port=0)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            return f"reward+http://127.0.0.1:{server.server_port}"

        yield start
