"""Run: what does not differ between stages, behind a few verbs with plain names."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from posterkit.pipelines.presets import hardware
from posterkit.training.config import RunConfig, changed_key, flat, save_config
from posterkit.training.optimizers import choose_optimizer, parameter_groups
from posterkit.training.state import (
    EMA,
    load_state,
    newest_state,
    random_state,
    save_state,
    set_random_state,
)
from posterkit.training.strategies import EndToEnd, Group, Strategy

STOPS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what a cluster sends before it takes the machine away


class Trainee(Protocol):
    """What a run trains: `module` holds every weight, `save` writes a folder that diffusers opens."""

    module: nn.Module

    def save(self, folder: str | Path) -> None: ...


class Loader(Protocol):
    """Endless batches, with a position that can be saved."""

    def __iter__(self) -> Iterator[Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Run:
    """One training run: device, folder, seed, optimiser, schedule, averages, log, resume.

        run = Run(config)
        for batch in run.steps(model, loader):
            run.backward(loss_of(batch))
        run.finish(model)

    On resume the weights, averages, optimiser, random generators and the loader's position are put back before the
    first batch, so that a run stopped at N and gone on with equals one that never stopped, bit for bit on CPU.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.folder = Path(config.run_dir)
        self.accelerator = Accelerator(cpu=hardware().device.type != "cuda")
        self.device = self.accelerator.device
        if config.resume == "never" and newest_state(self.folder / "last") is not None:
            raise SystemExit(f"posterkit: {self.folder}: holds a run already; take another run_dir, or resume=auto")
        torch.manual_seed(config.seed)  # every process builds the same model; noise is its own
        self.generator = torch.Generator().manual_seed(config.seed * 1000 + self.accelerator.process_index)
        self.step = 0
        self._optimizer = choose_optimizer(config, self.device, self.print)
        self._losses: list[Tensor] = []
        self._extra: dict[str, float] = {}
        self._stopping = False
        self._batch: Any = None
        self._waited = 0.0  # seconds in which the data kept a step waiting, since the last row of the log

    def steps(
        self, model: Trainee, loader: Loader, strategy: Strategy | None = None,
        sample: Callable[[], Image.Image] | None = None,
    ) -> Iterator[Any]:  # fmt: skip
        """Batches until `max_steps` or `stop_at`; around them accumulation, clipping, the step, averages, log, saves.

        Args:
            strategy: says what trains, and what is clipped together; end to end where None.
            sample: makes the picture that is written to `samples/` every `sample_every` steps, from averaged weights.
        """
        config = self.config
        model.module.to(self.device)
        self.strategy = strategy or EndToEnd(model)
        groups = self.strategy.groups()
        options = [parameter_groups(group.parameters, config.weight_decay) for group in groups]
        self.optimizer = self._optimizer([option for of_group in options for option in of_group])
        self._rates = [group.rate for group, of_group in zip(groups, options, strict=True) for _ in of_group]
        self.ema = EMA(model.module, config.ema_decay) if config.ema_decay else None
        self.loader = loader
        self._resume(model)
        last = config.stop_at or config.max_steps
        kept = {number: signal.signal(number, self._on_interrupt) for number in STOPS} if _main_thread() else {}
        self._clock, self._clock_step = time.monotonic(), self.step
        model.module.train()
        batches = iter(loader)
        try:
            while self.step < last and not self._stops():
                for _ in range(config.accumulation):
                    asked = time.monotonic()
                    self._batch = next(batches)
                    self._waited += time.monotonic() - asked
                    with self._attention():  # forward and backward alike: checkpointed blocks are computed twice
                        yield self._batch
                self._update(model, groups)
                if self.step % config.log_every == 0 or self.step == last:
                    self._log(last)
                if self.step % config.save_every == 0 and self.step < last:
                    self._save(model)
                if config.sample_every and sample and self.step % config.sample_every == 0:
                    self._sample(model, sample)
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)
        if self._stopping:
            self._save(model)
            raise SystemExit(f"posterkit: stopped at step {self.step} and saved; the same command goes on from there")

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """The forward pass's precision."""
        bf16 = self.config.precision == "bf16"
        with self._attention(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            yield

    def backward(self, loss: Tensor, **extra: float) -> None:
        """Add one forward pass's gradient; `extra` numbers go into the log beside the loss.

        Raises:
            FloatingPointError: the loss is not finite; the batch is named where it has `ids`, what was saved stays.
        """
        if not torch.isfinite(loss):
            ids = getattr(self._batch, "ids", None)
            on = f" on the batch {', '.join(ids)}" if ids else ""
            raise FloatingPointError(f"step {self.step}: the loss is {loss.item()}{on}; the last checkpoint is whole")
        (loss / self.config.accumulation).backward()
        self._losses.append(loss.detach())
        self._extra = extra

    def noise_like(self, x: Tensor) -> Tensor:
        """Standard normal noise from the run's own generator, so that a resumed run draws the same."""
        return torch.randn(x.shape, generator=self.generator).to(x)

    @contextlib.contextmanager
    def averaged(self, model: Trainee) -> Iterator[None]:
        """The averaged weights in place of the live ones, where the run keeps any."""
        if self.ema is None:
            yield
            return
        self.ema.swap(model.module)
        try:
            yield
        finally:
            self.ema.swap(model.module)

    def finish(self, model: Trainee) -> None:
        """Save the state, the weights as a diffusers folder in `model/`, and the averaged ones in `ema/`."""
        self._save(model)
        if not self.accelerator.is_main_process:
            return
        model.module.eval()
        model.save(self.folder / "model")
        if self.ema is not None:
            with self.averaged(model):
                model.save(self.folder / "ema")
        self.print(f"done: {self.step} steps; weights in {self.folder / ('ema' if self.ema else 'model')}")

    def print(self, text: str) -> None:
        """One line, from the main process only."""
        if self.accelerator.is_main_process:
            print(text, flush=True)

    def rate(self, step: int) -> float:
        """The learning rate at a step (hangs on `max_steps` only)."""
        config = self.config
        warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
        if config.schedule == "constant":
            return config.learning_rate * warm
        done = min(1.0, step / config.max_steps)
        return config.learning_rate * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))

    def _attention(self) -> contextlib.AbstractContextManager[Any]:
        """Plain attention on a CPU, where its backward pass is the faster one."""
        return sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else contextlib.nullcontext()

    def _update(self, model: Trainee, groups: list[Group]) -> None:
        if self.accelerator.num_processes > 1:
            gradients = [p.grad for group in groups for p in group.parameters if p.grad is not None]
            mean = cast(Tensor, self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean"))
            for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        self.norms = {g.name: nn.utils.clip_grad_norm_(g.parameters, self.config.clip) for g in groups}
        for options, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            options["lr"] = rate * self.rate(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(model.module, self.step)
        self.step += 1

    def _log(self, last: int) -> None:
        config, now = self.config, time.monotonic()
        loss = torch.stack(self._losses).mean().item() if self._losses else float("nan")
        per_step = (now - self._clock) / max(1, self.step - self._clock_step)
        images = config.batch_size * config.accumulation * self.accelerator.num_processes / max(per_step, 1e-9)
        norms = {f"grad_norm_{name}": float(norm) for name, norm in self.norms.items()}
        row = {"step": self.step, "loss": loss, "grad_norm": math.hypot(*norms.values()),
               "lr": self.rate(self.step - 1), "images_per_s": round(images, 2),
               "data_wait": round(self._waited / max(now - self._clock, 1e-9), 4),
               **(norms if len(norms) > 1 else {}), **self.strategy.report(), **self._extra}  # fmt: skip
        self._losses.clear()
        self._waited = 0.0
        self._clock, self._clock_step = now, self.step
        if self.accelerator.is_main_process:
            with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        left = (last - self.step) * per_step
        self.print(
            f"step {self.step}/{config.max_steps}  loss {loss:.4f}  grad {row['grad_norm']:.2f}  "
            f"{images:.1f} images/s  {int(left // 60)}:{int(left % 60):02d} left"
        )

    def _sample(self, model: Trainee, sample: Callable[[], Image.Image]) -> None:
        if not self.accelerator.is_main_process:
            return
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        model.module.eval()
        kept = torch.get_rng_state()  # a picture on the way must not change the run
        with torch.no_grad(), self.averaged(model):
            sample().save(folder / f"{self.step:07d}.png")
        torch.set_rng_state(kept)
        model.module.train()

    def _save(self, model: Trainee) -> None:
        random = gather_object([random_state(self.generator)])  # each process draws its own noise
        if self.accelerator.is_main_process:
            record = {
                "step": self.step,
                "loader": self.loader.state_dict(),
                "random": random,
                "config": flat(self.config),
            }
            save_state(self.folder / "last", model.module, self.optimizer, self.ema, record)
        self.accelerator.wait_for_everyone()

    def _resume(self, model: Trainee) -> None:
        state = newest_state(self.folder / "last")
        if state is not None:
            record = load_state(state, model.module, self.optimizer, self.ema)
            if (key := changed_key(record["config"], self.config)) is not None:
                before, now = record["config"].get(key), flat(self.config).get(key)
                raise SystemExit(
                    f"posterkit: {self.folder}: begun with {key}={before}, now {now}; it would be another run: "
                    "give the same, or init_from it in another run_dir"
                )
            if len(record["random"]) != self.accelerator.num_processes:
                raise SystemExit(
                    f"posterkit: {self.folder}: begun on {len(record['random'])} processes, now on "
                    f"{self.accelerator.num_processes}; start as many, or init_from it in another run_dir"
                )
            self.step = record["step"]
            self.loader.load_state_dict(record["loader"])
            set_random_state(record["random"][self.accelerator.process_index], self.generator)
            self.print(f"resumed at step {self.step} from {state}")
        if self.accelerator.is_main_process:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_config(self.config, self.folder / "config.yaml")
            _forget_after(self.folder / "metrics.jsonl", self.step)

    def _stops(self) -> bool:
        """Whether any process was told to stop; all must end at the same step."""
        if self.accelerator.num_processes == 1:
            return self._stopping
        told = torch.tensor(float(self._stopping), device=self.device)
        return bool(cast(Tensor, self.accelerator.reduce(told, "sum")).item())

    def _on_interrupt(self, *_: Any) -> None:
        self.print("stopping after this step; a second Ctrl-C stops at once")
        self._stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _forget_after(log: Path, step: int) -> None:
    """Drop the rows of steps that will be taken again, and a last one that was torn."""
    if log.is_file():
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
