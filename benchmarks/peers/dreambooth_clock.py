"""Run a training script unchanged and time its steps from outside; see training_speed.py, which starts it.

    python dreambooth_clock.py READ WRITE WARM_UP SCRIPT [its arguments]

READ and WRITE are open file descriptors. After WARM_UP optimiser steps it writes what it has seen and waits. For each
line with a number that it reads it lets the script take so many steps, writes what they cost, and waits again; when
there is nothing more to read, the program ends. It runs the diffusers' example trainers in an environment of their own
and posterkit's recipes in theirs, so it imports nothing that only one of them has.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


class Clock:
    """Counts optimiser steps, and what they and the frozen encoders in them cost."""

    def __init__(self, read: int, write: int, warm_up: int) -> None:
        self.asked, self.told = os.fdopen(read), os.fdopen(write, "w")
        self.left, self.seen, self.start = warm_up, {}, (0.0, 0.0)
        self.frozen = [0.0, 0.0]  # seconds in frozen encoders: of CPU, by the clock

    def stepped(self, *_: Any) -> None:
        """After each optimiser step."""
        self.left -= 1
        if self.left:
            return
        cpu, wall = (now - start for now, start in zip(clocks(), self.start, strict=True))
        found = {"cpu": cpu, "wall": wall, "frozen_cpu": self.frozen[0], "frozen_wall": self.frozen[1]}
        found |= {"peak": status("VmHWM"), **self.seen}
        self.told.write(json.dumps(found) + "\n")
        self.told.flush()
        done = time.process_time()  # what threads do while this one waits belongs to the next round
        line = self.asked.readline()
        if not line:
            os._exit(0)
        self.left, self.frozen = int(line), [0.0, 0.0]
        self.start = done, time.perf_counter()

    def watch_transformer(self, cls: type) -> None:
        """See the first training pass: token counts, and the memory before it."""
        forward: Any = cls.forward

        def seen(module: Any, *args: Any, **inputs: Any) -> Any:
            if torch.is_grad_enabled() and not self.seen:
                mask = inputs.get("encoder_hidden_states_mask")
                self.seen = {
                    "batch": inputs["hidden_states"].shape[0],
                    "image_tokens": inputs["hidden_states"].shape[1],
                    "text_tokens": inputs["encoder_hidden_states"].shape[1],
                    "padded": mask is not None and not bool(mask.all()),
                    "masked": mask is not None,
                    "trained": sum(p.numel() for p in module.parameters() if p.requires_grad),
                    "dtype": str(inputs["hidden_states"].dtype),
                    "loaded": forget_peak(),
                }
            return forward(module, *args, **inputs)

        cls.forward = seen

    def watch_frozen(self, cls: type, name: str) -> None:
        """Count the time of a frozen encoder or of its tokenizer apart."""
        method = getattr(cls, name)

        def timed(*args: Any, **inputs: Any) -> Any:
            start = clocks()
            try:
                return method(*args, **inputs)
            finally:
                self.frozen = [s + now - was for s, now, was in zip(self.frozen, clocks(), start, strict=True)]

        setattr(cls, name, timed)


def clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def status(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


def forget_peak() -> int:
    """Give freed memory back to the system and forget the peak so far; returns the bytes that are resident."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return status("VmRSS")


def open_torchvision() -> None:
    """Let a torchvision that was built for CUDA be imported beside a torch for CPUs.

    Its compiled operators cannot be loaded then, and its import ends at two that it wants to describe; resizing,
    cropping and tensors, which is what the trainers use, need none of them.
    """
    found = find_spec("torchvision")
    if found is None or found.origin is None:
        return
    try:
        torch.ops.load_library(Path(found.origin).with_name("_C.so"))
    except OSError:
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def main() -> None:
    read, write, warm_up, script = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    open_torchvision()
    import diffusers
    import transformers

    clock = Clock(read, write, warm_up)
    for cls in (diffusers.FluxTransformer2DModel, diffusers.QwenImageTransformer2DModel):
        clock.watch_transformer(cls)
    for cls in (diffusers.AutoencoderKL, diffusers.AutoencoderKLQwenImage):
        clock.watch_frozen(cls, "encode")
    for cls in (transformers.CLIPTextModel, transformers.T5EncoderModel):
        clock.watch_frozen(cls, "forward")
    for cls in {transformers.CLIPTokenizer.__call__: transformers.CLIPTokenizer}.values():
        clock.watch_frozen(cls.__mro__[1], "__call__")
    register_optimizer_step_post_hook(clock.stepped)
    sys.argv[:] = sys.argv[4:]
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
