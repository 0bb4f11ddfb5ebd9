"""Batches of questions about pictures with their true answers, for a critic that learns by fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from PIL import Image

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.engine import Flow, run_flow
from posterkit.datagen.identity_questions import names_of
from posterkit.datasets.dataset import INDEX
from posterkit.datasets.sample_files import Row
from posterkit.training.loading.batches import Batch
from posterkit.training.loading.critic_rows import CriticRows, open_critic_rows
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.protocols import RunView

_KEYS = ("id", "prompt", "answer", "question", "split")


class CriticQuestions(CriticRows):
    """The questions of a folder, of one split."""

    def content(self, row: Row, prompt: str | None = None) -> list[str | Image.Image]:
        """The pictures in their order, then the words."""
        return [*(self.picture_named(row, name) for name in row["images"]), prompt or row["prompt"]]


def open_critic_questions(
    path: str | None, flow: Flow | None, run: RunView, tool: str
) -> tuple[CriticQuestions, CriticQuestions]:
    """The questions to learn from, and those held out.

    Args:
        path: a folder of them; None draws `flow` into `run_dir/set`.
        tool: what makes such a folder, for errors.

    Raises:
        FileNotFoundError, ValueError: as `open_critic_rows`, or a row's names are none.
    """
    folder = Path(path) if path else run.folder / "set"
    if path is None and run.accelerator.is_main_process:
        assert flow is not None
        made = run_flow(flow, folder)
        run.print(f"{folder}: {made.kept} questions drawn")
    run.accelerator.wait_for_everyone()
    train, heldout = open_critic_rows(folder, run, tool, "questions", _KEYS, lambda row: row.get("images"))
    most = len(names_of("train"))
    for row in train:
        names = row.get("names") or []
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names) or len(names) > most:
            raise ValueError(f"{folder / INDEX}: row {row['id']}: its names are no list of at most {most} names")
    return CriticQuestions(folder, train), CriticQuestions(folder, heldout)


def renamed(row: Row, rng: Random) -> tuple[str, str]:
    """The prompt and the answer with other names of the training split, so that a name carries no signal."""
    names: list[str] = list(dict.fromkeys(row.get("names") or ()))
    if not names:
        return row["prompt"], row["answer"]
    others = dict(zip(names, rng.sample(names_of("train"), len(names)), strict=True))
    pattern = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names))
    prompt, answer = (pattern.sub(lambda found: others[found[0]], words) for words in (row["prompt"], row["answer"]))
    return prompt, answer


def answer_batches(questions: CriticQuestions, model: TrainedCritic, system: str, run: RunView) -> PrefetchLoader:
    """Endless batches on the run's device, read ahead; their order and their names follow from the run's seed."""
    rank, world = run.accelerator.process_index, run.accelerator.num_processes
    batches = _Batches(questions, model, system, run.config.batch_size, run.config.seed, rank, world)
    return PrefetchLoader(batches, run.device, "\n".join(f"{row['id']} {row['answer']}" for row in questions.rows))


@dataclass
class _Batches:
    """Every epoch in another order; process `rank` of `world` takes every `world`-th batch."""

    questions: CriticQuestions
    model: TrainedCritic
    system: str
    size: int
    seed: int
    rank: int
    world: int
    position: int = 0

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.questions.rows)
        while True:
            first = (self.position * self.world + self.rank) * self.size
            self.position += 1
            rows: list[Row] = []
            read = []
            for place in range(first, first + self.size):
                order = Random(f"{self.seed} epoch {place // count}").sample(range(count), count)
                row = self.questions.rows[order[place % count]]
                prompt, answer = renamed(row, Random(f"{self.seed} names {place}"))
                rows.append(row)
                system = row.get("system", self.system)
                read.append(self.model.read(system, self.questions.content(row, prompt), answer))
            yield _batch(self.model, rows, read)

    def state_dict(self) -> dict[str, int]:
        return {"epoch": 0, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def _batch(model: TrainedCritic, rows: Sequence[Row], read: list) -> Batch:
    return Batch(model.collate(read), [row["id"] for row in rows], [row["question"] for row in rows])


def answers_to(
    model: TrainedCritic, questions: CriticQuestions, rows: Sequence[Row], system: str, most: int, at_once: int = 16
) -> list[str]:
    """The model's greedy answers to some of the questions."""
    model.module.eval()
    said: list[str] = []
    for at in range(0, len(rows), at_once):
        some = [model.read(row.get("system", system), questions.content(row)) for row in rows[at : at + at_once]]
        said += model.answers(some, most)
    return said
