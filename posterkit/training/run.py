"""Run: the parts of training that all stages share, behind a few methods."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, gather_object
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from posterkit.image_io import remove_unfinished, written_whole
from posterkit.pipelines.presets import hardware
from posterkit.training.block_swap import is_swapped, move
from posterkit.training.config import RunConfig, flat, rate_at, save_config
from posterkit.training.divergence import RISEN, Divergence
from posterkit.training.errors import RunFailed, WrongCall, setting_up, writing
from posterkit.training.guard import (
    BatchFault,
    all_finite,
    check_processes,
    check_same_run,
    extension_line,
    hold_folder,
    write_bad_batch,
)  # fmt: skip
from posterkit.training.monitor.dry_run import DryRun, check_on_disk
from posterkit.training.monitor.log import RunLog
from posterkit.training.monitor.run_outputs import keep_best, write_sheet, write_weights
from posterkit.training.optimizers import choose_optimizer, no_matrices, parameter_groups
from posterkit.training.protocols import Loader, TrainedModel
from posterkit.training.sharding import asks_for_sharding, clip_norm, shard
from posterkit.training.state import (
    EMA,
    go_back,
    kept_steps,
    load_state,
    newest_state,
    random_state,
    record_of,
    save_state,
    set_random_state,
)  # fmt: skip
from posterkit.training.strategies import EndToEnd, Strategy

STOPS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what a cluster sends before it takes the machine away


class Run:
    """One training run: device, folder, seed, optimiser, schedule, averages, log, resume.

        run = Run(config)
        for batch in run.steps(model, loader):
            run.backward(loss_of(batch))
        run.finish(model)

    On resume the weights, averages, optimiser, random generators and the loader's position are restored before the
    first batch, so that a run that was stopped at N and resumed equals one that never stopped, bit for bit on CPU.

    Raises:
        WrongCall: another run is at work in the folder, the number of processes is not the requested one, or the
            folder holds a run and `resume` is never.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.folder = Path(config.run_dir)
        sharded = asks_for_sharding(config)
        waiting = InitProcessGroupKwargs(timeout=timedelta(minutes=config.timeout))
        self.accelerator = Accelerator(cpu=hardware().device.type != "cuda", kwargs_handlers=[waiting])
        self.device: torch.device = self.accelerator.device
        self.sharded = sharded and self.accelerator.num_processes > 1
        self._main = self.accelerator.is_main_process
        check_processes(config.processes, self.accelerator.num_processes)
        if config.dry_run:
            check_on_disk(config)
        with setting_up():
            if self._main:  # for all processes of the run
                hold_folder(self.folder)
            if config.resume == "auto" and not config.dry_run:
                self._check_record()
            if self._main and config.resume_at is not None and not config.dry_run:
                go_back(self.folder / "last", config.resume_at)
            self.accelerator.wait_for_everyone()
        if config.resume == "never" and not config.dry_run and newest_state(self.folder / "last") is not None:
            raise WrongCall(f"{self.folder}: holds a run already; take another run_dir, or resume=auto", self._main)
        torch.manual_seed(config.seed)  # every process builds the same model; noise is its own
        self.generator = torch.Generator().manual_seed(config.seed * 1000 + self.accelerator.process_index)
        self.step = 0
        self._swapped = False
        self.log = RunLog(self.folder, config, self.accelerator)
        self._optimizer = choose_optimizer(config, self.device, self.print)
        self._stopping = False
        self._batch: Any = None
        self._fault: BatchFault | None = None  # what went wrong in the step under way, and on which batch
        # open while steps are taken; closed at the latest before Python ends, when threads must be gone
        self._open = contextlib.ExitStack()
        weakref.finalize(self, self._open.close)

    def steps(
        self, model: TrainedModel, loader: Loader, strategy: Strategy | None = None,
        sample: Callable[[], Image.Image | None] | None = None,
    ) -> Iterator[Any]:  # fmt: skip
        """Batches until `max_steps` or `stop_at`; around them accumulation, clipping, the step, averages, log, saving.

        In a dry run it is one batch, and `backward` ends the program.

        Args:
            strategy: which weights train, and which are clipped together; end to end where None.
            sample: makes the picture that is written to `samples/` before the first step, every `sample_every` steps
                and after the last one, from averaged weights.

        Raises:
            WrongCall: the folder holds another run.
            RunFailed: it was interrupted, a loss or a gradient is not finite, or the disk is full.
        """
        config = self.config
        if self.sharded:
            shard(model, self.device, config.precision == "bf16")
        else:
            move(model.module, self.device)
            self._swapped = is_swapped(model.module)
            if self._swapped and self.accelerator.num_processes > 1:
                raise WrongCall("trainable.swap is for one process; several share the weights by FSDP2", self._main)
        self.model, self.loader, self.strategy = model, loader, strategy or EndToEnd(model)
        self.groups = self.strategy.groups()
        apart = no_matrices(model.module) if config.optimizer == "muon" else []
        options = [parameter_groups(group.parameters, config.weight_decay, apart) for group in self.groups]
        self.optimizer = self._optimizer([option for of_group in options for option in of_group])
        self._rates = [group.rate for group, of_group in zip(self.groups, options, strict=True) for _ in of_group]
        self.ema = EMA(model.module, config.ema_decay) if config.ema_decay else None
        self._divergence = Divergence(p for group in self.groups for p in group.parameters)
        last = config.stop_at or config.max_steps
        with self._open:
            if not config.dry_run:
                self._begin(last)
            batches = iter(loader)
            self._open.callback(getattr(batches, "close", lambda: None))  # a thread may be reading ahead
            if config.dry_run:
                yield from self._dry_run(next(batches))
                return
            if self.step == 0:
                self._sample(sample)
            model.module.train()
            end = time.monotonic() + 60 * config.minutes if config.minutes else math.inf
            while self.step < last and not self._any(self._stopping or time.monotonic() > end):
                self._before = self._position()
                for _ in range(config.accumulation):
                    self._batch = self._next(batches)
                    with self._attention():  # forward and backward alike: checkpointed blocks are computed twice
                        yield self._batch
                self._update()
                self._log_step(last)
                due = self.step % config.save_every == 0 and self.step < last
                if due and not self._any(self._divergence.unsettled()):
                    self._save()
                if self.step == last or (config.sample_every and self.step % config.sample_every == 0):
                    self._sample(sample)
        if self._stopping:
            self._save()
            raise RunFailed(f"stopped at step {self.step} and saved; the same command goes on from there", self._main)

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """The forward pass's precision.

        Raises:
            RunFailed: a number is not finite within (a strategy's own loss).
        """
        bf16 = self.config.precision == "bf16"
        try:
            # autocast's copies of weights would fill the card that blocks are kept from
            options: dict[str, Any] = {"enabled": bf16, "cache_enabled": not self._swapped}
            with self._attention(), torch.autocast(self.device.type, torch.bfloat16, **options):
                yield
        except FloatingPointError as fault:
            self._note(str(fault))
            self._any(True)  # the other processes ask at the end of their step
            self._fail()

    def backward(self, loss: Tensor, **extra: float) -> None:
        """Add one forward pass's gradient; `extra` numbers go into the log beside the loss.

        A loss that is not finite ends the run at the end of its step. A dry run ends here: exit code 0.
        """
        if self.config.dry_run:
            self._dry.report(loss)
            self._open.close()
            raise SystemExit(0)
        if math.isfinite(value := loss.item()):
            self._divergence.loss(value)
        else:
            self._note(f"the loss is {value}")
        (loss / self.config.accumulation).backward()
        self.log.loss(loss.detach(), extra)

    def noise_like(self, x: Tensor) -> Tensor:
        """Standard normal noise from the run's own generator, so that a resumed run draws the same."""
        return torch.randn(x.shape, generator=self.generator).to(x)

    def afterwards(self, call: Callable[[], None]) -> None:
        """Register a call for the end of the steps, however they end."""
        self._open.callback(call)

    def stop(self, why: str) -> NoReturn:
        """End the run before its time, in all processes at the same place, with everything saved."""
        self._save()
        raise RunFailed(f"{why}; step {self.step} is saved, the same command goes on from there", self._main)

    @contextlib.contextmanager
    def averaged(self, model: TrainedModel) -> Iterator[None]:
        """The averaged weights in place of the live ones, where the run keeps any."""
        if self.ema is None:
            yield
            return
        self.ema.swap(model.module)
        try:
            yield
        finally:
            self.ema.swap(model.module)

    def finish(self, model: TrainedModel) -> None:
        """Save the state, the weights as a diffusers folder in `model/`, and the averaged ones in `ema/`.

        Beside either lies a model card.

        Raises:
            RunFailed: the disk is full.
        """
        if self.config.dry_run:
            return
        self._save()
        write_weights(self, model)
        where = f"weights in {self.folder / ('ema' if self.ema else 'model')}"
        if self.step < self.config.max_steps:
            self.print(f"stopped at step {self.step} of {self.config.max_steps}, as stop_at says; {where}")
        else:
            self.print(f"done: {self.step} steps; {where}")

    def print(self, text: str) -> None:
        """One line, from the main process only."""
        if self.accelerator.is_main_process:
            print(text, flush=True)

    def _begin(self, last: int) -> None:
        """Restore the state, and log the run until `last`."""
        with setting_up():
            self._resume()
        with writing(self.folder, "the log", self._main):
            self._open.enter_context(self.log.following(self.model.module, self.step, last))
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                self._open.callback(signal.signal, number, signal.signal(number, self._on_interrupt))

    def _dry_run(self, batch: Any) -> Iterator[Any]:
        self._batch = batch
        with writing(self.folder, "dry_run.png", self._main):
            self._dry = DryRun(self, batch)
        self.model.module.train()
        with self._dry.measuring(), self._attention():
            yield batch

    def _next(self, batches: Iterator[Any]) -> Any:
        """The next batch that holds none of the samples to skip, in any process."""
        skip = set(self.config.skip)
        with self.log.waiting():
            for _ in range(10_000):
                batch = next(batches)
                if not (skip and self._any(not skip.isdisjoint(getattr(batch, "ids", ())))):
                    return batch
        raise RunFailed(f"{self.folder}: skip leaves no batch out of 10000", self._main)

    def _attention(self) -> contextlib.AbstractContextManager[Any]:
        """Plain attention in bfloat16 on a CPU, where it is the faster one for as few tokens as mini has."""
        plain = self.device.type == "cpu" and self.config.precision == "bf16"
        return sdpa_kernel(SDPBackend.MATH) if plain else contextlib.nullcontext()

    def _update(self) -> None:
        self._divergence.stepped()
        if self._any(self._fault is not None or self._divergence.of_loss() is not None):
            self._fail()
        if self.accelerator.num_processes > 1 and not self.sharded:  # sharded ones are averaged as they arise
            gradients = [p.grad for group in self.groups for p in group.parameters if p.grad is not None]
            mean = cast(Tensor, self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean"))
            for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        self.norms = {g.name: float(clip_norm(g.parameters, self.config.clip)) for g in self.groups}
        if not all(map(math.isfinite, self.norms.values())):  # the same in every process
            self._note("the gradient is not finite")
            self._fail()
        for options, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            options["lr"] = rate * options.get("scale", 1.0) * rate_at(self.config, self.step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.model.module, self.step)
        self.step += 1

    def _log_step(self, last: int) -> None:
        self.log.stepped(self.step)
        if self.step % self.config.log_every == 0 or self.step == last:
            figures = {"grad_norm": math.hypot(*self.norms.values()), "lr": rate_at(self.config, self.step - 1)}
            norms = {f"grad_norm_{name}": norm for name, norm in self.norms.items()} if len(self.norms) > 1 else {}
            with writing(self.folder, "the log", self._main):
                self.log.row(figures, {**norms, **self.strategy.report()})

    def _sample(self, sample: Callable[[], Image.Image | None] | None) -> None:
        if self.config.sample_every and sample is not None:
            write_sheet(self, sample)
            if self.config.best:
                keep_best(self, self.model, self.config.best)

    def _position(self) -> dict[str, Any]:
        """The state that decides the batches and noise to come, in this process."""
        return {"loader": self.loader.state_dict(), "random": random_state(self.generator)}

    def _save(self, position: dict[str, Any] | None = None) -> None:
        """Write a checkpoint, as of `position` or else as of now.

        Raises:
            RunFailed: the weights are no longer those of a run that learns; the last checkpoint stays.
        """
        if grown := self._divergence.of_weights():
            self._diverged(grown)
        position = position or self._position()
        # each process draws its own noise
        record = {"step": self.step, **position, "random": gather_object([position["random"]])}
        record |= {"config": flat(self.config), "losses": self._divergence.state_dict()}
        folder = self.folder / "last"
        with self.log.aside(), writing(self.folder, "a checkpoint", self._main):
            save_state(folder, self.model.module, self.optimizer, self.ema, record, self._main, self.config.keep_last)
        self.accelerator.wait_for_everyone()

    def _check_record(self) -> None:
        """Raise WrongCall where the checkpoint to go on from is that of another run, by its record alone."""
        last, step = self.folder / "last", self.config.resume_at
        state = newest_state(last) if step is None else kept_steps(last).get(step)
        if state is not None:
            check_same_run(self.folder, record_of(state), self.config, self.accelerator.num_processes)
        self.accelerator.wait_for_everyone()  # before one of them moves checkpoints

    def _resume(self) -> None:
        state = newest_state(self.folder / "last")
        if state is not None:
            record = load_state(state, self.model.module, self.optimizer, self.ema)
            if said := extension_line(record, self.config):
                self.print(said)
            self._divergence.load_state_dict(record.get("losses", {}))
            self.step = record["step"]
            self.loader.load_state_dict(record["loader"])
            set_random_state(record["random"][self.accelerator.process_index], self.generator)
            self.print(f"resumed at step {self.step} from {state}")
        if self._main:
            remove_unfinished(self.folder)
            with written_whole(self.folder / "config.yaml") as path:
                save_config(self.config, path)

    def _note(self, said: str) -> None:
        """Record the first fault of the step under way; the run ends with it."""
        if self._fault is None:
            ids, tasks = getattr(self._batch, "ids", []), getattr(self._batch, "tasks", [])
            self._fault = BatchFault(said, ids, tasks, self.accelerator.process_index)

    def _fail(self) -> NoReturn:
        """End the run after numbers that are not finite; all processes come here in the same step."""
        faults = [one for one in gather_object([self._fault]) if one]
        risen = [one for one in gather_object([self._divergence.of_loss(RISEN)]) if one]
        if all_finite(self._divergence.weights, self.optimizer, self.ema):
            if risen:
                self._diverged(risen[0])
            self._save(self._before)
            saved = "the state before it is saved"
        else:
            stays = "the last checkpoint stays" if newest_state(self.folder / "last") else "nothing is saved"
            saved = f"the weights are not finite either: {stays}"
        with writing(self.folder, "bad_batch.json", self._main):
            line = write_bad_batch(self.folder, self.step + 1, self._before["loader"], faults, saved, self._main)
        raise RunFailed(line, self._main)

    def _diverged(self, reason: str) -> NoReturn:
        """End a run whose rate is too high, and leave its last checkpoint as it is."""
        kept = list(kept_steps(self.folder / "last"))
        stays = "nothing is saved: start it with a lower learning_rate"
        if kept:
            stays = f"the checkpoint of step {kept[-1]} stays: go on from it by extend=true learning_rate=LOWER"
        if kept[:-1]:
            stays += f", or from an earlier one by resume_at={', '.join(map(str, kept[:-1]))}"
        rate = f"learning_rate={self.config.learning_rate:g}"
        raise RunFailed(f"{self.folder}: step {self.step}: diverges at {rate}: {reason}; {stays}", self._main)

    def _any(self, flag: bool) -> bool:
        """Whether it is true in any process; all call this at the same place in their steps."""
        if self.accelerator.num_processes == 1:
            return flag
        return bool(cast(Tensor, self.accelerator.reduce(torch.tensor(float(flag), device=self.device), "sum")).item())

    def _on_interrupt(self, *_: Any) -> None:
        self.print("stopping after this step; a second Ctrl-C stops at once")
        self._stopping = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
