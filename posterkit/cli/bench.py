"""`posterkit bench`: how far pictures, captions and grounds move a judge; the other benches have their own files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from posterkit.arguments import LineParser, whole
from posterkit.cli import bench_identity, bench_layout, bench_posters, bench_safety
from posterkit.cli.bench_identity import folder_name

TRACKS = ("pictures", "captions", "grounds")
SPLITS = ("all", "train", "heldout")


def add_options(command: argparse.ArgumentParser) -> None:
    benches = command.add_subparsers(dest="bench", required=True, metavar="BENCH", parser_class=LineParser)
    what = "How far suggestive pictures, captions and grounds move a judge (CorrelationQA)."
    judge = benches.add_parser("judge", help=what, description=what)
    add = judge.add_argument
    # fmt: off
    add("judge", metavar="JUDGE", help="rules, a vision-language model's folder or URL, or another reward's spec")
    add("-o", "--output", type=Path, metavar="DIR", help="for replies and report (default runs/judges/NAME)")
    add("--questions", type=whole(1), default=76, metavar="N", help="of the pictures and captions (default 76)")
    add("--posters", type=whole(2), default=24, metavar="N", help="of the changing grounds (default 24)")
    add("--seed", type=whole(0), default=0, help="the same seed asks the same (default 0)")
    add("--split", choices=SPLITS, default="all", help="half of the questions alone (default all)")
    add("--tracks", nargs="+", choices=TRACKS, default=list(TRACKS), help="default: all three")
    add("--original", type=Path, metavar="SET", help="a copy of CorrelationQA, in place of our questions")
    add("--model", metavar="NAME", help="the model's name at an endpoint")
    add("--device", help="where a local model runs (default: the best there is)")
    add("--threads", type=whole(1, 64), default=2, metavar="N", help="rows at a time (default 2)")
    # fmt: on
    what = "Planners on drawn requests with true subjects; or PKU PosterLayout's predictions, scored."
    bench_layout.add_options(benches.add_parser("layout", help=what, description=what))
    what = "Harm detectors on held-out lines; or how far a principle may steer a model (CoCA)."
    bench_safety.add_options(benches.add_parser("safety", help=what, description=what))
    bench_posters.add_options(benches)
    what = "Does a critic know what it was shown, and say so where that is not on the poster? (P-Bench)"
    bench_identity.add_options(benches.add_parser("identity", help=what, description=what))


def run(args: argparse.Namespace) -> int:
    """Run the bench, print its figures; exit code 1 where a row has no answer."""
    if args.bench != "judge":
        others = {"layout": bench_layout, "safety": bench_safety, "identity": bench_identity}
        return others.get(args.bench, bench_posters).run(args)
    from posterkit.cli.progress import Counting
    from posterkit.evaluation.judge_bench import JudgeBench
    from posterkit.evaluation.judges import open_judge
    from posterkit.pipelines.loading import quiet_bars
    from posterkit.pipelines.presets import hardware
    from posterkit.rewards.reliability import judge_faults

    quiet_bars()
    out = args.output or Path("runs/judges") / folder_name(args.judge)
    judge = open_judge(args.judge, args.model, str(hardware(args.device).device))
    with Counting() as progress:
        if args.original:
            from posterkit.evaluation.correlation_qa import run_original

            report = run_original(judge, args.original, out, args.threads, progress)
        else:
            bench = JudgeBench(args.questions, args.posters, args.seed, args.split, args.tracks)
            report = bench.run(judge, out, args.threads, progress)
    _print(report)
    for line in [] if args.original else judge_faults(report):
        print(f"over the bounds: {line}")
    print(f"{out}/judge.json")
    return 1 if report["failed"] else 0


def _print(report: dict[str, Any]) -> None:
    """The figures with their intervals, a table for each track."""
    from rich.console import Console
    from rich.table import Table

    failed = f", {report['failed']} without an answer ({'; '.join(report['faults'])})" if report["failed"] else ""
    print(f"{report['judge']}: {report['rows']} rows{failed}")
    for track, figures in report["tracks"].items():
        table = Table(title=track, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for name in ("", "mean", "95 % interval", "over"):
            table.add_column(name, justify="left" if not name else "right")
        for name, found in figures.items():
            if isinstance(found, dict) and "mean" in found:
                table.add_row(name, f"{found['mean']:.3f}", f"{found['low']:.3f} to {found['high']:.3f}",
                              str(found["count"]))  # fmt: skip
        Console().print(table)
        if outcomes := figures.get("outcomes"):
            print("replies: " + ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items())))
