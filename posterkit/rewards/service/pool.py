"""A reward for training: in worker processes, with a time limit, and what fails comes back as nothing.

A reward may raise, hang, die, or answer with what is no worth. Training must neither stop for one poster nor learn
from rubbish, and must stop, with one clear line, where a reward is broken.
"""

from __future__ import annotations

import math
import queue
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from PIL import Image

from posterkit.messages import error_line
from posterkit.rewards import RewardError
from posterkit.rewards.registry import open_reward
from posterkit.rewards.reward import Reward, RewardResult, check_count
from posterkit.rewards.service.workers import Desk, InlineWorker, ProcessWorker
from posterkit.schema import PosterRequest

RECENT = 256  # rows by which the share of failures is told
FEW = 16  # fewer rows count as so many, so that a single early failure is no share at all

Job = tuple[Sequence[Image.Image], Sequence[PosterRequest]]


class RewardPool:
    """Scores posters aside while others are drawn.

        scoring = reward.submit(images, rows)      # returns at once
        ...                                        # draw the next ones
        worths = scoring.result()                  # list[RewardResult | None]

    A job that fails as a whole is tried once more row by row, so that only those rows are lost that are at fault
    themselves. A worker that hangs or dies is killed and replaced.

    Args:
        source: a reward's spec for `open_reward`, or a reward to run in this process (it must be picklable for
            workers).
        workers: processes, spawned, each opens the reward for itself; 0 scores in a thread of this process, where a
            call that hangs cannot be ended, only left behind.
        limit: seconds that one row may take; a job of several has as many times as long.
        at_once: rows of a job.
        tolerated: the share of the last 256 rows that may fail; beyond it `result` raises.
        options: for `open_reward`.

    Attributes:
        seen, failed: how many rows so far.

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
                f"a guarded reward needs workers >= 0, limit > 0, at_once >= 1 and tolerated in [0, 1]; got "
                f"{workers}, {limit:g}, {at_once}, {tolerated:g}"
            )
        self._reward: Reward = open_reward(source, **options) if isinstance(source, str) else source
        self._called = source if isinstance(source, str) else None  # a served one's own name does not say where it is
        opening = (source, options)
        self.limit, self.at_once, self.tolerated = limit, at_once, tolerated
        self.seen = self.failed = 0
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._counting, self._closed = threading.Lock(), False
        self._jobs: queue.SimpleQueue[tuple[Job, Future[list[RewardResult]]] | None] = queue.SimpleQueue()
        self._desks = [ProcessWorker(opening) for _ in range(workers)] or [InlineWorker(self._reward)]
        self._threads = [threading.Thread(target=self._work, args=(desk,), daemon=True) for desk in self._desks]
        for thread in self._threads:
            thread.start()

    @property
    def name(self) -> str:
        return self._reward.name

    def submit(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> Scoring:
        """Begin to score; returns at once.

        Raises:
            ValueError: the numbers differ.
        """
        check_count("guarded", images, rows)
        images, rows = list(images), list(rows)
        jobs = []
        for start in range(0, len(rows), self.at_once):
            job = images[start : start + self.at_once], rows[start : start + self.at_once]
            jobs.append((job, self._put(job)))
        return Scoring(self, jobs)

    def __call__(self, images: Sequence[Image.Image], rows: Sequence[PosterRequest]) -> list[RewardResult | None]:
        """Score and wait; None for the rows that fail."""
        return self.submit(images, rows).result()

    def close(self) -> None:
        """End the workers; what is not scored yet never will be."""
        self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for desk in self._desks:
            desk.close()

    def __enter__(self) -> RewardPool:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def _put(self, job: Job) -> Future[list[RewardResult]]:
        future: Future[list[RewardResult]] = Future()
        if self._closed:
            future.set_exception(RewardError("the reward is closed"))
        else:
            self._jobs.put((job, future))
        return future

    def _work(self, desk: Desk) -> None:
        while (found := self._jobs.get()) is not None:
            (images, rows), future = found
            try:
                future.set_result(_checked(desk.score(images, rows, self.limit * len(rows)), len(rows)))
            except Exception as fault:  # whatever a reward does
                future.set_exception(fault)

    def _count(self, faults: Sequence[bool], why: str) -> None:
        with self._counting:
            self.seen += len(faults)
            self.failed += sum(faults)
            self._recent.extend(faults)
            failed, among = sum(self._recent), max(len(self._recent), FEW)
        if any(faults) and failed > self.tolerated * among:
            raise RewardError(
                f"reward {self._called or self.name}: {failed} of the last {len(self._recent)} rows failed, "
                f"{self.tolerated:.0%} are tolerated; the last: {why}"
            )


class Scoring:
    """Posters that are being scored.

    Attributes:
        faults: once there is a result, one line for each row that failed: its id and why.
    """

    def __init__(self, guarded: RewardPool, jobs: list[tuple[Job, Future[list[RewardResult]]]]) -> None:
        self._guarded, self._jobs = guarded, jobs
        self._result: list[RewardResult | None] | None = None
        self.faults: list[str] = []

    def done(self) -> bool:
        """Whether the first try of all rows is through."""
        return all(future.done() for _, future in self._jobs)

    def result(self) -> list[RewardResult | None]:
        """Wait for the worths; None for each row that failed.

        Raises:
            RewardError: more rows failed lately than are tolerated.
        """
        if self._result is None:
            found: list[RewardResult | None] = []
            for job, future in self._jobs:
                found += self._settled(job, future)
            self._result = found
            self._guarded._count([worth is None for worth in found], self.faults[-1] if self.faults else "")
        return self._result

    def values(self) -> np.ndarray:
        """The worths alone, `(B,)` float32; NaN for each row that failed."""
        return np.array([math.nan if worth is None else worth.value for worth in self.result()], np.float32)

    def _settled(self, job: Job, future: Future[list[RewardResult]]) -> list[RewardResult | None]:
        images, rows = job
        try:
            worths = future.result()
        except Exception as fault:
            if len(rows) > 1:
                singles = [([image], [row]) for image, row in zip(images, rows, strict=True)]
                tries = [(single, self._guarded._put(single)) for single in singles]
                return [worth for single, again in tries for worth in self._settled(single, again)]
            self.faults.append(f"{rows[0].id or 'a row'}: {error_line(fault)}")
            return [None]
        checked: list[RewardResult | None] = []
        for row, worth in zip(rows, worths, strict=True):
            sound = isinstance(worth.value, (int, float)) and 0 <= worth.value <= 1  # NaN is neither
            if not sound:
                told = f" ({worth.why})" if worth.why else ""
                self.faults.append(f"{row.id or 'a row'}: the worth is {worth.value}, not in [0, 1]{told}")
            checked.append(worth if sound else None)
        return checked


def _checked(worths: Any, count: int) -> list[RewardResult]:
    if not isinstance(worths, list) or len(worths) != count:
        found = f"{len(worths)} worths" if isinstance(worths, list) else f"a {type(worths).__name__}"
        raise RewardError(f"the reward gave {found} for {count} posters")
    if odd := next((worth for worth in worths if not isinstance(worth, RewardResult)), None):
        raise RewardError(f"the reward gave a {type(odd).__name__} where a RewardResult is due")
    return worths
