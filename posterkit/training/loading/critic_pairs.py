"""Batches of a critic's preference pairs, as `data_tools/build_critic_pairs.py` writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import torch
from PIL import Image

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.critique_pairs import (
    PICTURES,
    SYSTEM,
    CriticPosters,
    answer_wrongly,
    drop_true,
    encode_pair,
    match_lengths,
)
from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets.sample_files import Row
from posterkit.sizing import Size
from posterkit.training.config import Count, Seed
from posterkit.training.loading.batches import Batch
from posterkit.training.loading.critic_rows import CriticRows, open_critic_rows
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.protocols import RunView

_KEYS = ("id", "prompt", "chosen", "rejected", "kind", "split", *PICTURES)


@dataclass
class PairsConfig:
    """
    Attributes:
        path: a folder of pairs; null draws posters into `run_dir/set`, whose rejected sides are injected errors.
        count, seed, size: of a drawn set: how many posters, which ones, and their width and height in pixels.
        kinds: only pairs of these, see `posterkit.datagen.critiques`; null for all.
    """

    path: str | None = None
    count: Count = 1000
    seed: Seed = 0
    size: tuple[int, int] = (192, 288)
    kinds: list[str] | None = None


class CriticPairs(CriticRows):
    """The pairs of a folder, of one split."""

    def picture(self, row: Row, name: str) -> Image.Image:
        """One of a pair's pictures, "target" or "weakened"."""
        return self.picture_named(row, row[name])


def open_critic_pairs(config: PairsConfig, run: RunView) -> tuple[CriticPairs, CriticPairs]:
    """The pairs to learn from, and those held out.

    Raises:
        FileNotFoundError, ValueError: as `open_critic_rows`.
    """
    folder = Path(config.path) if config.path else run.folder / "set"
    if config.path is None and run.accelerator.is_main_process:
        steps = (("answer", partial(answer_wrongly, seed=config.seed, open_critic=None)), ("length", match_lengths),
                 ("check", drop_true))  # fmt: skip
        settings = {"tool": "build_critic_pairs", "seed": config.seed, "size": list(config.size)}
        source, encode = CriticPosters(config.seed, Size(*config.size)), partial(encode_pair, seed=config.seed)
        made = run_flow(Flow(source, config.count, steps, encode, settings, paths=PICTURES), folder)
        run.print(f"{folder}: {made.kept} pairs drawn, {made.dropped} dropped")
    run.accelerator.wait_for_everyone()
    train, heldout = open_critic_rows(
        folder, run, "data_tools/build_critic_pairs.py", "pairs", _KEYS,
        lambda row: [row.get(name) for name in PICTURES],
        lambda row: config.kinds is None or row["kind"] in config.kinds,
    )  # fmt: skip
    return CriticPairs(folder, train), CriticPairs(folder, heldout)


class CriticBatch(Batch):
    """For `TrainedCritic.log_probs`: true answers, rejected ones, then true ones on weakened pictures if asked for."""

    pictures: list[list[Image.Image]]

    def to(self, device: torch.device) -> CriticBatch:
        moved = CriticBatch({name: tensor.to(device) for name, tensor in self.items()}, self.ids, self.tasks)
        moved.pictures = self.pictures
        return moved


def critic_batch(pairs: CriticPairs, rows: list[Row], model: TrainedCritic, weakened: bool) -> CriticBatch:
    """Some pairs as one batch; `tasks` are their kinds."""
    clean = [pairs.picture(row, "target") for row in rows]
    sides = [(row.get("system", SYSTEM), [picture, row["prompt"]], row[side]) for side in ("chosen", "rejected")
             for row, picture in zip(rows, clean, strict=True)]  # fmt: skip
    weak = [pairs.picture(row, "weakened") for row in rows] if weakened else []
    sides += [(row.get("system", SYSTEM), [picture, row["prompt"]], row["chosen"])
              for row, picture in zip(rows, weak, strict=bool(weak))]  # fmt: skip
    batch = CriticBatch(
        model.collate([model.read(*side) for side in sides]), [row["id"] for row in rows],
        [row["kind"] for row in rows],
    )  # fmt: skip
    batch.pictures = [list(some) for some in (zip(clean, weak, strict=True) if weak else zip(clean))]
    return batch


def critic_batches(pairs: CriticPairs, model: TrainedCritic, run: RunView, weakened: bool) -> PrefetchLoader:
    """Endless batches on the run's device, read ahead; their order follows from the run's seed."""
    rank, world = run.accelerator.process_index, run.accelerator.num_processes
    batches = _Batches(pairs, model, run.config.batch_size, run.config.seed, weakened, rank, world)
    return PrefetchLoader(batches, run.device, "\n".join(f"{row['id']} {row['rejected']}" for row in pairs.rows))


@dataclass
class _Batches:
    """Every epoch in another order; process `rank` of `world` takes every `world`-th batch."""

    pairs: CriticPairs
    model: TrainedCritic
    size: int
    seed: int
    weakened: bool
    rank: int
    world: int
    position: int = 0

    def __iter__(self) -> Iterator[CriticBatch]:
        count = len(self.pairs.rows)
        while True:
            first = (self.position * self.world + self.rank) * self.size
            self.position += 1
            rows = []
            for place in range(first, first + self.size):
                order = Random(f"{self.seed} epoch {place // count}").sample(range(count), count)
                rows.append(self.pairs.rows[order[place % count]])
            yield critic_batch(self.pairs, rows, self.model, self.weakened)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": 0, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]
