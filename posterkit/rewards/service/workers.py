"""Where a guarded reward scores: in a thread of this process, or in a process of its own."""

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
from posterkit.rewards.registry import open_reward
from posterkit.rewards.reward import Reward
from posterkit.schema import PosterRequest

OPENING = 300.0  # seconds that a worker may take to start and open its reward
ENDING = 2.0  # seconds that it has to end by itself


class InlineWorker:
    """Scores in this process."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward

    def score(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest], limit: float) -> Any:
        answer: Future[Any] = Future()

        def run() -> None:
            try:
                answer.set_result(self._reward(images, rows))
            except BaseException as fault:
                answer.set_exception(fault)

        threading.Thread(target=run, daemon=True).start()
        try:
            return answer.result(limit)
        except TimeoutError:
            raise RewardError(f"no worth within {limit:g} s") from None

    def close(self) -> None:
        pass


class ProcessWorker:
    """Scores in a process of its own, which is started when it is needed and replaced when it hangs or dies."""

    def __init__(self, opening: tuple[str | Reward, dict[str, Any]]) -> None:
        self._opening, self._context = opening, multiprocessing.get_context("spawn")
        self._process: Any = None
        self._closed = False
        self._starting = threading.Lock()

    def score(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest], limit: float) -> Any:
        if self._process is None or not self._process.is_alive():
            self._start()
        try:
            self._pipe.send((images, rows))
            return self._told(limit)
        except (EOFError, OSError) as fault:
            if isinstance(fault, RewardError):
                raise
            self._kill()
            raise RewardError("the worker died while it scored") from None

    def close(self) -> None:
        with self._starting:
            self._closed = True
            self._kill()

    def _start(self) -> None:
        with self._starting:
            if self._closed:
                raise RewardError("the reward is closed")
            self._pipe, other = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(other, *self._opening), daemon=True)
            self._process.start()
            other.close()
        try:
            self._told(OPENING)
        except EOFError:
            self._kill()
            raise RewardError("the worker died while it opened the reward") from None

    def _told(self, limit: float) -> Any:
        """What the worker answers; its own error where it has one."""
        if not self._pipe.poll(limit):
            self._kill()
            raise RewardError(f"no worth within {limit:g} s; the worker was ended")
        answer, fault = self._pipe.recv()
        if fault:
            raise RewardError(fault)
        return answer

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.join(ENDING)
            process.kill()
            process.join()


Desk = InlineWorker | ProcessWorker


def _serve(pipe: Any, source: str | Reward, options: dict[str, Any]) -> None:
    """What a worker does: open the reward, then answer until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; the run says when its workers end
    # so that Python cleans up: the locks of libraries' progress bars outlive a process that is killed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())

    def answered(run: Callable[[], Any]) -> tuple[Any, str]:
        try:
            return run(), ""
        except Exception as fault:
            return None, error_line(fault)

    opened: list[Reward] = []
    told = answered(lambda: opened.append(open_reward(source, **options) if isinstance(source, str) else source))
    pipe.send(told)
    while opened:
        try:
            images, rows = pipe.recv()
        except EOFError:
            return
        pipe.send(answered(lambda: opened[0](images, rows)))  # noqa: B023
