"""Which cheat scores what under each reward, and which damages to nine sound posters each reward sees.

    OMP_NUM_THREADS=1 python benchmarks/hack_table.py [--count 24] [--fast] [--mini]
    OMP_NUM_THREADS=1 python benchmarks/hack_table.py --damages [--fast] [--cache FOLDER]

Cheats: synthetic held-out posters of all seven tasks, `--count` of each; the means are over the rows that a reward
judges. The second table holds the default composed reward, task by task. `--mini` lets the shipped PosterOmni draw as
well. Damages: for each of `damages.py`, under how many of the nine posters of `damaged_posters.py` a reward gives the
sound poster more by 0.01; "sum" is the default reward of the task whose reference the damage harms. `--cache` keeps
what OCR read. Markdown goes to stdout, the figures to benchmarks/hack_table.json and damage_table.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
from cheats import CHEATS, cheat
from damaged_posters import LayeredPoster, layered_posters
from damages import DAMAGES
from PIL import Image

from posterkit.datasets import SyntheticPosters
from posterkit.generate.draw import at_size, draw
from posterkit.generate.maker import open_pipeline
from posterkit.metrics.expected_texts import request_from_sample
from posterkit.rewards import open_reward
from posterkit.rewards.composition import TEXT, ComposedReward
from posterkit.rewards.parts.preservation import canvas_of
from posterkit.rewards.reward import NOTHING_TO_JUDGE, CachedReward, Reward, RewardResult
from posterkit.schema import PosterRequest, PosterSample
from posterkit.sizing import Size
from posterkit.tasks import TASKS

OUT = Path(__file__).with_suffix(".json")
SIZE, REFERENCES = (416, 608), 288 * 432  # px of a poster, and the area of its references
NATIVE = Size(128, 192)  # px that the shipped model draws at
FINISHED, ANOTHER, MINI = "the finished poster", "another poster", "a mini draw"
RULES, GENERIC = "rules", "generic"
DAMAGES_OUT = OUT.with_name("damage_table.json")
SEEN = 0.01  # a sound poster is ahead by so much
# part -> the task under whose request it judges damaged posters
JUDGED_AS = {
    "text": TEXT, "aesthetics": TEXT, "agreement": TEXT, "identity": "id_driven", "style": "style_driven",
    "layout": "layout_driven", "preservation": "filling", "completion": "id_driven",
}  # fmt: skip
SUMMED = TEXT, "id_driven", "style_driven", "layout_driven"
SOUND, SUM = "sound", "sum"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=24, help="posters of each task")
    parser.add_argument("--fast", action="store_true", help="OCR at its fast setting")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mini", action="store_true", help="let the shipped PosterOmni draw too")
    parser.add_argument("--damages", action="store_true", help="the table of damages and not that of cheats")
    parser.add_argument("--cache", metavar="FOLDER", help="keeps what OCR read of damaged posters")
    given = parser.parse_args()
    if given.damages:
        return damage_table(given.fast, given.cache)
    found: dict[str, dict[str, list[tuple[str, float]]]] = defaultdict(lambda: defaultdict(list))
    with ProcessPoolExecutor(given.workers) as pool:
        asked = [(task, given.count, given.fast, given.mini) for task in (TEXT, *TASKS)]
        for (task, *_), scored in zip(asked, pool.map(_score, asked), strict=True):
            for name, column, values in scored:
                found[name][column] += [(task, value) for value in values]
    means = {name: {column: _mean(values) for column, values in row.items()} for name, row in found.items()}
    tasks = {name: {t: _mean(row[RULES], t) for t in (TEXT, *TASKS)} for name, row in found.items()}
    settings = {"count": given.count, "size": SIZE, "fast": given.fast}
    OUT.write_text(json.dumps({"settings": settings, "rewards": means, "rules by task": tasks}, indent=1) + "\n")
    print(_markdown(means), _markdown(tasks), sep="\n\n")


def damage_table(fast: bool, cache: str | None) -> None:
    """Print and write how many posters' damages each part and the sum see."""
    opened = open_reward(RULES, fast=fast, cache=cache)
    rules = opened.reward if isinstance(opened, CachedReward) else opened
    assert isinstance(rules, ComposedReward)
    posters = layered_posters()
    sound = [worths(rules, poster, poster.image) for poster in posters]
    table = {}
    for name, damage in DAMAGES.items():
        spoilt = [worths(rules, poster, damage.draw(poster, seed)) for seed, poster in enumerate(posters)]
        ahead = {
            column: sum(a[column] - b[column] >= SEEN for a, b in zip(sound, spoilt, strict=True))
            for column in sound[0]
        }
        means = {column: round(fmean(one[column] for one in spoilt), 3) for column in sound[0]}
        table[name] = {"task": damage.task, "for": [*damage.parts], "seen": ahead, "mean": means}
    means = {column: round(fmean(one[column] for one in sound), 3) for column in sound[0]}
    settings = {"posters": [poster.name for poster in posters], "fast": fast, "seen": SEEN}
    DAMAGES_OUT.write_text(json.dumps({"settings": settings, SOUND: means, "damages": table}, indent=1) + "\n")
    columns = [*JUDGED_AS, SUM]
    print("| damage | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|", sep="\n")
    for name, row in table.items():
        sums = f"{SUM} {row['task']}"
        cells = [f"**{row['seen'][one]}**" if one in row["for"] else str(row["seen"][one]) for one in JUDGED_AS]
        print(f"| {name} | " + " | ".join([*cells, f"**{row['seen'][sums]}**"]) + " |")


def worths(rules: ComposedReward, poster: LayeredPoster, image: Image.Image) -> dict[str, float]:
    """Part by part, and the default reward of each task, what a picture in a poster's place is worth."""
    asked = poster.requests
    results = {name: rules.rewards[name]([image], [asked[task]])[0] for name, task in JUDGED_AS.items()}
    known: dict[str, Reward] = {name: _Known(result) for name, result in results.items()}
    whole = ComposedReward(RULES, known, rules.weights, rules.gates)
    sums = {f"{SUM} {task}": whole([image], [asked[task]])[0].value for task in SUMMED}
    return {name: result.value for name, result in results.items()} | sums


class _Known:
    """A part whose result is there already."""

    name = "known"

    def __init__(self, result: RewardResult) -> None:
        self.result = result

    def __call__(self, images: Sequence[Image.Image], requests: Sequence[PosterRequest]) -> list[RewardResult]:
        return [self.result] * len(requests)


def _score(asked: tuple[str, int, bool, bool]) -> list[tuple[str, str, list[float]]]:
    """Cheat, reward, and its worths over the posters of one task."""
    task, count, fast, mini = asked
    drawn = SyntheticPosters(seed=11, size=SIZE, tasks=(task,), split="heldout", reference_area=REFERENCES)
    samples, found = [drawn[number] for number in range(count)], []
    with tempfile.TemporaryDirectory() as folder:
        # every part is asked for once a poster, whichever reward it is in
        composed = {name: open_reward(name, fast=fast) for name in (RULES, GENERIC)}
        for reward in composed.values():
            assert isinstance(reward, ComposedReward)
            reward.rewards = {name: CachedReward(part, folder) for name, part in reward.rewards.items()}
        columns = {**composed[RULES].rewards, **composed}  # type: ignore[attr-defined]
        for name, posters in _posters(samples, mini):
            drawn = zip(samples, posters, strict=True)
            pairs = [(poster, request_from_sample(sample)) for sample, poster in drawn if poster]
            for column, reward in columns.items():
                worths = reward([poster for poster, _ in pairs], [row for _, row in pairs])
                found.append((name, column, [worth.value for worth in worths if worth.why != NOTHING_TO_JUDGE]))
    return found


def _posters(samples: list[PosterSample], mini: bool) -> Iterator[tuple[str, list[Image.Image | None]]]:
    """Name by name, one poster for each sample; None where the task leaves no room for it."""
    yield FINISHED, [Image.fromarray(sample.target) for sample in samples]
    others = [*samples[1:], samples[0]]
    yield ANOTHER, [_keeping(sample, other.target) for sample, other in zip(samples, others, strict=True)]
    if mini and samples[0].task != TEXT:
        yield MINI, _drawn(samples)
    for name in CHEATS:
        posters = [cheat(name, request_from_sample(sample)) for sample in samples]
        if any(posters):
            yield name, posters


def _keeping(sample: PosterSample, picture: np.ndarray) -> Image.Image:
    """A picture in the place of the poster, with the pixels that are kept."""
    row = request_from_sample(sample)
    if row.mask is None:
        return Image.fromarray(picture)
    canvas, made = canvas_of(row)
    return Image.fromarray(np.where(made[..., None], picture, canvas))


def _drawn(samples: list[PosterSample]) -> list[Image.Image | None]:
    pipe, drawn = open_pipeline("mini:posteromni"), []
    for number, sample in enumerate(samples):
        request = replace(at_size(request_from_sample(sample), NATIVE), seed=number)
        made = draw(pipe, [request]).images[0]
        drawn.append(_keeping(sample, np.asarray(made.resize(SIZE, Image.Resampling.BICUBIC))))
    return drawn


def _mean(values: list[tuple[str, float]], task: str | None = None) -> float | None:
    those = [value for of, value in values if task in (None, of)]
    return round(fmean(those), 3) if those else None


def _markdown(table: dict[str, dict[str, float | None]]) -> str:
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in table.items():
        shown = ["–" if (value := row.get(column)) is None else f"{value:.2f}" for column in columns]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
