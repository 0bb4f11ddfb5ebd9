"""Pairs of posters, or of requests, of which one is better, for reward models (PosterOmni section 3.4).

Judged pairs come from a set that `data_tools/mine_preferences.py` wrote. All others are free: a good poster and a
variant that is known to be worse. Judgement n of a set follows from the seed and n alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from posterkit.datagen import weakening
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.prompts import quoted_texts
from posterkit.rewards.models.reward_model import RewardModel
from posterkit.schema import PosterRequest, PosterSample
from posterkit.training.loading.batches import Batch
from posterkit.training.loading.good_posters import ON_LINES, GoodPosters
from posterkit.training.loading.misspelling import misspelt
from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.protocols import RunView

_TRIES = 50


@dataclass
class Kinds:
    """How often each kind of pair is drawn, relative to the others: what the rejected side is.

    Attributes:
        candidates: the poster that was judged worse.
        unedited: the input as it was.
        wrong_task: a poster for another task.
        wrong_text, text_error: the same poster, its request with another text, or with one other character.
        noise: the poster under BPO's diffusion noise.
        illegible, text_blur, text_mask: it with all of it reduced, or its lines of text blurred, or covered.
        misspelt: it with two letters of a word exchanged.
        blank: a canvas of its mean colour.
    """

    candidates: float = 0.0
    unedited: float = 0.0
    wrong_task: float = 0.0
    wrong_text: float = 0.0
    text_error: float = 0.0
    noise: float = 0.0
    illegible: float = 0.0
    text_blur: float = 0.0
    text_mask: float = 0.0
    misspelt: float = 0.0
    blank: float = 0.0

    def check(self) -> None:
        """Raise ValueError for shares that cannot be drawn from."""
        for name, share in vars(self).items():
            if not 0 <= share < float("inf"):
                raise ValueError(f"kinds.{name} takes a share of at least 0, got {share}")
        if not any(vars(self).values()):
            raise ValueError(f"kinds leaves nothing to learn from; it takes shares of {', '.join(KINDS)}")


KINDS = tuple(vars(Kinds()))


class Side(NamedTuple):
    """A poster, uint8 `(H, W, 3)`, and the request that it answers."""

    request: PosterRequest
    poster: np.ndarray


@dataclass(frozen=True)
class Judgement:
    """One of two sides is better; `why` says what is wrong with the rejected one.

    `kind` is one of `KINDS`; "candidates" were judged, the others are free.
    """

    id: str
    kind: str
    chosen: Side
    rejected: Side
    why: str


class Judgements:
    """Judgement n of good posters; ValueError where no kind is left.

    `shares` are of the kinds that something can be made of; the others are `missing`. `evenly` takes the kinds in
    turn, whatever their shares, as for posters that are held out.
    """

    def __init__(self, good: GoodPosters, kinds: Kinds, seed: int, evenly: bool = False) -> None:
        self.good, self.seed, self.evenly = good, seed, evenly
        shares = {kind: share for kind, share in vars(kinds).items() if share > 0}
        self.fit = {kind: numbers for kind in shares if (numbers := good.fit(kind))}
        for kind in self.fit.keys() & set(ON_LINES):
            if not any(self._make(kind, number, Random(0)) for number in self.fit[kind][:_TRIES]):
                del self.fit[kind]  # no poster bears lines that can be spoilt
        self.missing = [kind for kind in shares if kind not in self.fit]
        self.shares = {kind: shares[kind] for kind in self.fit}
        if not self.shares:
            raise ValueError(f"no pair of the kinds {', '.join(shares)} can be made of this set")

    def __getitem__(self, number: int) -> Judgement:
        """Judgement `number`.

        Raises:
            ValueError: a picture is damaged, or no text can be found on many posters whose texts are to be spoilt.
        """
        rng = Random(f"{self.seed} judgement {number}")
        names = list(self.shares)
        kind = names[number % len(names)] if self.evenly else rng.choices(names, list(self.shares.values()))[0]
        for _ in range(_TRIES):  # a poster on which no line is read is replaced by another one
            if made := self._make(kind, rng.choice(self.fit[kind]), rng):
                return made
        raise ValueError(f"kinds.{kind}: none of {_TRIES} posters bears a text that could be spoilt; leave it out")

    def _make(self, kind: str, number: int, rng: Random) -> Judgement | None:
        sample, worse = self.good.read(number)
        request = replace(request_from_sample(sample), instruction=sample.instruction or sample.caption)
        right = Side(request, sample.target)
        if worse is not None and kind == "candidates":
            gap = self.good.rows[number].get("gap")
            wrong = Side(request, worse.target), "judged worse" if gap is None else f"judged worse by {gap:g}"
        elif kind == "unedited":
            wrong = Side(request, np.asarray(request.inputs()[0])), "the input as it was"
        elif kind == "wrong_task":
            task = rng.choice([task for task in self.good.of_task if task != sample.task])
            other, _ = self.good.read(rng.choice(self.good.of_task[task]))
            wrong = Side(request, other.target), f"a poster for {task}, not {sample.task}"
        elif kind in ("wrong_text", "text_error"):
            wrong = self._misquoted(kind, number, right, rng)
        else:
            wrong = self._weakened(kind, number, sample, request, rng)
        return wrong and Judgement(sample.id, kind, right, *wrong)

    def _misquoted(self, kind: str, number: int, right: Side, rng: Random) -> tuple[Side, str] | None:
        """The same poster for a request with another text than it shows."""
        texts, place, what = self.good.quotes[number], 0, "text"
        if kind == "wrong_text":
            text = rng.choice([title for title in self.good.titles if title != texts[0]])
        else:
            place = rng.choice(self.good.changeable(number))
            text, what = weakening.text_error(rng, texts[place], self.good.letters) or ("", "")
        prompt = weakening.requote(right.request.as_instruction(), place, text)
        if prompt is None:
            return None
        request = replace(right.request, instruction=prompt, texts=tuple(quoted_texts(prompt)))
        return Side(request, right.poster), f'wrong {what}: asked for "{text}", shows "{texts[place]}"'

    def _weakened(
        self, kind: str, number: int, sample: PosterSample, request: PosterRequest, rng: Random
    ) -> tuple[Side, str] | None:
        poster = sample.target
        if kind == "noise":
            step = rng.choice(weakening.NOISE_STEPS)
            return Side(request, weakening.noised(poster, step, rng.randrange(2**32))), f"noise at t = {step}"
        if kind == "blank":
            return Side(request, weakening.blank(poster)), "blank"
        texts = self.good.lines(number, sample)
        if kind == "misspelt":
            made = misspelt(rng, poster, texts)
            return made and (Side(request, made[0]), f"misspelt: {made[1]}")
        lines = [line.box for line in texts]
        if not lines:
            return None
        if kind == "illegible":
            made, (width, height) = weakening.illegible(poster, lines)
            return Side(request, made), f"reduced to {width}x{height}: no text can be read"
        if kind == "text_blur":
            return Side(request, weakening.text_blurred(poster, lines)), f"blurred lines of text: {len(lines)}"
        return Side(request, weakening.text_masked(poster, lines)), f"covered lines of text: {len(lines)}"


class JudgedBatch(Batch):
    """For `RewardModel.score`: the chosen sides, then the rejected ones in the same order; `tasks` are the kinds."""

    pictures: list[list[Image.Image]]  # both sides of each pair

    def to(self, device: torch.device) -> JudgedBatch:
        moved = JudgedBatch({name: tensor.to(device) for name, tensor in self.items()}, self.ids, self.tasks)
        moved.pictures = self.pictures
        return moved


def judged_batches(judgements: Judgements, model: RewardModel, run: RunView) -> PrefetchLoader:
    """Endless batches on the run's device, read ahead; their order follows from the run's seed."""
    rank, world = run.accelerator.process_index, run.accelerator.num_processes
    batches = JudgedBatches(judgements, model, run.config.batch_size, rank, world)
    content = "\n".join(str(row["id"]) for row in judgements.good.rows)
    return PrefetchLoader(batches, run.device, f"{judgements.shares} {content}")


class JudgedBatches:
    """Endless batches of judgements; process `rank` of `world` takes every `world`-th one."""

    def __init__(self, judgements: Judgements, model: RewardModel, size: int, rank: int, world: int) -> None:
        self.judgements, self.model, self.size, self.rank, self.world = judgements, model, size, rank, world
        self.position = 0

    def __iter__(self) -> Iterator[JudgedBatch]:
        while True:
            first = (self.position * self.world + self.rank) * self.size
            self.position += 1
            yield self.batch([self.judgements[number] for number in range(first, first + self.size)])

    def batch(self, pairs: list[Judgement]) -> JudgedBatch:
        sides = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        tensors = self.model.collate([self.model.read(request, Image.fromarray(made)) for request, made in sides])
        batch = JudgedBatch(tensors, [pair.id for pair in pairs], [pair.kind for pair in pairs])
        batch.pictures = [[Image.fromarray(side.poster) for side in (pair.chosen, pair.rejected)] for pair in pairs]
        return batch

    def state_dict(self) -> dict[str, int]:
        return {"epoch": 0, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]
