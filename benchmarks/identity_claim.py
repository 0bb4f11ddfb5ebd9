"""PVIT's lesson at a small size: without negatives a critic never says that something is not there.

    python benchmarks/identity_claim.py --check             # whether the start and both arms of seed 100 learn
    python benchmarks/identity_claim.py --seeds 0 1 2 3 4   # both arms of every seed; goes on where it was stopped
    python benchmarks/identity_claim.py --table

A small Qwen2.5-VL is first taught to see, on identities of its own: what pictures and a poster show, which of the
pictures' things stand on the poster and where, by the pictures' numbers, and what is shown that has a name. From these
weights it learns where a thing stands that it was shown by name, of 200 drawn identities of which 50 are held out,
with one to four references; posters have one thing or two. Two arms of equal steps, as many questions, and one start;
seeds draw their order:

    with      half of the questions have no answer: absent, unknown, look-alike, swapped
    without   none

Measured on held-out identities and names by the table of `posterkit bench identity`. The claim, as the paper's 99.8 to
1.1 on the unanswerable: the arm with negatives is above 0.5 on answerable and on unanswerable questions, and the other
one below 0.05 on absent ones. The rows of `BOUNDS` are means over five seeds with Student's t intervals that hold at
95 % for all rows together; a bound holds where all of the interval does.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from critic_bpo import order, train
from PIL import Image
from replication import paired
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import Tensor

from posterkit.critic.rules import place
from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.identities import SyntheticIdentities, split_of
from posterkit.datagen.identity_questions import (
    ABSENT,
    PLACES,
    UNKNOWN,
    IdentityQuestion,
    IdentityQuestions,
    draw_scene,
    names_of,
)
from posterkit.evaluation.identity_bench import as_markdown, identity_figures, read_answer
from posterkit.image_io import written_whole
from posterkit.pipelines.loading import quiet_bars
from posterkit.sizing import Size
from posterkit.training.small_critic import SmallCritic, make_small_critic

Drawn = tuple[Sequence[Image.Image], dict[str, Any]]  # pictures and what is known of them
RUNS = Path("runs/identity_claim")
SYSTEM = "You know what you were shown."
IDENTITIES, SIZE = 200, Size(96, 96)  # posters are drawn at SIZE
SIDE, POSTER = 56, 112  # sides of references and posters as they are read: four tokens and sixteen, things alike large
DRAWN, TAUGHT, MEASURED, PIECE = 2400, 1100, 240, 240  # questions: to draw, of an arm, of the measure, of a file
LESSONS = (*[("listed", 2e-3)] * 3, *[("matched", 1e-3)] * 2, ("named", 1e-3))  # and the rate of each
SIGHTS, SHOWN, SEEN = 6000, 3000, 500  # drawn for all lessons, shown in one, and steps of each
STEPS, RATE, BATCH = 200, 1e-3, 16
ARMS = ("with", "without")


@dataclass(frozen=True)
class Bound:
    """What an arm's figure is claimed to lie above (1) or below (-1)."""

    arm: str
    figure: str
    value: float
    sign: int


BOUNDS = (
    Bound("with", "answerable", 0.5, 1),
    Bound("with", "unanswerable", 0.5, 1),
    Bound("without", "answerable", 0.5, 1),
    Bound("without", "absent", 0.05, -1),
)


def drawn(name: str, numbers: Sequence[int], draw: Callable[[int], Drawn]) -> list[Drawn]:
    """What `draw` makes of each number: pictures, as they are read, and a row. What was drawn is kept."""
    found: list[Drawn] = []
    for at in range(0, len(numbers), PIECE):
        file = RUNS / "drawn" / f"{name}{at}.safetensors"
        if not file.is_file():
            made = [draw(number) for number in numbers[at : at + PIECE]]
            pictures = {}
            for n, (images, _) in enumerate(made):
                for k, image in enumerate(images):
                    side = POSTER if k == len(images) - 1 else SIDE
                    resized = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
                    pictures[f"{n} {k}"] = np.asarray(resized)
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(file) as temporary:
                save_file(pictures, temporary, {"rows": json.dumps([row for _, row in made])})
        with safe_open(file, "np") as kept:
            counts = Counter(int(name.split()[0]) for name in kept.keys())  # noqa: SIM118  # no mapping
            for n, row in enumerate(json.loads(kept.metadata()["rows"])):
                found.append(([Image.fromarray(kept.get_tensor(f"{n} {k}")) for k in range(counts[n])], row))
    return found


def questions(heldout: bool, count: int) -> list[IdentityQuestion]:
    """Free questions of a split, half of them negatives; the same for every seed."""
    source = IdentityQuestions(SyntheticIdentities(IDENTITIES), 0, SIZE, 0.5, careless=True, questions=("free",))

    def draw(number: int) -> Drawn:
        one = source[number]
        return one.images, {field.name: getattr(one, field.name) for field in fields(one) if field.name != "images"}

    numbers = [n for n in range(4 * count) if (n % 4 == 3) == heldout][:count]
    made = drawn("heldout" if heldout else "train", numbers, draw)
    return [IdentityQuestion(images=tuple(images), **row) for images, row in made]


def sight(number: int, split: str = "train") -> Drawn:
    """One to four pictures of one to three identities and a poster, with all that is true of them.

    Those to learn from are of none of the arms' identities; held-out ones are.

    Of the things on the poster about half were shown before, and a fifth are such a one in another colour.

    Returns:
        the pictures, and by kind of lesson the question and its answer; only `named` has names, and it asks for no
        place.
    """
    taught, rng = split == "train", Random(f"{split} sight {number}")
    pool = SyntheticIdentities(2**20, seed=1) if taught else SyntheticIdentities(IDENTITIES)
    numbers = range(len(pool)) if taught else [n for n in range(IDENTITIES) if split_of(n) == split]
    some: dict[str, int] = {}
    while len(some) < 6:  # that differ in what there is to say of them
        one = rng.choice(numbers)
        some.setdefault(pool.noun(one), one)
    nouns, known = [*some], [*some.values()][: rng.randint(1, 3)]
    owners = sorted([*rng.choices(range(len(known)), k=rng.randint(0, 4 - len(known))), *range(len(known))])
    things: list[tuple[int, Image.Image, bool]] = []
    for other in range(4, 4 + rng.randint(1, 2)):
        kind, owner = rng.choices(("shown", "lookalike", "other"), (5, 2, 3))[0], rng.randrange(len(known))
        if kind == "other" or any(owner == one for one, _, _ in things):
            things.append((other, pool.cutout([*some.values()][other], rng), True))
        elif kind == "shown":
            things.append((owner, pool.cutout(known[owner], rng), True))
        else:
            things.append((owner, pool.lookalike(known[owner], rng), False))
    scene = draw_scene(rng, [picture for _, picture, _ in things], SIZE)
    places = [place((x0 + x1) / 2 / SIZE.width, (y0 + y1) / 2 / SIZE.height) for x0, y0, x1, y1 in scene.boxes]
    there = {one: where for (one, _, true), where in zip(things, places, strict=True) if true}
    names = rng.sample(names_of(split), len(known))
    on_poster = ", ".join(f"{nouns[one]} {where}" for one, where in there.items())
    introduced = " ".join(f"Picture {n} shows {names[owner]}." for n, owner in enumerate(owners, 1))
    listed = " ".join(f"{n} {nouns[owner]}." for n, owner in enumerate(owners, 1))
    lessons = {
        "listed": ("What is there?", f"{listed} Poster: {on_poster}." if on_poster else listed),
        "matched": ("Which are on the poster?",
                    " ".join(f"{n} {nouns[owner]} {there.get(owner, 'no')}." for n, owner in enumerate(owners, 1))),
        "named": (f"{introduced} What are they?",
                  " ".join(f"{name}, {noun}." for name, noun in zip(names, nouns, strict=False))),
    }  # fmt: skip
    images = [pool.references(known[owner], 1, rng)[0] for owner in owners]
    return [*images, scene.picture], lessons


def lesson(number: int) -> list[tuple[Sequence[Image.Image], str, str]]:
    """Pictures, question and answer of each row of a lesson: half of its own kind, the rest of the kinds before."""
    kind, rows = LESSONS[number][0], []
    before = sorted({name for name, _ in LESSONS[:number]} - {kind})
    first = number * SHOWN % SIGHTS
    for at, (images, kinds) in enumerate(drawn("train sight", range(SIGHTS), sight)[first : first + SHOWN]):
        rng = Random(f"{number} {at}")
        rows.append((images, *kinds[kind if not before or rng.random() < 0.5 else rng.choice(before)]))
    return rows


def read(model: TrainedCritic, images: Sequence[Image.Image], prompt: str, answer: str = "") -> dict[str, Tensor]:
    """A question as tensors; of the two equal frames of each picture one is kept, in half precision."""
    row = model.read(SYSTEM, [*images, prompt], answer)
    return {**row, "patches": row["patches"].half().unflatten(1, (3, 2, -1))[:, :, 0]}


def whole(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """A row of `read` as the model takes it."""
    patches = row["patches"].float()
    return {**row, "patches": patches[:, :, None].expand(-1, -1, 2, -1).flatten(1)}


def teach(model: TrainedCritic, rows: Sequence[dict[str, Tensor]], steps: int, rate: float, seed: str) -> float:
    """Fine-tune on rows; the loss at the end."""
    batches = order(seed, len(rows), BATCH)

    def loss_of(step: int) -> Tensor:
        batch = model.collate([whole(rows[n]) for n in next(batches)])
        return (-model.log_probs(batch) / batch["answer"].sum(1)).mean()

    return float(np.mean(train(model, steps, rate, loss_of)[-50:]))


def answers(model: TrainedCritic, asked: Sequence[tuple[Sequence[Image.Image], str]], most: int = 24) -> list[str]:
    said: list[str] = []
    for at in range(0, len(asked), 40):
        said += model.answers([whole(read(model, *one)) for one in asked[at : at + 40]], most)
    return said


def start() -> Path:
    """The critic that was taught to see, from which every arm of every seed begins; each lesson's is kept."""
    source = RUNS / "fresh"
    for number, (kind, rate) in enumerate(LESSONS):
        folder = RUNS / f"lesson{number}"
        if not folder.is_dir():
            if not source.is_dir():
                every = [text for _, kinds in drawn("train sight", range(SIGHTS), sight) for row in kinds.values()
                         for text in row]  # fmt: skip
                words = [SYSTEM, *PLACES, ABSENT, UNKNOWN, *every, *(one.prompt for one in questions(False, 200))]
                make_small_critic(source, [*words, *syllables()], SmallCritic(), 0)
            model, began = TrainedCritic(str(source), area=None), time.perf_counter()
            loss = teach(model, [read(model, *row) for row in lesson(number)], SEEN, rate, str(number))
            print(f"lesson {number}, {kind}: loss {loss:.3f}, {time.perf_counter() - began:.0f} s", flush=True)
            model.save(folder)
            check(model, kind)
        source = folder
    return source


def check(model: TrainedCritic, kind: str) -> None:
    """Print what is seen of held-out identities: the share of right parts of the answers to a kind of lesson."""
    seen = drawn("heldout sight", range(MEASURED), partial(sight, split="heldout"))
    right: dict[str, list[bool]] = {}
    for (_, kinds), said in zip(seen, answers(model, [(one[0], one[1][kind][0]) for one in seen], 48), strict=True):
        given = re.split(r"\. ?", said)
        for at, part in enumerate(re.split(r"\. ?", kinds[kind][1])[:-1]):
            name, end = kind, part
            if kind == "matched":  # the thing's name is a lesson of its own
                end = next((one for one in sorted(PLACES, key=len, reverse=True) if part.endswith(one)), "no")
                name = "not there" if end == "no" else "there"
            right.setdefault(name, []).append(at < len(given) and given[at].endswith(end))
    print({name: f"{np.mean(some):.2f} of {len(some)}" for name, some in right.items()}, flush=True)


def run_seeds(seeds: Sequence[int]) -> None:
    """Both arms of each; what has run is not run again."""
    waiting = [(seed, arm) for seed in seeds for arm in ARMS if not (RUNS / f"seed{seed}" / f"{arm}.json").is_file()]
    if not waiting:
        return
    source, asked, heldout = str(start()), questions(False, DRAWN), questions(True, MEASURED)
    model = TrainedCritic(source, area=None)
    rows = {one.id: read(model, one.images, one.prompt, spoken(one)) for one in asked}
    for seed, arm in waiting:
        began, model = time.perf_counter(), TrainedCritic(source, area=None)
        fit = [one for one in asked if arm == "with" or one.negative is None]
        taught = [rows[one.id] for one in Random(seed).sample(fit, TAUGHT)]
        loss = teach(model, taught, STEPS, RATE, f"{seed} identities")
        said = answers(model, [(one.images, one.prompt) for one in heldout])
        figures = identity_figures(
            heldout, [read_answer(reply, one) for reply, one in zip(said, heldout, strict=True)]
        )
        with written_whole(RUNS / f"seed{seed}" / f"{arm}.json") as temporary:
            temporary.write_text(json.dumps(figures | {"loss": loss}, indent=1) + "\n")
        print(f"seed {seed} {arm}: loss {loss:.3f}, {time.perf_counter() - began:.0f} s")
        print(as_markdown({"judge": f"{arm} negatives", **figures}), flush=True)


def spoken(one: IdentityQuestion) -> str:
    """The answer that arms learn: it says what the name stands for first, so that each part takes one look."""
    name = one.names[-1]
    return one.answer if one.negative == "unknown" else one.answer.replace(name, f"{name}, {one.noun},", 1)


def syllables() -> list[str]:
    """The parts of names, so that those of the held-out split are spelt by what is known."""
    return sorted({part for name in names_of("train") for part in (name[:3], name[3:])})


def value(figures: dict[str, Any], name: str) -> float:
    """A figure of a report: of all answerable or unanswerable questions, or of one kind of negatives."""
    return float(figures["cells"][name]["all"]["mean"])


def table() -> str:
    found = {
        arm: [json.loads(file.read_text()) for file in sorted(RUNS.glob(f"seed[0-4]/{arm}.json"))] for arm in ARMS
    }
    kinds = ("answerable", "unanswerable", "absent", "unknown", "lookalike", "swapped")
    lines = [f"| mean of {len(found['with'])} seeds | {' | '.join(kinds)} | balanced | over-refusal |",
             f"|---|{'---|' * (len(kinds) + 2)}"]  # fmt: skip
    for arm, rows in found.items():
        cells = [[value(row, kind) for row in rows] for kind in kinds]
        cells += [[row[name]["mean"] for row in rows] for name in ("balanced", "over_refusal")]
        shown = [f"{np.mean(cell):.3f} ± {np.std(cell):.3f}" for cell in cells]
        lines.append(f"| {arm} negatives | {' | '.join(shown)} |")
    lines += ["", "| arm | figure | claimed | mean, corrected interval | verdict |", "|---|---|---|---|---|"]
    for bound in BOUNDS:
        values = [value(row, bound.figure) for row in found[bound.arm]]
        one = paired(values, [bound.value] * len(values), len(BOUNDS))
        low, high = one.low + bound.value, one.high + bound.value
        claimed = f"{'above' if bound.sign > 0 else 'below'} {bound.value:g}"
        interval = f"{one.mean + bound.value:.3f} ({low:.3f} to {high:.3f})"
        lines.append(
            f"| {bound.arm} negatives | {bound.figure} | {claimed} | {interval} | {one.verdict(bound.sign)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    quiet_bars()
    torch.set_num_threads(1)
    if args.check:
        run_seeds([100])
    run_seeds(args.seeds)
    if args.table:
        print(table())


if __name__ == "__main__":
    main()
