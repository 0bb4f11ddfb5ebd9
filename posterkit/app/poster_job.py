"""A job: posters that are drawn together, from being asked for to being fetched."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posterkit.app.service_errors import ServiceError
from posterkit.generate.poster_plan import PosterPlan

QUEUED, DRAWING, DONE, FAILED, CANCELLED = "queued", "drawing", "done", "failed", "cancelled"
_OVER = (DONE, FAILED, CANCELLED)


class JobCancelled(Exception):
    """A job's drawing was ended; the message says why."""


@dataclass
class PosterResult:
    """One poster of a job: its files by format, or why there is none."""

    files: dict[str, Path] = field(default_factory=dict)
    seed: int | None = None
    size: str = ""
    notes: list[str] = field(default_factory=list)
    record: dict[str, Any] | None = None
    saved: Path | None = None  # where the user wanted it
    error: ServiceError | None = None


@dataclass
class PosterJob:
    """Posters that are drawn together, from being asked for to being fetched.

    Attributes:
        formats: endings of the files that are written of each poster, such as "png".
        folder: holds the uploads while it is drawn, and the results.
        notes: what of the request was left out.
        client: who asked for it; clients are drawn for by turns.
        key: lets who has it fetch the results without the server's own.
        save_as: a file of the user's that the first poster is written to, or to a free name beside it.
        state: queued, drawing, done, failed or cancelled.
        step: what is done now, how many of how many denoising steps.
    """

    plans: Sequence[PosterPlan]
    formats: tuple[str, ...]
    folder: Path
    notes: list[str] = field(default_factory=list)
    save_as: Path | None = None
    client: Hashable = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: str = QUEUED
    step: tuple[str, int, int] = ("waiting", 0, 0)
    results: list[PosterResult] = field(default_factory=list)
    error: ServiceError | None = None
    created: float = field(default_factory=time.time)
    ended: float | None = None
    stopped: str = ""  # why it is to end, once somebody wants it to
    _loop: asyncio.AbstractEventLoop | None = None
    _waiting: set[asyncio.Event] = field(default_factory=set)

    @property
    def over(self) -> bool:
        return self.state in _OVER

    async def changes(self, every: float = 0.5) -> AsyncIterator[None]:
        """Yields after each change, and after so many seconds without one, until the job is over."""
        event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._waiting.add(event)
        try:
            while not self.over:
                yield
                if self.over:
                    break
                try:
                    await asyncio.wait_for(event.wait(), every)
                except TimeoutError:
                    continue
                event.clear()
        finally:
            self._waiting.discard(event)

    def changed(self) -> None:
        """Wake who waits; from any thread."""
        if self._loop is not None and self._waiting and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: [event.set() for event in self._waiting])

    # what `PosterMaker` tells while it draws
    def begin(self, words: str, total: int) -> None:
        self.step = (words, 0, total)
        self._go_on()

    def step_done(self, done: int) -> None:
        self.step = (self.step[0], done, self.step[2])
        self._go_on()

    def _go_on(self) -> None:
        self.changed()
        if self.stopped:
            raise JobCancelled(self.stopped)


class JobProgress:
    """Tells a job how far its posters are, and ends them where it is to end."""

    def __init__(self, job: PosterJob) -> None:
        self.begin, self.step = job.begin, job.step_done
