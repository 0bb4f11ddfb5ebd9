"""PVIT's lesson at a small size: without negatives a critic never says that something is not there.

    python benchmarks/identity_claim.py --seeds 0 1 2 3 4   # both arms of every seed; goes on where it was stopped
    python benchmarks/identity_claim.py --table

A small Qwen2.5-VL learns where a thing stands that it was shown by name, of 200 drawn identities of which 50 are held
out, with one to four references; posters have one thing or two. Two arms of equal steps, the same order and start:

    with      two questions in five have no answer: absent, unknown, look-alike, swapped
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from critic_bpo import order, train
from replication import paired
from torch import Tensor

from posterkit.critic.trained import TrainedCritic
from posterkit.datagen.identities import SyntheticIdentities
from posterkit.datagen.identity_questions import (
    ABSENT,
    PLACES,
    SYSTEM,
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
IDENTITIES, SIZE, AREA = 200, Size(84, 84), 84 * 84  # nine tokens for a picture
TAUGHT, MEASURED = 3000, 240  # questions; of the last, half are negatives
STEPS, RATE, BATCH = 2000, 1e-3, 16
ARMS = {"with": 0.4, "without": 0.0}


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


def questions(negatives: float, heldout: bool, count: int) -> list[IdentityQuestion]:
    """Free questions of a split; the same for every seed of the training."""
    pool = SyntheticIdentities(IDENTITIES)
    source = IdentityQuestions(pool, 0, SIZE, negatives, careless=True, questions=("free",))
    numbers = range(3, 4 * count, 4) if heldout else (n for n in range(4 * count) if n % 4 != 3)
    return [source[number] for _, number in zip(range(count), numbers, strict=False)]


def read(model: TrainedCritic, one: IdentityQuestion, answer: str = "") -> dict[str, Tensor]:
    """A question as tensors; of the two equal frames of each picture one is kept, in half precision."""
    row = model.read(SYSTEM, [*(image.convert("RGB") for image in one.images), one.prompt], answer)
    return {**row, "patches": row["patches"].half().unflatten(1, (3, 2, -1))[:, :, 0]}


def whole(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """A row of `read` as the model takes it."""
    patches = row["patches"].float()
    return {**row, "patches": patches[:, :, None].expand(-1, -1, 2, -1).flatten(1)}


def run_seed(seed: int) -> None:
    heldout = None
    for arm, negatives in ARMS.items():
        file = RUNS / f"seed{seed}" / f"{arm}.json"
        if file.is_file():
            continue
        start = time.perf_counter()
        asked = questions(negatives, False, TAUGHT)
        heldout = heldout or questions(0.5, True, MEASURED)
        words = [SYSTEM, *PLACES, ABSENT, UNKNOWN, *(one.prompt for one in asked[:200]), *syllables()]
        fresh = make_small_critic(RUNS / f"seed{seed}" / "fresh", words, SmallCritic(), seed)
        model = TrainedCritic(str(fresh), area=AREA)
        rows = [read(model, one, one.answer) for one in asked]
        made = time.perf_counter() - start
        batches = order(f"{seed} identities", len(rows), BATCH)

        def loss_of(step: int) -> Tensor:
            batch = model.collate([whole(rows[n]) for n in next(batches)])  # noqa: B023  # called within the round
            return (-model.log_probs(batch) / batch["answer"].sum(1)).mean()  # noqa: B023

        losses = train(model, STEPS, RATE, loss_of)
        said: list[str] = []
        for at in range(0, len(heldout), 40):
            said += model.answers([whole(read(model, one)) for one in heldout[at : at + 40]], 16)
        outcomes = [read_answer(reply, one) for reply, one in zip(said, heldout, strict=True)]
        figures = identity_figures(heldout, outcomes)
        with written_whole(file) as temporary:
            temporary.write_text(json.dumps(figures | {"loss": float(np.mean(losses[-50:]))}, indent=1) + "\n")
        spent = time.perf_counter() - start
        print(f"seed {seed} {arm}: loss {np.mean(losses[-50:]):.3f}, {made:.0f} s to draw, {spent:.0f} s in all")
        print(as_markdown({"judge": f"{arm} negatives", **figures}))


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
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    quiet_bars()
    torch.set_num_threads(1)
    for seed in args.seeds:
        run_seed(seed)
    if args.table:
        print(table())


if __name__ == "__main__":
    main()
