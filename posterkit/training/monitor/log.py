"""The log of a run: rows in `metrics.jsonl`, curves and pictures for TensorBoard, and the screen."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from posterkit.image_io import written_whole
from posterkit.training.config import RunConfig, can_draw_curves
from posterkit.training.monitor.screen import Lines, screen_for

ROWS = "metrics.jsonl"
GIB = 2**30


class RunLog:
    """Logs a run.

    A row of the log holds means since the row before it. `tokens_per_s` counts every token that the transformer reads
    in a pass that trains, over all processes: those of the poster, of the references, and of the text with its
    padding, which costs the same. Passes without gradients (a teacher's, those of sample sheets) and blocks that
    gradient checkpointing computes again do not count. A model without a transformer has no such figure. `memory_gib`
    is the peak of the card's memory that tensors have held since the start, or without a card the process's main
    memory. `data_wait` is the share of the time in which steps waited for data, or for the rewards of drawn posters.
    Time for pictures and checkpoints is in none of these rates.
    """

    def __init__(self, folder: Path, config: RunConfig, accelerator: Accelerator) -> None:
        self.folder, self.config, self.accelerator = folder, config, accelerator
        self.screen = Lines(config.max_steps)
        self.curves: Curves | None = None
        self._losses: list[Tensor] = []
        self._extra: dict[str, float] = {}
        self._step = self._tokens = 0
        self._waited = 0.0

    @contextlib.contextmanager
    def following(self, module: nn.Module, step: int, last: int) -> Iterator[None]:
        """Log a run from `step` to `last`; rows that earlier starts wrote of later steps are dropped."""
        transformer = dict(module.named_children()).get("transformer")
        self._counts = transformer is not None
        self._step = self._first = self._row_step = step
        self._last = last
        with contextlib.ExitStack() as stack:
            if transformer is not None:
                stack.callback(transformer.register_forward_pre_hook(self._count, with_kwargs=True).remove)
            if self.accelerator.is_main_process:
                forget_after(self.folder / ROWS, step)
                if self.config.tracker == "tensorboard" or (self.config.tracker == "auto" and can_draw_curves()):
                    self.curves = Curves(self.folder / "tensorboard", step)
                    stack.callback(self.curves.close)
                self.screen = screen_for(Console(), self.config.max_steps)
                stack.callback(self.screen.close)
            self._began = self._clock = time.monotonic()
            yield

    def loss(self, value: Tensor, extra: dict[str, float]) -> None:
        """The loss of one forward pass, and further numbers for the next row."""
        self._losses.append(value)
        self._extra = extra

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While a step waits for data."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """While a step waits for the model's own work: posters that it draws to learn from."""
        began = time.monotonic()
        yield
        self._waited -= time.monotonic() - began

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """While the run does something other than training."""
        began = time.monotonic()
        yield
        self._clock += time.monotonic() - began

    def stepped(self, step: int) -> None:
        """Note that a step has been taken, and redraw the screen where that is due."""
        self._step = step
        if self.screen.due():
            self.screen.show(step, self._figures(), self._left(), row=False)

    def row(self, figures: dict[str, float], aside: dict[str, float]) -> None:
        """Write the means since the last row.

        Args:
            figures: come after the loss.
            aside: come last, with the numbers that a recipe gave with its loss.

        Raises:
            OSError: it cannot be written.
        """
        means = self._figures()
        row = {"step": self._step, "loss": means.pop("loss"), **figures, **means, **aside, **self._extra}
        self._losses.clear()
        self._tokens, self._waited = 0, 0.0
        self._clock, self._row_step = time.monotonic(), self._step
        if self.accelerator.is_main_process:
            with (self.folder / ROWS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            if self.curves:
                self.curves.row(self._step, {name: row[name] for name in row if name != "step"}, "train")
            self.screen.show(self._step, row, self._left(), row=True)

    def picture(self, step: int, picture: Image.Image, read: Path) -> None:
        """A sample sheet, and how much of its text was read.

        Args:
            read: what `SampleSheet` wrote of it, if it did.
        """
        if self.curves:
            self.curves.picture(step, picture)
            if read.is_file():
                self.curves.row(step, json.loads(read.read_text(encoding="utf-8"))["made"], "samples")

    def _figures(self) -> dict[str, float]:
        """Means since the last row."""
        seconds, steps = max(time.monotonic() - self._clock, 1e-9), self._step - self._row_step
        processes = self.accelerator.num_processes
        images = self.config.batch_size * self.config.accumulation * processes * steps
        return {
            "loss": torch.stack(self._losses).mean().item() if self._losses else math.nan,
            "images_per_s": round(images / seconds, 2),
            **({"tokens_per_s": round(self._tokens * processes / seconds)} if self._counts else {}),
            "memory_gib": round(memory_bytes(self.accelerator.device) / GIB, 2),
            "data_wait": round(self._waited / seconds, 4),
        }

    def _left(self) -> float:
        """Seconds until the last step, by the mean of this start, pictures and checkpoints included."""
        per_step = (time.monotonic() - self._began) / max(1, self._step - self._first)
        return (self._last - self._step) * per_step

    def _count(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():
            for name in ("hidden_states", "encoder_hidden_states"):
                self._tokens += kwargs[name].shape[0] * kwargs[name].shape[1]


class Curves:
    """TensorBoard's curves and pictures of a run, in one event file that is written at once and in this thread.

    torch's SummaryWriter, and so accelerate's tracker, writes in a thread of its own, whose fault on a full disk comes
    late and as a traceback. The folder may hold files of earlier starts; their steps after `step` are hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._event: Any = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue] - made when imported
        # files are read in the order of their names
        self._file = (folder / f"events.out.tfevents.{time.time():.6f}.{os.getpid()}").open("wb")
        self._records: Any = RecordWriter(self._file)
        self._write(step + 1, file_version="brain.Event:2")
        if step:
            log = event_pb2.SessionLog(status=1)  # pyright: ignore[reportAttributeAccessIssue] - START
            self._write(step + 1, session_log=log)

    def row(self, step: int, values: dict[str, Any], group: str) -> None:
        """One point of each curve; `group/<name>` is its name."""
        from torch.utils.tensorboard.summary import scalar

        for name, value in values.items():
            if isinstance(value, (int, float)):
                self._write(step, summary=scalar(f"{group}/{name}", value))

    def picture(self, step: int, picture: Image.Image) -> None:
        """The sample sheet of a step."""
        from torch.utils.tensorboard.summary import image

        pixels = np.asarray(picture.convert("RGB"))
        self._write(step, summary=image("samples", pixels, dataformats="HWC"))

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk has been reported already
            self._file.close()

    def _write(self, step: int, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), step=step, **content).SerializeToString())
        self._records.flush()


def memory_bytes(device: torch.device) -> int:
    """The largest amount of a card's memory that tensors have held; without a card what the process now holds."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return psutil.Process().memory_info().rss


def forget_after(log: Path, step: int) -> None:
    """Drop the rows of steps that will be taken again, and a last one that was torn."""
    if log.is_file():
        lines = log.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        if kept != lines:
            with written_whole(log) as path:
                path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
