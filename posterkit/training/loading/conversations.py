"""Batches of conversations for a planner, made anew from planned requests at every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from PIL import Image

from posterkit.datagen.planned_requests import PlannedRequest, planned_requests, read_planned, write_planned
from posterkit.datagen.planner_conversations import KINDS, Conversation, conversation
from posterkit.layout.ground import Ground
from posterkit.layout.planners.questions import SYSTEM, read_boxes
from posterkit.layout.planners.retrieval_planner import shipped_index
from posterkit.layout.retrieval import ExemplarIndex
from posterkit.layout.types import Element, Layout
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.config import Count, Seed, Share
from posterkit.training.loading.batches import Batch
from posterkit.training.protocols import RunView
from posterkit.typeset.template import template_picture

_POOL = 8  # batches that are filled by length, so that little of them is padding


@dataclass
class PlansConfig:
    """
    Attributes:
        path: a file of planned requests; null plans `count` drawn ones into `run_dir/plans.jsonl`.
        count, seed: of drawn ones: how many, and which.
        heldout: share of the requests that nothing is learnt from.
        coarse: share of the conversations; the three stages share the rest.
        exemplars: shown in a question.
    """

    path: str | None = None
    count: Count = 6000
    seed: Seed = 0
    heldout: Share = 0.05
    coarse: Share = 0.4
    exemplars: Count = 2


def open_plans(config: PlansConfig, run: RunView) -> tuple[list[PlannedRequest], list[PlannedRequest]]:
    """The requests to learn from, and those held out.

    Raises:
        ValueError: there are too few, or the file holds no planned requests.
        OSError: the file cannot be read.
    """
    path = Path(config.path) if config.path else run.folder / "plans.jsonl"
    count, first = run.config.enough(config.count), config.seed * 10_000_000
    if config.path is None and run.config.dry_run:
        rows = [*planned_requests(count, first)]
    else:
        if config.path is None and run.accelerator.is_main_process and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            run.print(f"{path}: {write_planned(planned_requests(count, first), path)} of {count} requests planned")
        run.accelerator.wait_for_everyone()
        rows = read_planned(path)
    cut = max(1, round(config.heldout * len(rows)))
    if len(rows) <= cut:
        raise ValueError(f"{path}: {len(rows)} planned requests; some are held out, and none is left to learn from")
    return rows[:-cut], rows[-cut:]


class ConversationBatch(Batch):
    """For `LanguageAdapter.answer_loss`; `tasks` are the kinds of the questions."""

    conversations: list[Conversation]

    @property
    def pictures(self) -> list[list[Image.Image]]:
        """The answers drawn, for a look at the batch."""
        found = []
        for one in self.conversations:
            boxes, _ = read_boxes(one.answer, one.request, Ground(one.request), "answer")
            elements = (Element(at, "", "image", box) for at, box in boxes.items())
            found.append([template_picture(Layout(*one.request.size, tuple(elements)))])
        return found

    def to(self, device: torch.device) -> ConversationBatch:
        moved = ConversationBatch({name: tensor.to(device) for name, tensor in self.items()}, self.ids, self.tasks)
        moved.conversations = self.conversations
        return moved


def conversation_batch(said: Sequence[Conversation], ids: Sequence[str], model: LanguageAdapter) -> ConversationBatch:
    """Conversations as one batch."""
    rows = [model.read(SYSTEM, one.question, one.answer) for one in said]
    batch = ConversationBatch(model.collate(rows), list(ids), [one.kind for one in said])
    batch.conversations = list(said)
    return batch


def conversation_batches(
    plans: Sequence[PlannedRequest], config: PlansConfig, model: LanguageAdapter, run: RunView
) -> ConversationBatches:
    """Endless batches; each is decided by the run's seed and its number."""
    rank, world = run.accelerator.process_index, run.accelerator.num_processes
    return ConversationBatches(plans, config, model, run.config.batch_size, run.config.seed, rank, world, run.device)


@dataclass
class ConversationBatches:
    """Process `rank` of `world` takes every `world`-th batch; conversations of about one length share a batch."""

    plans: Sequence[PlannedRequest]
    config: PlansConfig
    model: LanguageAdapter
    size: int
    seed: int
    rank: int
    world: int
    device: torch.device
    position: int = 0
    index: ExemplarIndex = field(default_factory=shipped_index)
    _epoch: int = -1
    _order: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[ConversationBatch]:
        made = -1
        pool: list[list[tuple[int, Conversation]]] = []
        while True:
            number = self.position * self.world + self.rank
            self.position += 1
            if number // _POOL != made:
                made = number // _POOL
                pool = self._pool(made)
            ids, said = zip(*pool[number % _POOL], strict=True)
            yield conversation_batch(said, [str(one) for one in ids], self.model).to(self.device)

    def _pool(self, at: int) -> list[list[tuple[int, Conversation]]]:
        """Several batches, filled by length, in any order."""
        count = _POOL * self.size
        drawn = [self._drawn(number) for number in range(at * count, (at + 1) * count)]
        drawn.sort(key=lambda one: len(one[1].request.elements) + 0.5 * (one[1].kind != KINDS[0]))
        batches = [drawn[first : first + self.size] for first in range(0, count, self.size)]
        return Random(f"{self.seed} pool {at}").sample(batches, _POOL)

    def _drawn(self, number: int) -> tuple[int, Conversation]:
        """Conversation `number` of the endless row, and which request it is of; every epoch has another order."""
        epoch, place = divmod(number, len(self.plans))
        if epoch != self._epoch:
            order = Random(f"{self.seed} epoch {epoch}").sample(range(len(self.plans)), len(self.plans))
            self._epoch, self._order = epoch, order
        rng, which = Random(f"{self.seed} conversation {number}"), self._order[place]
        kind = KINDS[0] if rng.random() < self.config.coarse else rng.choice(KINDS[1:])
        return which, conversation(self.plans[which], kind, self.index, self.config.exemplars, rng)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": 0, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]
