"""Where a pool scores: in a thread of this process, or in a process that can be ended.

The processes are our own and not pebble's (5.2.3 was tried): its workers share one pipe and one lock, so that a worker
that dies while it opens its reward breaks the pool for good, and it puts no limit on the time that opening takes.
"""

# pyright: standard
from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from PIL import Image

from posterkit.messages import error_line
from posterkit.rewards import RewardError
from posterkit.rewards.reward import Reward
from posterkit.rewards.specs import open_reward
from posterkit.schema import PosterRequest

OPENING = 300.0  # seconds that a worker may take to start and open its reward
ENDING = 2.0  # seconds that it has to end by itself


class InlineWorker:
    """Scores in a thread of this process; a call that exceeds the limit runs on, unheeded."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward

    def score(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest], limit: float) -> Any:
        results: Future[Any] = Future()

        def run() -> None:
            try:
                results.set_result(self._reward(images, requests))
            except BaseException as error:
                results.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        try:
            return results.result(limit)
        except TimeoutError:
            raise RewardError(f"no result within {limit:g} s") from None

    def close(self) -> None:
        pass


class ProcessWorker:
    """Scores in a process, which starts when it is needed and is replaced when it hangs or dies."""

    def __init__(self, source: str | Reward, options: dict[str, Any]) -> None:
        self._opening, self._context = (source, options), multiprocessing.get_context("spawn")
        self._process: Any = None
        self._closed = False
        self._starting = threading.Lock()

    def score(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest], limit: float) -> Any:
        if self._process is None or not self._process.is_alive():
            self._start()
        try:
            self._pipe.send((images, requests))
            return self._receive(limit)
        except (EOFError, OSError) as error:
            if isinstance(error, RewardError):
                raise
            self._end()
            raise RewardError("the worker died while it scored") from None

    def close(self) -> None:
        with self._starting:
            self._closed = True
            self._end()

    def _start(self) -> None:
        with self._starting:
            if self._closed:
                raise RewardError("the reward is closed")
            self._pipe, other = self._context.Pipe()
            self._process = self._context.Process(target=_work, args=(other, *self._opening), daemon=True)
            self._process.start()
            other.close()
        try:
            self._receive(OPENING)
        except EOFError:
            self._end()
            raise RewardError("the worker died while it opened the reward") from None

    def _receive(self, limit: float) -> Any:
        """What the process answers; RewardError with its own error where it has one."""
        if not self._pipe.poll(limit):
            self._end()
            raise RewardError(f"no result within {limit:g} s; the worker was ended")
        answer, error = self._pipe.recv()
        if error:
            raise RewardError(error)
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.join(ENDING)
            process.kill()
            process.join()


def _work(pipe: Any, source: str | Reward, options: dict[str, Any]) -> None:
    """The worker process: opens the reward, then scores until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; the run says when its workers end
    # so that Python cleans up: the locks of libraries' progress bars outlive a process that is killed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())

    def attempt(run: Callable[[], Any]) -> tuple[Any, str]:
        try:
            return run(), ""
        except Exception as error:
            return None, error_line(error)

    reward, error = attempt(lambda: open_reward(source, **options) if isinstance(source, str) else source)
    pipe.send((None, error))
    while not error:
        try:
            images, requests = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(lambda: reward(images, requests)))  # noqa: B023
