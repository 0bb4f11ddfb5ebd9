"""PVIT's lesson at a small size: without negatives a critic never says that something is not there.

    python benchmarks/identity_claim.py --check             # whether the start and both arms of seed 100 learn
    python benchmarks/identity_claim.py --seeds 0 1 2 3 4   # both arms of every seed; goes on where it was stopped
    python benchmarks/identity_claim.py --table

A small Qwen2.5-VL is first taught to see, without names: what a picture shows, whether that is on the poster, and
where. From these weights it learns where a thing stands that it was shown by name, of 200 drawn identities of which 50
are held out, with one to four references; posters have one thing or two. Two arms of equal steps, as many questions,
and one start; seeds draw their order:

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
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
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

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.identities import SyntheticIdentities
from posterkit.datagen.identity_questions import (
    ABSENT,
    PLACES,
    UNKNOWN,
    IdentityQuestion,
    IdentityQuestions,
    names_of,
)
from posterkit.evaluation.identity_bench import as_markdown, identity_figures, read_answer
from posterkit.image_io import written_whole
from posterkit.pipelines.loading import quiet_bars
from posterkit.sizing import Size
from posterkit.training.small_critic import SmallCritic, make_small_critic

RUNS = Path("runs/identity_claim")
SYSTEM = "You know what you were shown."
IDENTITIES, SIZE, SIDE = 200, Size(84, 84), 56  # posters are drawn at SIZE; a picture of SIDE has four tokens
DRAWN, TAUGHT, MEASURED, PIECE = 2400, 1100, 240, 240  # questions: to draw, of an arm, of the measure, of a file
LESSONS = (("things", 2e-3), ("things", 2e-3), ("same", 2e-3), ("same", 1e-3))
SEEN = 100  # steps of each lesson
STEPS, RATE, BATCH = 80, 1e-3, 16
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


def questions(heldout: bool, count: int) -> list[IdentityQuestion]:
    """Free questions of a split, half of them negatives; the same for every seed. What was drawn is kept."""
    source = IdentityQuestions(SyntheticIdentities(IDENTITIES), 0, SIZE, 0.5, careless=True, questions=("free",))
    numbers = [n for n in range(4 * count) if (n % 4 == 3) == heldout][:count]
    found: list[IdentityQuestion] = []
    for at in range(0, count, PIECE):
        file = RUNS / "drawn" / f"{'heldout' if heldout else 'train'}{at}.safetensors"
        if not file.is_file():
            drawn = [source[number] for number in numbers[at : at + PIECE]]
            pictures = {f"{n} {k}": np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
                        for n, one in enumerate(drawn) for k, image in enumerate(one.images)}  # fmt: skip
            rows = [{field.name: getattr(one, field.name) for field in fields(one) if field.name != "images"}
                    for one in drawn]  # fmt: skip
            file.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(file) as temporary:
                save_file(pictures, temporary, {"rows": json.dumps(rows)})
        with safe_open(file, "np") as kept:
            for n, row in enumerate(json.loads(kept.metadata()["rows"])):
                count_of = sum(name.startswith(f"{n} ") for name in kept.keys())  # noqa: SIM118  # no mapping
                images = tuple(Image.fromarray(kept.get_tensor(f"{n} {k}")) for k in range(count_of))
                found.append(IdentityQuestion(images=images, **row))
    return found


def lesson(name: str, asked: Sequence[IdentityQuestion], seed: str) -> list[tuple[IdentityQuestion, str, str]]:
    """What the start learns about pictures, without names: a question each, and its answer."""
    made = []
    for one in asked:
        rng = Random(f"{seed} {one.id}")
        if not one.own:
            continue
        number = rng.choice(one.own) + 1
        if name == "things" or rng.random() < 0.2:
            made.append((one, f"What does picture {number} show?", f"{one.noun}."))
        elif one.negative is None and rng.random() < 0.5:
            where = next(place for place in sorted(PLACES, key=len, reverse=True) if place in one.answer)
            made.append((one, f"Where is what picture {number} shows?", f"{where}."))
        else:
            made.append((one, f"Is what picture {number} shows on the poster?", "no." if one.negative else "yes."))
    return made


def read(model: TrainedCritic, one: IdentityQuestion, prompt: str, answer: str = "") -> dict[str, Tensor]:
    """A question as tensors; of the two equal frames of each picture one is kept, in half precision."""
    row = model.read(SYSTEM, [*one.images, prompt], answer)
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


def answers(model: TrainedCritic, asked: Sequence[tuple[IdentityQuestion, str]]) -> list[str]:
    said: list[str] = []
    for at in range(0, len(asked), 40):
        said += model.answers([whole(read(model, *one)) for one in asked[at : at + 40]], 16)
    return said


def start() -> Path:
    """The critic that was taught to see, from which every arm of every seed begins; each lesson's is kept."""
    source = RUNS / "fresh"
    for number, (name, rate) in enumerate(LESSONS):
        folder = RUNS / f"lesson{number}"
        if not folder.is_dir():
            asked = questions(False, DRAWN)
            if not source.is_dir():
                seen = [text for name, _ in LESSONS for row in lesson(name, asked, name) for text in row[1:]]
                words = [SYSTEM, *PLACES, ABSENT, UNKNOWN, *seen, *(one.prompt for one in asked[:200]), *syllables()]
                make_small_critic(source, words, SmallCritic(), 0)
            model, began = TrainedCritic(str(source), area=SIDE * SIDE), time.perf_counter()
            some = Random(number).sample(asked, len(asked))
            rows = [read(model, *row) for row in lesson(name, some, str(number))[: SEEN * BATCH]]
            loss = teach(model, rows, SEEN, rate, str(number))
            print(f"lesson {number}, {name}: loss {loss:.3f}, {time.perf_counter() - began:.0f} s", flush=True)
            model.save(folder)
        source = folder
    return source


def check(folder: Path) -> None:
    """What the start sees of held-out identities: the share of right answers by kind of question."""
    model = TrainedCritic(str(folder), area=SIDE * SIDE)
    model.module.eval()
    asked = lesson("same", questions(True, MEASURED), "check")
    said = answers(model, [row[:2] for row in asked])
    right: dict[str, list[bool]] = {}
    for (_, prompt, answer), reply in zip(asked, said, strict=True):
        right.setdefault(f"{prompt.split()[0]} {answer if answer in ('yes.', 'no.') else ''}", []).append(
            reply == answer
        )
    print(folder.name, {kind: f"{np.mean(some):.2f} of {len(some)}" for kind, some in right.items()})


def run_seeds(seeds: Sequence[int]) -> None:
    """Both arms of each; what has run is not run again."""
    waiting = [(seed, arm) for seed in seeds for arm in ARMS if not (RUNS / f"seed{seed}" / f"{arm}.json").is_file()]
    if not waiting:
        return
    source, asked, heldout = str(start()), questions(False, DRAWN), questions(True, MEASURED)
    model = TrainedCritic(source, area=SIDE * SIDE)
    rows = {one.id: read(model, one, one.prompt, one.answer) for one in asked}
    for seed, arm in waiting:
        began, model = time.perf_counter(), TrainedCritic(source, area=SIDE * SIDE)
        fit = [one for one in asked if arm == "with" or one.negative is None]
        taught = [rows[one.id] for one in Random(seed).sample(fit, TAUGHT)]
        loss = teach(model, taught, STEPS, RATE, f"{seed} identities")
        said = answers(model, [(one, one.prompt) for one in heldout])
        figures = identity_figures(
            heldout, [read_answer(reply, one) for reply, one in zip(said, heldout, strict=True)]
        )
        with written_whole(RUNS / f"seed{seed}" / f"{arm}.json") as temporary:
            temporary.write_text(json.dumps(figures | {"loss": loss}, indent=1) + "\n")
        print(f"seed {seed} {arm}: loss {loss:.3f}, {time.perf_counter() - began:.0f} s")
        print(as_markdown({"judge": f"{arm} negatives", **figures}), flush=True)


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
        check(start())
        run_seeds([100])
    run_seeds(args.seeds)
    if args.table:
        print(table())


if __name__ == "__main__":
    main()
