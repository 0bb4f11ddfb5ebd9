"""Loaders that read ahead in a thread, and that mix two kinds of batches."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

import torch

from posterkit.training.errors import WrongCall
from posterkit.training.protocols import Loader, LoaderState

_AHEAD = 2  # batches


class PrefetchLoader:
    """A loader whose next batches a thread reads and moves to the device while the model works on this one.

    Its position is that of the batches which were handed out, not of those which were read; positions of a set with
    another `content` are refused.
    """

    def __init__(self, loader: Loader, device: torch.device, content: str) -> None:
        self.loader, self.device = loader, device
        self.content = hashlib.sha256(content.encode()).hexdigest()[:16]
        self._position = loader.state_dict()

    def __iter__(self) -> Iterator[Any]:
        ready: queue.Queue[tuple[Any, LoaderState]] = queue.Queue(_AHEAD)
        ended = threading.Event()
        self.loader.load_state_dict(self._position)

        def hand_over(item: tuple[Any, LoaderState]) -> None:
            while not ended.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put(item, timeout=0.1)
                    return

        def read() -> None:
            try:
                for batch in self.loader:
                    hand_over((batch.to(self.device), self.loader.state_dict()))
                    if ended.is_set():
                        return
            except BaseException as fault:  # raised where the batch is taken
                hand_over((fault, {}))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                batch, position = ready.get()
                if isinstance(batch, BaseException):
                    raise batch
                self._position = position
                yield batch
        finally:
            ended.set()
            reader.join()  # a thread inside torch when Python ends takes the program down

    def state_dict(self) -> LoaderState:
        return {**self._position, "content": self.content}

    def load_state_dict(self, state: LoaderState) -> None:
        """Go on at a position.

        Raises:
            WrongCall: it is one of another set.
        """
        if state.get("content") != self.content:
            raise WrongCall("the set is not the one that this run began with; take another run_dir")
        self._position = {name: state[name] for name in ("epoch", "position")}


class Mixture:
    """Batches of a second loader between those of the first, evenly spread: text rendering beside the tasks.

    Which loader a step takes depends on its number alone, so that all processes take the same one; a `share` of steps
    takes the second.
    """

    def __init__(self, first: Loader, second: Loader, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"a share lies in [0, 1], got {share}")
        self.first, self.second, self.share = first, second, share
        self.step = 0

    def __iter__(self) -> Iterator[Any]:
        loaders = iter(self.first), iter(self.second)
        while True:
            takes_second = int((self.step + 1) * self.share + 1e-9) > int(self.step * self.share + 1e-9)
            self.step += 1
            yield next(loaders[takes_second])

    def state_dict(self) -> LoaderState:
        return {"step": self.step, "first": self.first.state_dict(), "second": self.second.state_dict()}

    def load_state_dict(self, state: LoaderState) -> None:
        self.step = state["step"]
        self.first.load_state_dict(state["first"])
        self.second.load_state_dict(state["second"])
