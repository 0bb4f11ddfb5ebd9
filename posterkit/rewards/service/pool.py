"""Scores posters in the background, with a time limit; a poster whose scoring fails has no result.

A reward may raise, hang, die, or return what is no result. Training must not stop for one poster or learn from wrong
numbers; where a reward is broken it must stop with one clear line.

The processes are our own and not pebble's (5.2.3 was tried): its workers share one pipe and one lock, so that a worker
that dies while it opens its reward breaks the pool for good, and it puts no limit on the time that opening takes.
"""

# pyright: standard
from __future__ import annotations

import multiprocessing
import queue
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from PIL import Image

from posterkit.messages import error_line
from posterkit.rewards import RewardError
from posterkit.rewards.reward import Reward, RewardResult, check_count
from posterkit.rewards.specs import open_reward
from posterkit.schema import PosterRequest

RECENT = 256  # posters over which the share of failures is counted
FEW = 16  # fewer posters count as this many, so that a single early failure is not a large share
OPENING = 300.0  # seconds that a worker may take to start and open its reward
ENDING = 2.0  # seconds that it has to end by itself

Job = tuple[Sequence[Image.Image], Sequence[PosterRequest]]


class RewardPool:
    """Scores posters in the background while others are drawn.

        scoring = reward.submit(images, requests)      # returns at once
        ...                                            # draw the next ones
        results = scoring.result()                     # list[RewardResult | None]

    A job that fails is tried once more, poster by poster, so that only the posters at fault are lost. A worker that
    hangs or dies is ended and replaced.

    Args:
        source: a reward's spec for `open_reward`, or a reward (it must be picklable where there are workers).
        workers: processes, spawned, each opens the reward for itself; 0 scores in a thread of this process, where a
            call that hangs cannot be ended, only left behind.
        limit: seconds for one poster; a job of several has as many times as long.
        at_once: posters of a job.
        tolerated: the share of the last 256 posters that may fail; beyond it `result` raises.
        options: for `open_reward`.

    Attributes:
        name: the reward's.
        seen, failed: how many posters so far.

    Raises:
        ValueError: there is no such reward, or a number is out of range.
    """

    def __init__(
        self,
        source: str | Reward,
        *,
        workers: int = 1,
        limit: float = 60.0,
        at_once: int = 4,
        tolerated: float = 0.1,
        **options: Any,
    ) -> None:
        if workers < 0 or limit <= 0 or at_once < 1 or not 0 <= tolerated <= 1:
            raise ValueError(
                f"a reward pool needs workers >= 0, limit > 0, at_once >= 1 and tolerated in [0, 1]; got "
                f"{workers}, {limit:g}, {at_once}, {tolerated:g}"
            )
        # where workers score, this process opens it for its name and its faults alone: in main memory, for a moment
        here: dict[str, Any] = options | {"device": "cpu"} if workers else options
        reward: Reward = open_reward(source, **here) if isinstance(source, str) else source
        self.name = reward.name
        self._spec = source if isinstance(source, str) else None  # a served one's own name does not say where it is
        self.limit, self.at_once, self.tolerated = limit, at_once, tolerated
        self.seen = self.failed = 0
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._counting, self._closed = threading.Lock(), False
        self._jobs: queue.SimpleQueue[tuple[Job, Future[list[RewardResult]]] | None] = queue.SimpleQueue()
        self._workers: list[InlineWorker | ProcessWorker] = [ProcessWorker(source, options) for _ in range(workers)]
        self._workers = self._workers or [InlineWorker(reward)]
        for worker in self._workers:
            threading.Thread(target=self._work, args=(worker,), daemon=True).start()

    def submit(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> Scoring:
        """Begin to score; returns at once.

        Raises:
            ValueError: there is not one request for each poster.
        """
        check_count(self.name, images, requests)
        images, requests = list(images), list(requests)
        jobs = []
        for start in range(0, len(requests), self.at_once):
            job = images[start : start + self.at_once], requests[start : start + self.at_once]
            jobs.append((job, self._put(job)))
        return Scoring(self, jobs)

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult | None]:
        """Score and wait; None for the posters that fail."""
        return self.submit(images, requests).result()

    def close(self) -> None:
        """End the workers; posters that are not scored yet never will be."""
        self._closed = True
        for worker in self._workers:
            self._jobs.put(None)
            worker.close()

    def __enter__(self) -> RewardPool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _put(self, job: Job) -> Future[list[RewardResult]]:
        future: Future[list[RewardResult]] = Future()
        if self._closed:
            future.set_exception(RewardError("the reward is closed"))
        else:
            self._jobs.put((job, future))
        return future

    def _work(self, worker: InlineWorker | ProcessWorker) -> None:
        while (found := self._jobs.get()) is not None:
            (images, requests), future = found
            try:
                results = worker.score(images, requests, self.limit * len(requests))
                future.set_result(_checked(results, len(requests)))
            except Exception as error:  # whatever a reward does
                future.set_exception(error)

    def _count(self, failures: Sequence[bool], why: str) -> None:
        with self._counting:
            self.seen += len(failures)
            self.failed += sum(failures)
            self._recent.extend(failures)
            failed, among = sum(self._recent), max(len(self._recent), FEW)
        if any(failures) and failed > self.tolerated * among:
            raise RewardError(
                f"reward {self._spec or self.name}: {failed} of the last {len(self._recent)} posters failed, "
                f"{self.tolerated:.0%} are tolerated; the last: {why}"
            )


class Scoring:
    """Posters that are being scored.

    Attributes:
        faults: once there is a result, one line for each poster that failed: its request's id and why.
    """

    def __init__(self, pool: RewardPool, jobs: list[tuple[Job, Future[list[RewardResult]]]]) -> None:
        self._pool, self._jobs = pool, jobs
        self._result: list[RewardResult | None] | None = None
        self.faults: list[str] = []

    def done(self) -> bool:
        """Whether the first try of all posters is through."""
        return all(future.done() for _, future in self._jobs)

    def result(self) -> list[RewardResult | None]:
        """Wait for the results; None for each poster that failed.

        Raises:
            RewardError: more posters failed lately than are tolerated.
        """
        if self._result is None:
            found: list[RewardResult | None] = []
            for job, future in self._jobs:
                found += self._settle(job, future)
            self._result = found
            self._pool._count([result is None for result in found], self.faults[-1] if self.faults else "")
        return self._result

    def _settle(self, job: Job, future: Future[list[RewardResult]]) -> list[RewardResult | None]:
        images, requests = job
        try:
            results = future.result()
        except Exception as error:
            if len(requests) > 1:
                singles = [([image], [request]) for image, request in zip(images, requests, strict=True)]
                tries = [(single, self._pool._put(single)) for single in singles]
                return [result for single, again in tries for result in self._settle(single, again)]
            self.faults.append(f"{requests[0].id or 'a row'}: {error_line(error)}")
            return [None]
        checked: list[RewardResult | None] = []
        for request, result in zip(requests, results, strict=True):
            sound = isinstance(result.value, (int, float)) and 0 <= result.value <= 1  # NaN is neither
            if not sound:
                why = f" ({result.why})" if result.why else ""
                self.faults.append(f"{request.id or 'a row'}: the reward is {result.value}, not in [0, 1]{why}")
            checked.append(result if sound else None)
        return checked


def _checked(results: object, count: int) -> list[RewardResult]:
    if not isinstance(results, list) or len(results) != count:
        found = f"{len(results)} results" if isinstance(results, list) else f"a {type(results).__name__}"
        raise RewardError(f"the reward gave {found} for {count} posters")
    if odd := next((result for result in results if not isinstance(result, RewardResult)), None):
        raise RewardError(f"the reward gave a {type(odd).__name__} instead of a RewardResult")
    return results


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
