"""A bounded queue of posters, one worker that draws them, results that can be fetched for a while."""

from __future__ import annotations

import math
import secrets
import shutil
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

from posterkit.app.limits import Limits
from posterkit.app.poster_job import (
    CANCELLED,
    DONE,
    DRAWING,
    FAILED,
    JobCancelled,
    JobProgress,
    PosterJob,
    PosterResult,
)
from posterkit.app.service_errors import ServiceError, service_error
from posterkit.batch.worker import trim_memory
from posterkit.generate.choose import Made
from posterkit.generate.maker import PosterMaker
from posterkit.generate.record import FinishedPoster, with_relative_paths
from posterkit.typeset.export_options import DEFAULTS, ExportOptions

_LONGEST_WAIT = 60  # seconds that a busy server asks for
_STOPPING = "the server is stopping"


class JobQueue:
    """Draws jobs one after the other in a thread of its own, the clients' by turns.

    Args:
        folder: where each job has a folder of its own.
        how: files are written.
    """

    def __init__(
        self, maker: PosterMaker, folder: Path, limits: Limits = Limits(), how: ExportOptions = DEFAULTS  # noqa: B008
    ) -> None:  # fmt: skip
        self.maker, self.folder, self.limits, self.how = maker, folder, limits, how
        self.counts: Counter[str] = Counter()  # posters by what became of them
        self.drawing_seconds = 0.0
        self.stopping = False
        self.jobs: dict[str, PosterJob] = {}
        self._queued: OrderedDict[Hashable, deque[PosterJob]] = OrderedDict()  # by client, who is next first
        self._current: PosterJob | None = None
        self._reserved: Counter[Hashable] = Counter()  # places of requests that are read, by client
        self._pace = 1.0  # seconds of a poster
        self._change = threading.Condition()
        self._worker = threading.Thread(target=self._work, name="drawing", daemon=True)
        self._worker.start()

    @property
    def waiting(self) -> int:
        """Posters that wait."""
        return sum(len(job.plans) for jobs in list(self._queued.values()) for job in list(jobs))

    @property
    def drawing(self) -> bool:
        return self._current is not None

    @property
    def alive(self) -> bool:
        """Whether jobs are drawn."""
        return self._worker.is_alive() and not self.stopping

    @contextmanager
    def reserved(self, client: Hashable) -> Iterator[Path]:
        """A place in the queue while a client's request is read, and a folder for what it brings.

        The folder goes again unless a job has taken it.

        Raises:
            ServiceError: the queue is full, or the server is stopping.
        """
        with self._change:
            self._check_room(1, client)
            self._reserved[client] += 1
        folder = self.folder / secrets.token_hex(8)
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            with self._change:
                self._reserved -= Counter([client])
                taken = any(job.folder == folder for job in self.jobs.values())
            if not taken:
                shutil.rmtree(folder, ignore_errors=True)

    def submit(self, job: PosterJob) -> PosterJob:
        """Put a job into the queue, from within `reserved`; ServiceError as there."""
        with self._change:
            self._check_room(len(job.plans), job.client, own=1)
            self.jobs[job.id] = job
            self._queued.setdefault(job.client, deque()).append(job)
            self._change.notify_all()
        return job

    def find(self, name: str) -> PosterJob:
        """The job of an id; ServiceError where there is none, or its time is over."""
        self._forget_old()
        if (job := self.jobs.get(name)) is None:
            raise ServiceError(404, f"there is no job {name[:40]!r}; results are kept for a while", "no_such_job")
        return job

    def cancel(self, job: PosterJob, why: str = "cancelled") -> None:
        """End a job: at once where it waits, at its next denoising step where it is drawn."""
        with self._change:
            job.stopped = job.stopped or why
            jobs = self._queued.get(job.client)
            if jobs and job in jobs:
                jobs.remove(job)
                if not jobs:
                    del self._queued[job.client]
                self._end(job, CANCELLED)

    def discard(self, job: PosterJob) -> None:
        """Let a job that is over go, with its files."""
        self.jobs.pop(job.id, None)
        shutil.rmtree(job.folder, ignore_errors=True)

    def stop(self, grace: float = 30.0) -> None:
        """Take no more jobs, fail those that wait, and end what is drawn where it takes longer; returns at once.

        May be called from a signal's handler.
        """
        self.stopping = True
        threading.Thread(target=self._stop, args=(grace,), daemon=True).start()

    def join(self, seconds: float) -> bool:
        """Wait for the worker after `stop`; whether it has ended."""
        self._worker.join(seconds)
        return not self._worker.is_alive()

    def retry_after(self) -> int:
        """Seconds until there may be room."""
        return max(1, min(_LONGEST_WAIT, math.ceil(self._pace)))

    def _check_room(self, posters: int, client: Hashable, own: int = 0) -> None:
        if self.stopping:
            raise ServiceError(503, _STOPPING, "stopping", retry=_LONGEST_WAIT)
        waiting, most = self.waiting, self.limits.queue
        kept = most // 4 if client in self._queued or self._reserved[client] > own else 0
        if waiting + self._reserved.total() - own + posters > most - kept:
            why = f"{waiting} posters wait; the queue holds {most}"
            why += f" and keeps {kept} places for other clients" if kept else ""
            raise ServiceError(429, why, "queue_full", retry=self.retry_after())

    def _stop(self, grace: float) -> None:
        with self._change:
            for job in [job for jobs in self._queued.values() for job in jobs]:
                job.error = ServiceError(503, _STOPPING, "stopping")
                self._end(job, FAILED)
            self._queued.clear()
            self._change.notify_all()
        self._worker.join(grace)
        if (job := self._current) is not None:
            self.cancel(job, _STOPPING)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            began = time.monotonic()
            state = self._draw(job)
            seconds = time.monotonic() - began
            with self._change:
                self._current = None
                if state == DONE:
                    self.drawing_seconds += seconds
                    self._pace += 0.2 * (seconds / len(job.plans) - self._pace)
                self._end(job, state)
            self._forget_old()

    def _next(self) -> PosterJob | None:
        with self._change:
            while not self._queued:
                if self.stopping:
                    return None
                self._change.wait(1.0)
            client, jobs = self._queued.popitem(last=False)
            self._current = job = jobs.popleft()
            if jobs:  # the client's next turn comes after the others'
                self._queued[client] = jobs
            job.state, job.step = DRAWING, ("preparing", 0, 0)
        job.changed()
        return job

    def _draw(self, job: PosterJob) -> str:
        """Draw a job and write its files; its last state."""
        try:
            made = self.maker.make(job.plans, progress=JobProgress(job))
            job.results = [self._written(job, number, one) for number, one in enumerate(made, start=1)]
        except JobCancelled:
            if self.stopping:
                job.error = ServiceError(503, job.stopped, "stopping")
                return FAILED
            return CANCELLED
        except Exception as error:
            job.error = service_error(error, job.folder)
            return FAILED
        if all(result.error for result in job.results):
            job.error = job.results[0].error
            return FAILED
        return DONE

    def _written(self, job: PosterJob, number: int, poster: Made) -> PosterResult:
        if not isinstance(poster, FinishedPoster):
            return PosterResult(error=service_error(poster, job.folder))
        files = {ending: job.folder / f"_poster-{number}.{ending}" for ending in job.formats}
        try:
            for path in files.values():
                poster.save(path, how=self.how)
            if (saved := job.save_as if number == 1 else None) is not None:
                poster.save(saved := _free(saved), how=self.how)
        except (OSError, ValueError) as error:
            return PosterResult(error=service_error(error, job.folder))
        record = None
        if poster.metadata == "full":
            record = with_relative_paths(poster.record, job.folder)
        notes = [note.replace(f"{job.folder}/", "") for note in poster.notes]
        return PosterResult(files, poster.seed, str(poster.request.size), notes, record, saved)

    def _end(self, job: PosterJob, state: str) -> None:
        self.counts[state] += len(job.plans)
        if state == CANCELLED:
            job.error = ServiceError(409, job.stopped, "cancelled")
        kept = {path.name for result in job.results for path in result.files.values()}
        for upload in job.folder.glob("*"):
            if upload.name not in kept:
                upload.unlink(missing_ok=True)
        job.plans = ()  # with the uploads' pictures
        job.ended, job.state = time.time(), state
        job.changed()
        trim_memory()

    def _forget_old(self) -> None:
        """Let the oldest results go where there are too many, and those whose time is over."""
        with self._change:
            over = sorted((job for job in self.jobs.values() if job.over), key=lambda job: job.ended or 0)
            due = time.time() - self.limits.kept_seconds
            too_many = len(over) - self.limits.kept
            old = [job for number, job in enumerate(over) if number < too_many or (job.ended or 0) < due]
        for job in old:
            self.discard(job)


def _free(path: Path) -> Path:
    """The path, or one beside it that no file has."""
    target, number = path, 1
    while target.exists():
        number += 1
        target = path.with_stem(f"{path.stem}-{number}")
    return target
