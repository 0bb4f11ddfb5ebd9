"""Pairs of a nano model's posters, judged by how near they come to what was asked for: for a reward model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from glyph_posters import GlyphPosters
from mini_report import draw
from nano_measures import Picture, distance, made_of, pipeline_of
from PIL import Image

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datagen.preferences import RankedCandidates, ScoredCandidate, encode_pair
from posterkit.datagen.requests import SetRequest
from posterkit.rewards import RewardResult
from posterkit.schema import PosterSample
from posterkit.tasks import TASKS
from posterkit.training.stages import open_start

OF_TASK, HELD_OUT, OF_EACH, STEPS = 128, 24, 4, 6  # wishes of each task, those held out; posters of each; of sampling
LEAST = 1.0  # Lab; where the best and the worst poster lie no further apart there is no pair
ORACLE = "distance from the poster asked for"  # in place of the annotators


def make_candidates(start: str, folder: Path) -> None:
    """A set of pairs of a model's posters, as `data_tools/mine_preferences.py` writes it."""
    ranked = [found for found in _ranked(start) if found.best.quality - found.worst.quality > LEAST]
    settings = {"tool": "nano candidates", "start": start}
    run_flow(Flow(ranked, len(ranked), (), partial(encode_pair, model="nano"), settings), folder)


def _ranked(start: str) -> Iterator[RankedCandidates]:
    pipe = pipeline_of(open_start(start, "posteromni"))
    for task in TASKS:
        sources = GlyphPosters(20, (task,)), GlyphPosters(20, (task,), "heldout")
        samples = [sources[0][number] for number in range(OF_TASK)] + [sources[1][n] for n in range(HELD_OUT)]
        wishes = [sample for sample in samples for _ in range(OF_EACH)]
        options = {"batch": 32, "seed": 0, "steps": STEPS}
        drawn = draw(pipe, task, wishes, [list(wish.references) for wish in wishes], options)
        for number, sample in enumerate(samples):
            yield _rank(sample, drawn[number * OF_EACH : (number + 1) * OF_EACH])


def _rank(sample: PosterSample, posters: list[Picture]) -> RankedCandidates:
    far = [distance(poster, sample.target, made_of(sample)) for poster in posters]
    result = RewardResult(0.0)
    found = [ScoredCandidate(n, Image.fromarray(one), 0, result, -far[n]) for n, one in enumerate(posters)]
    request = SetRequest(
        sample.words or "",
        task=sample.task,
        images=sample.references,
        mask=sample.mask,
        id=sample.id,
        instruction=sample.instruction,
        caption=sample.instruction,
        placed=sample.placed,
        theme="glyphs",
        split=sample.split,
        source="synthetic",
        licence="CC0-1.0",
    )
    return RankedCandidates(request, tuple(sorted(found, key=lambda one: -one.quality)), ORACLE, ORACLE)
