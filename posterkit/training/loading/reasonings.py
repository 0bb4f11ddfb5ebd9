"""Batches for a planner that reasons: rated groups, reasonings to imitate, and briefs to reason about."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from random import Random
from typing import Any, TypeVar

import torch
from PIL import Image

from posterkit.datagen.plan_groups import PlanGroup, PlanGroups, draw_task, numbered_brief, read_groups
from posterkit.generate.plan_executor import PlanTask
from posterkit.layout.reasoning import SYSTEM
from posterkit.rewards.models.plan_rubric import PlanRubric
from posterkit.rewards.plan_rewards import DIMENSIONS
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.config import Count
from posterkit.training.loading.batches import Batch
from posterkit.training.plan_tokenizer import brief_tokenizer
from posterkit.training.protocols import RunView

Item = TypeVar("Item")


@dataclass
class GroupsConfig:
    """
    Attributes:
        path: a file of PosterPlan-Groups (data_tools/build_plan_groups.py) or of TRACELIFT-GROUPS; null draws `count`
            of our own, which no executor has checked.
        count, seed: of drawn ones: how many, and which.
        numbered: briefs name texts by their numbers, see `numbered_brief`.
    """

    path: str | None = None
    count: Count = 1200
    seed: int = 0
    numbered: bool = False


@dataclass
class BriefsConfig:
    """
    Attributes:
        count, seed: drawn briefs to learn from: how many, and which.
        heldout: briefs of the other split, which are answered at the end.
        numbered: briefs name texts by their numbers, see `numbered_brief`.
    """

    count: Count = 400
    seed: int = 0
    heldout: Count = 40
    numbered: bool = False


def open_groups(config: GroupsConfig, run: RunView) -> tuple[list[PlanGroup], list[PlanGroup]]:
    """The groups to learn from, and those held out.

    Raises:
        ValueError: the file holds no groups, has other dimensions, or leaves nothing to learn from or hold out.
        OSError: the file cannot be read.
    """
    if config.path:
        groups = [*read_groups(config.path)]
    else:
        drawn = PlanGroups(config.seed)
        groups = [drawn[number][1] for number in range(max(20, run.config.enough(config.count)))]
    for group in groups:
        if odd := [one for one in (*group.positives, *group.negatives) if set(one.rubric) != set(DIMENSIONS)]:
            raise ValueError(
                f"{config.path}: {group.id} is rated by {', '.join(odd[0].rubric) or 'nothing'}; a rubric of plans "
                f"has {', '.join(DIMENSIONS)}"
            )
    if config.numbered:
        groups = [replace(one, brief=numbered_brief(one.brief)) for one in groups]
    train, heldout = ([one for one in groups if (one.split == "heldout") == held] for held in (False, True))
    if not train or not heldout:
        raise ValueError(f"{config.path}: too few groups: {len(train)} to learn from, {len(heldout)} held out")
    return train, heldout


def open_briefs(config: BriefsConfig, run: RunView) -> tuple[list[PlanTask], list[PlanTask]]:
    """The briefs to learn from, and those held out; they share no picture."""
    first, parts = config.seed * 1_000_000, (("train", config.count), ("heldout", config.heldout))
    train, heldout = (
        [draw_task(first + number, split) for number in range(run.config.enough(count))] for split, count in parts
    )
    if config.numbered:
        train, heldout = ([replace(one, brief=numbered_brief(one.brief)) for one in some] for some in (train, heldout))
    return train, heldout


def words_tokenizer(groups: Sequence[PlanGroup]) -> Any:
    """The tokenizer of small models that are made over the words of some groups."""
    texts = (text for group in groups for text in (group.brief, *(one.reasoning for one in all_of(group))))
    return brief_tokenizer(texts)


def all_of(group: PlanGroup) -> tuple[Any, ...]:
    """The good reasonings of a group, then the flawed ones."""
    return (*group.positives, *group.negatives)


class RubricBatch(Batch):
    """For `rubric_loss`: `labels`; `rows` are the conversations, of each group the good one first."""

    rows: list[torch.Tensor]
    pictures: list[list[Image.Image]]


def rubric_batches(groups: Sequence[PlanGroup], negatives: int, model: PlanRubric, run: RunView) -> ShuffledBatches:
    """Endless batches of groups: a good reasoning each, and some of the flawed ones."""

    def batch_of(chosen: Sequence[PlanGroup], rng: Random) -> RubricBatch:
        rated = []
        for group in chosen:
            flawed = list(group.negatives)
            few = rng.sample(flawed, negatives) if len(flawed) >= negatives else rng.choices(flawed, k=negatives)
            rated += [(group, one) for one in (rng.choice(group.positives), *few)]
        labels = torch.tensor([[one.rubric[name] for name in DIMENSIONS] for _, one in rated])
        batch = RubricBatch({"labels": labels.to(run.device)}, [one.id for one in chosen], ["group"] * len(chosen))
        batch.rows = [model.read(group.brief, one.reasoning) for group, one in rated]
        batch.pictures = _blank(len(chosen))
        return batch

    return ShuffledBatches.of(run, groups, batch_of)


class AnswerBatch(Batch):
    """For `LanguageAdapter.answer_loss`."""

    pictures: list[list[Image.Image]]


def imitation_batches(
    groups: Sequence[PlanGroup], good: float, model: LanguageAdapter, run: RunView
) -> ShuffledBatches:
    """Endless batches of briefs, each with a reasoning about it.

    Args:
        good: how often it is a good one; flawed ones share the rest.
    """
    read = lru_cache(20_000)(partial(model.read, SYSTEM))

    def batch_of(chosen: Sequence[PlanGroup], rng: Random) -> AnswerBatch:
        pools = [group.positives if rng.random() < good else group.negatives for group in chosen]
        said = [rng.choice(pool).reasoning for pool in pools]
        rows = [read(group.brief, one) for group, one in zip(chosen, said, strict=True)]
        tensors = {name: tensor.to(run.device) for name, tensor in model.collate(rows).items()}
        batch = AnswerBatch(tensors, [one.id for one in chosen], ["reasoning"] * len(chosen))
        batch.pictures = _blank(len(chosen))
        return batch

    return ShuffledBatches.of(run, groups, batch_of)


class BriefBatch(Batch):
    """Briefs to reason about; `briefs` are their tasks. It holds no tensors."""

    briefs: list[PlanTask]

    @property
    def pictures(self) -> list[list[Image.Image]]:
        return [[one.picture] for one in self.briefs]


def brief_batches(briefs: Sequence[PlanTask], run: RunView) -> ShuffledBatches:
    """Endless batches of briefs."""

    def batch_of(chosen: Sequence[PlanTask], rng: Random) -> BriefBatch:
        batch = BriefBatch({}, [one.id for one in chosen], ["brief"] * len(chosen))
        batch.briefs = [*chosen]
        return batch

    return ShuffledBatches.of(run, briefs, batch_of)


def _blank(count: int) -> list[list[Image.Image]]:
    return [[Image.new("RGB", (96, 96), "white")] for _ in range(count)]


@dataclass
class ShuffledBatches:
    """Endless batches of items in memory, every epoch in another order; each is decided by the seed and its number.

    Process `rank` of `world` takes every `world`-th batch.

    Args:
        batch_of: makes a batch of items; its random numbers are the batch's own.
    """

    items: Sequence[Any]
    batch_of: Callable[[Sequence[Any], Random], Batch]
    size: int
    seed: int
    rank: int = 0
    world: int = 1
    position: int = 0

    @classmethod
    def of(
        cls, run: RunView, items: Sequence[Item], batch_of: Callable[[Sequence[Item], Random], Batch]
    ) -> ShuffledBatches:
        rank, world = run.accelerator.process_index, run.accelerator.num_processes
        return cls(items, batch_of, run.config.batch_size, run.config.seed, rank, world)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.items)
        while True:
            number = self.position * self.world + self.rank
            self.position += 1
            chosen = []
            for place in range(number * self.size, (number + 1) * self.size):
                order = Random(f"{self.seed} epoch {place // count}").sample(range(count), count)
                chosen.append(self.items[order[place % count]])
            yield self.batch_of(chosen, Random(f"{self.seed} batch {number}"))

    def state_dict(self) -> dict[str, int]:
        return {"epoch": 0, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]
