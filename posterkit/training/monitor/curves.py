"""A run's curves and pictures for TensorBoard."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def can_draw_curves() -> bool:
    """Whether tensorboard is installed (posterkit[train])."""
    return importlib.util.find_spec("tensorboard") is not None


class Curves:
    """Writes one event file, at once and in this thread: torch's SummaryWriter has a thread of its own, whose fault on
    a full disk comes late and as a traceback.

    Args:
        folder: TensorBoard's; it may hold files of earlier starts.
        step: the run goes on from here; what earlier files hold of later steps is hidden.

    Raises:
        OSError: nothing can be written there.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._event: Any = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue] - made when imported
        # files are read in the order of their names
        self._file = (folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}").open("wb")
        self._records: Any = RecordWriter(self._file)
        self._write(self._event(wall_time=time.time(), step=step + 1, file_version="brain.Event:2"))
        if step:
            log = event_pb2.SessionLog(status=1)  # pyright: ignore[reportAttributeAccessIssue] - START
            self._write(self._event(wall_time=time.time(), step=step + 1, session_log=log))

    def row(self, step: int, values: dict[str, Any], group: str) -> None:
        """One point of each curve; `group/<name>` is its name."""
        from torch.utils.tensorboard.summary import scalar

        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._summary(step, scalar(f"{group}/{name}", value))

    def picture(self, step: int, picture: Image.Image) -> None:
        """The sample sheet of a step."""
        from torch.utils.tensorboard.summary import image

        pixels = np.asarray(picture.convert("RGB"))
        self._summary(step, image("samples", pixels, dataformats="HWC"))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what a full disk did not take has been told
            self._file.close()

    def _summary(self, step: int, summary: Any) -> None:
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()
