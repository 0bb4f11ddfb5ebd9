"""One round with a judge's own mistakes: bench, pairs of what misled it, BPO, and the bench's other half.

    python benchmarks/misled_round.py                          # goes on where it was stopped; then the table
    python benchmarks/misled_round.py --beside runs/judges/qwen  # and a report of posterkit bench judge beside it

A small Qwen2.5-VL learns to answer from briefs, on questions beside which a picture or a caption suggests the true
answer in seven of eight rows that suggest one: a judge that was never given a reason to doubt what it is shown. Then
the documented commands, each as its own process:

    posterkit bench judge JUDGE --split train
    data_tools/build_critic_pairs.py --misled
    train/critic_dpo.py
    posterkit bench judge --split heldout    of the judge before, of the judge after, and of the rules

The bench's questions are of seed 0, which no row to learn from has. Steps and rates were set before the first run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

from posterkit.datagen.engine import Flow, run_flow
from posterkit.datasets.sample_files import Row, encoded
from posterkit.evaluation.judge_bench import REPLIES, SYSTEM, JudgeBench, Query, outcome_of, queries_of, read_rows
from posterkit.evaluation.judge_questions import JudgeQuestion, categories, judge_questions
from posterkit.evaluation.statistics import bootstrap

RUNS, ROOT = Path("runs/misled_round"), Path(__file__).resolve().parents[1]
COUNT, QUESTIONS, AREA = 6000, 152, 28 * 28 * 6  # rows to teach by, questions of the bench, pixels that a critic sees
SHARES = {"neutral": 0.2, "factual": 0.7, "misleading": 0.1}
TRACKS = ("pictures", "captions")
FIGURES = ("acc_neutral", "factual", "spurious", "drop", "follow")
TAUGHT = {"max_steps": 2500, "learning_rate": 1e-3, "batch_size": 16, "heldout_questions": 100, "answer_tokens": 12,
          "small.width": 96, "small.layers": 3, "small.vision_width": 96, "small.vision_layers": 2}  # fmt: skip
PREFERRED = {"max_steps": 100, "learning_rate": 3e-4, "batch_size": 16, "beta": 0.1, "image_weight": 0.0}


@dataclass(frozen=True)
class LeadingQuestions:
    """Rows of the judge bench's form by number, of questions that no bench asks."""

    def __getitem__(self, number: int) -> tuple[int, Query]:
        rng, names = Random(f"leading {number}"), len(categories())
        question = _block(number // names)[number % names]
        track = rng.choice(TRACKS)
        condition = rng.choices([*SHARES], [*SHARES.values()])[0]
        return number, rng.choice([one for one in queries_of(question, track) if one.condition == condition])


@lru_cache(4)
def _block(number: int) -> list[JudgeQuestion]:
    return judge_questions(len(categories()), seed=1000 + number)


def encode(numbered: tuple[int, Query]) -> tuple[Row, dict[str, bytes]]:
    """A row of `train/critic_sft.py`."""
    number, query = numbered
    (picture,) = query.images()
    name = f"leading-{number:06d}"
    row = {"id": name, "task": "text", "images": [f"{name}.png"], "system": SYSTEM, "prompt": query.words(),
           "answer": query.question.answer, "question": f"{query.track} {query.condition}",
           "split": "heldout" if number % 20 == 19 else "train", "licence": "CC0-1.0"}  # fmt: skip
    return row, {f"{name}.png": encoded(picture.convert("RGB"))}


def call(done: Path, *command: str, **settings: object) -> None:
    """Run a command of the repository, unless what it leaves is there."""
    if not done.exists():
        overrides = [f"{name}={value}" for name, value in settings.items()]
        subprocess.run([sys.executable, *command, *overrides], cwd=ROOT, check=True)


def bench(judge: str, split: str, seed: int, out: Path) -> Path:
    """A report of the judge bench."""
    asked = ("--split", split, "--questions", str(QUESTIONS), "--seed", str(seed), "--tracks", *TRACKS)
    call(out / "judge.json", "-m", "posterkit", "bench", "judge", judge, *asked, "-o", str(out))
    return out


def go(seed: int) -> dict[str, Path]:
    """The round; the folders of the reports by judge."""
    here, shared = RUNS.absolute() / f"seed{seed}", RUNS.absolute()
    settings = {"tool": "misled_round", "shares": SHARES}
    run_flow(Flow(LeadingQuestions(), COUNT, (), encode, settings, paths=("images",)), shared / "set")
    judge, after = shared / "judge" / "model", here / "after" / "model"
    common = {"area": AREA, "save_every": 500, "log_every": 100, "ema_decay": 0.0, "trainable.weights": "full"}
    call(judge, "train/critic_sft.py", run_dir=judge.parent, **{"data.path": shared / "set"}, **common, **TAUGHT)
    mistakes = bench(str(judge), "train", seed, here / "mistakes")
    call(here / "pairs" / "samples.jsonl", "data_tools/build_critic_pairs.py", "--misled", str(mistakes),
         "--out", str(here / "pairs"))  # fmt: skip
    call(after, "train/critic_dpo.py", run_dir=after.parent, init_from=judge, **{"data.path": here / "pairs"},
         **common, **PREFERRED)  # fmt: skip
    judges = {"rules": "rules", "before": str(judge), "after BPO": str(after)}
    return {name: bench(one, "heldout", seed, here / name.replace(" ", "_")) for name, one in judges.items()}


def table(reports: dict[str, Path]) -> str:
    """The figures of each report, a row each, with 95 % intervals from drawing questions."""
    read = {name: json.loads((folder / "judge.json").read_text(encoding="utf-8")) for name, folder in reports.items()}
    lines = [f"| | {' | '.join(read)} |", f"|---|{'---|' * len(read)}"]
    for track in TRACKS:
        for figure in FIGURES:
            cells = [report["tracks"].get(track, {}).get(figure) for report in read.values()]
            shown = [
                f"{cell['mean']:.3f} ({cell['low']:.3f} to {cell['high']:.3f})" if cell else "–" for cell in cells
            ]
            lines.append(f"| {track}: `{figure}` | {' | '.join(shown)} |")
    return "\n".join(lines)


def changes(before: Path, after: Path, seed: int) -> str:
    """Differences after less before, of the same questions, with 95 % intervals from drawing questions."""
    asked = JudgeBench(QUESTIONS, seed=seed, split="heldout", tracks=TRACKS).queries
    replies = [read_rows(folder / REPLIES) for folder in (before, after)]
    lines = [
        "| after less before | right beside what misleads | followed | right beside the neutral |",
        "|---|---|---|---|",
    ]
    for track in TRACKS:
        cells = []
        for condition, outcome in (("misleading", "right"), ("misleading", "followed"), ("neutral", "right")):
            found: dict[str, list[float]] = {}
            for query in asked:
                if (query.track, query.condition) == (track, condition):
                    one, other = (outcome_of(query, kept[query.id]) == outcome for kept in replies)
                    found.setdefault(query.question.id, []).append(float(other) - float(one))
            change = bootstrap([sum(some) / len(some) for some in found.values()])
            cells.append(f"{change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})")
        lines.append(f"| {track} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the bench (default 0)")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], metavar="DIR", help="other reports to show")
    args = parser.parse_args()
    reports = go(args.seed)
    print(table(reports | {folder.name: folder for folder in args.beside}))
    print(f"\n{changes(reports['before'], reports['after BPO'], args.seed)}")


if __name__ == "__main__":
    main()
