"""Typed configs: dataclasses, a YAML file, dotted overrides. An unknown key stops a run before anything is loaded."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import importlib.util
import math
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml

from posterkit.documents import read_text, read_yaml
from posterkit.training.errors import WrongCall

Config = TypeVar("Config")

# what may differ when a run goes on: where things lie, when it stops and what it tells
FREE = frozenset(
    ("run_dir", "stop_at", "minutes", "workers", "resume", "resume_at", "extend", "processes", "timeout", "skip",
     "dry_run", "log_every", "save_every", "keep_last", "best", "sample_every", "tracker",
     "data.cache", "data.workers", "text.cache", "reward.cache", "reward.workers", "reward.device")
)  # fmt: skip

# what may differ besides where a run is extended; so may the rates of the parts
EXTENDED = frozenset(("max_steps", "learning_rate", "adamw_rate", "schedule"))

# numbers of a config, each with the test that it must pass, and what that asks of it; null always passes
Count = Annotated[int, (lambda number: number >= 1, "be at least 1")]
Several = Annotated[int, (lambda number: number >= 2, "be at least 2")]
CountOr0 = Annotated[int, (lambda number: number >= 0, "be at least 0")]
Positive = Annotated[float, (lambda number: number > 0, "be above 0")]
NotNegative = Annotated[float, (lambda number: number >= 0, "be at least 0")]
Seed = Annotated[int, (lambda number: 0 <= number < 2**63, "lie in [0, 2^63)")]
Share = Annotated[float, (lambda number: 0 <= number <= 1, "lie in [0, 1]")]
ShareBelow1 = Annotated[float, (lambda number: 0 <= number < 1, "lie in [0, 1)")]


@dataclass
class RunConfig:
    """The config of every stage. Schedules, EMA and sampling depend on `max_steps` only; `stop_at` stops and saves.

    Attributes:
        run_dir: the run folder: `last/`, `ema/`, `samples/`, `metrics.jsonl`, `config.yaml`.
        seed: all randomness follows from it.
        max_steps: optimiser steps of the whole run.
        stop_at: stop and save at this step; the next start goes on from there.
        minutes: the same after so many minutes.
        init_from: a former stage's run folder, a diffusers folder, or `mini:posteromni`; null starts from nothing.
        resume: auto goes on from `last/` if it is there; never refuses to touch a folder that has one.
        resume_at: goes back to the kept checkpoint of this step, and drops the later ones.
        extend: lets `max_steps`, the rates and `schedule` differ from what the run began with; the schedule is then
            that of the new values, from the step that the run has come to.
        batch_size: samples in one forward pass of one process.
        accumulation: forward passes in one optimiser step.
        optimizer: adamw; muon, for matrices, with AdamW for tables and vectors; adamw8bit and paged_adamw8bit
            (bitsandbytes, on an NVIDIA card; its state may move to main memory when paged); adafactor, which keeps no
            first moment.
        learning_rate: peak, after `warmup_steps`.
        adamw_rate: the same for what muon leaves to AdamW.
        weight_decay: of matrices; biases and norms never decay.
        betas: of the three kinds of AdamW.
        schedule: constant, or cosine down to a tenth at `max_steps`.
        clip: largest gradient norm.
        ema_decay: decay of the averaged weights at the end of the run; 0 keeps none.
        precision: bf16 runs the forward pass under autocast; weights stay float32.
        keep_last: how many checkpoints are kept: `last/`, and those before it in `steps/`.
        best: a figure of the sample sheets (`made.recall`, `heldout.reward`, see `samples/*.json`) by which the best
            weights so far are kept in `best/`; with a minus before it the smallest one wins.
        log_every, save_every, sample_every: in optimiser steps; 0 turns sampling off. A run that samples does so
            before its first step and after its last one too.
        tracker: auto writes curves and sample sheets for TensorBoard where it is installed (posterkit[train]),
            tensorboard insists on it, none writes none.
        processes: how many are to train together; null takes as many as the launcher started, if it says so.
        timeout: minutes that processes wait for one another, as while one of them writes or reads something.
        skip: ids of samples; a batch that holds one of them is left out. For one that a loss became nan on.
        dry_run: `--dry-run`; show what would train, what memory it takes, and one batch, and take no step.
    """

    run_dir: str = "runs/run"
    seed: Seed = 0
    max_steps: Count = 1000
    stop_at: int | None = None
    minutes: Positive | None = None
    init_from: str | None = None
    resume: Literal["auto", "never"] = "auto"
    resume_at: Count | None = None
    extend: bool = False
    batch_size: Count = 16
    accumulation: Count = 1
    optimizer: Literal["adamw", "muon", "adamw8bit", "paged_adamw8bit", "adafactor"] = "adamw"
    learning_rate: Positive = 1e-4
    adamw_rate: Positive = 1e-3
    weight_decay: NotNegative = 0.0
    betas: list[float] = field(default_factory=lambda: [0.9, 0.99])
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_steps: CountOr0 = 0
    clip: Positive = 1.0
    ema_decay: ShareBelow1 = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"
    log_every: Count = 20
    save_every: Count = 500
    keep_last: Count = 1
    best: str | None = None
    sample_every: CountOr0 = 0
    tracker: Literal["auto", "tensorboard", "none"] = "auto"
    processes: Count | None = None
    timeout: Positive = 180.0
    skip: list[str] = field(default_factory=list)
    dry_run: bool = False

    def check(self) -> None:
        """Raise ValueError for values that cannot work, alone or together, in the parts too; stages add their own."""
        check_ranges(self)
        if empty := next((key for key in ("run_dir", "init_from") if getattr(self, key) == ""), None):
            raise ValueError(f"{empty} is empty; it takes a folder")
        if Path(self.run_dir).is_file():
            raise ValueError(f"run_dir: {self.run_dir} is a file; it takes a folder")
        if self.stop_at is not None and not 0 < self.stop_at <= self.max_steps:
            raise ValueError(f"stop_at must lie in 1..max_steps ({self.max_steps}), got {self.stop_at}")
        if self.best is not None and not self.sample_every:
            raise ValueError("best is a figure of the sample sheets; it needs sample_every above 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas takes two numbers in [0, 1), got {self.betas}")
        if self.tracker == "tensorboard" and not can_draw_curves():
            raise ValueError("tracker is tensorboard, which is not installed; pip install 'posterkit[train]'")

    def enough(self, count: int) -> int:
        """How many of so many samples are to be prepared: all, and for a dry run those of a few batches."""
        return min(count, 8 * self.batch_size) if self.dry_run else count


def parse_config(cls: type[Config], argv: list[str] | None = None) -> Config:
    """Read `[--config FILE] [--dry-run] [key=value ...]` into the dataclass `cls`; `--help` describes the recipe.

    Without `--config` the recipe's own small config is taken: `configs/mini/<recipe>.yaml`. Ends the program with
    code 2 and one line if anything is wrong.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    recipe = Path(sys.argv[0])
    if "--help" in argv or "-h" in argv:
        print(f"python {recipe} [--config FILE] [--dry-run] [key=value ...]\n\n{sys.modules['__main__'].__doc__}")
        print(
            f"Keys and their small values: configs/mini/{recipe.stem}.yaml; all of them: config.yaml in a run folder."
        )
        raise SystemExit(0)
    try:
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        parser.add_argument("--config", type=Path)
        parser.add_argument("--dry-run", action="store_true")
        try:
            given, overrides = parser.parse_known_args(argv)
        except argparse.ArgumentError:
            raise ValueError("--config needs a file") from None
        for argument in overrides:
            if argument.startswith("-"):
                raise ValueError(f"unknown option {argument}; give --config FILE, --dry-run and key=value pairs")
        path, overrides = given.config, [*overrides, *(["dry_run=true"] if given.dry_run else [])]
        if path is None:
            path = recipe.resolve().parent.parent / "configs" / "mini" / f"{recipe.stem}.yaml"
            print(f"{recipe.name}: no --config given, taking configs/mini/{path.name}", flush=True)
        return load_config(cls, path, overrides)
    except (ValueError, OSError) as fault:
        raise WrongCall(fault) from None


def load_config(cls: type[Config], path: str | Path, overrides: typing.Sequence[str] = ()) -> Config:
    """Fill `cls` from a YAML file and `key=value` overrides (`data.count=200`).

    Raises:
        ValueError: an unknown key (the nearest known one is named) or a value of the wrong type.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise OSError(f"{path}: no such config file")
    values = read_yaml(read_text(path), str(path)) or {}
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a config is a mapping of keys to values")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ValueError(f"{override!r} is not key=value")
        inner = values
        *parents, leaf = key.split(".")
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{override!r}: {parent!r} has no keys of its own")
        try:
            inner[leaf] = read_yaml(text)
        except ValueError as error:
            raise ValueError(f"{override!r}: the value is {str(error).removeprefix('YAML: ')}") from None
    config: Any = _build(cls, values, str(path))
    if issubclass(cls, RunConfig):
        config.check()
    return config


def save_config(config: RunConfig, path: str | Path) -> None:
    """Write the resolved config; loading it again gives an equal one."""
    Path(path).write_text(yaml.safe_dump(dataclasses.asdict(config), sort_keys=False), encoding="utf-8")


def flat(config: RunConfig) -> dict[str, Any]:
    """Every value under its dotted key (`data.count`), as JSON has it."""
    found: dict[str, Any] = {}

    def walk(values: dict[str, Any], prefix: str) -> None:
        for key, value in values.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                found[prefix + key] = list(value) if isinstance(value, tuple) else value

    walk(dataclasses.asdict(config), "")
    return found


def changed_key(before: dict[str, Any], config: RunConfig) -> str | None:
    """The first key that makes another run of it than `before` (see `flat`), if there is one.

    A key that came after the run began has had its default all along.
    """
    now, before = flat(config), {**flat(type(config)()), **before}
    free = FREE | {key for key in now if config.extend and key.rpartition(".")[2] in EXTENDED}
    return next((k for k in [*now, *before] if k not in free and now.get(k) != before.get(k)), None)


def rate_at(config: RunConfig, step: int) -> float:
    """The learning rate at a step."""
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "constant":
        return config.learning_rate * warm
    done = min(1.0, step / config.max_steps)
    return config.learning_rate * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def check_ranges(config: object, part: str = "") -> None:
    """Raise ValueError for the first number of a config that is out of its range; parts with a `check` do that there.

    Args:
        part: the config's own key and a dot, for the message.
    """
    for name, hint in typing.get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        if hasattr(value, "check"):
            value.check()
        elif dataclasses.is_dataclass(value):
            check_ranges(value, f"{part}{name}.")
        for one in (hint, *typing.get_args(hint)):  # Count | None has it within
            for passes, asked in getattr(one, "__metadata__", ()):
                if value is not None and not passes(value):
                    raise ValueError(f"{part}{name} must {asked}, got {value}")


def can_draw_curves() -> bool:
    """Whether tensorboard is installed (posterkit[train])."""
    return importlib.util.find_spec("tensorboard") is not None


def sets_of(config: RunConfig, run_folder: Path) -> Iterator[tuple[str, Any, Path]]:
    """The sets of a run's config: key, config and the folder that each lies in or is drawn into."""
    for name, one in vars(config).items():
        if hasattr(one, "count") and hasattr(one, "seed"):
            path = getattr(one, "path", None)
            yield name, one, Path(path) if path else run_folder / ("set" if name == "data" else name)


def check_keys(values: typing.Iterable[object], known: typing.Collection[str], where: str) -> None:
    """Raise ValueError for the first key that is not known; the nearest known one is named."""
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0)
            raise ValueError(f'{where}: unknown key "{key}" (did you mean "{near[0]}"?)')


def _build(cls: type, values: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    check_keys(values, known, where)
    made = {}
    for key, value in values.items():
        hint = hints[key]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise ValueError(f'{where}: "{key}" takes a mapping, got {value!r}')
            made[key] = _build(typing.cast(type, hint), value, f"{where}: {key}")
        else:
            made[key] = _convert(value, hint, f'{where}: "{key}"')
    return cls(**made)


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)), where)
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{where} is {value!r}; accepted: {', '.join(map(str, arguments))}")
        return value
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where} takes a list, got {value!r}")
        inner = [_convert(item, arguments[0], where) for item in value]
        return tuple(inner) if origin is tuple else inner
    if origin is dict or hint is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{where} takes a mapping, got {value!r}")
        return value
    if hint is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):  # YAML reads 1e-4 as a string
            value = float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{where} takes {hint.__name__}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} takes a finite number, got {value}")
    return value
