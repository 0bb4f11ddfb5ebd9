"""`posterkit bench identity JUDGE`: does a critic know what it was shown, and say so where that is not there?"""

from __future__ import annotations

import argparse
from pathlib import Path

from posterkit.arguments import whole


def add_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    # fmt: off
    add("judge", metavar="JUDGE", help="a vision-language model's folder or URL, or a reward such as identity")
    add("-o", "--output", type=Path, metavar="DIR", help="for replies and report (default runs/identity/NAME)")
    add("--questions", type=whole(8), default=400, metavar="N", help="half of them without an answer (default 400)")
    add("--identities", type=whole(8), default=200, metavar="N", help="drawn ones, a quarter held out (default 200)")
    add("--folder", type=Path, metavar="DIR", help="your own: a sub-folder of photographs for each identity")
    add("--kind", choices=("product", "mascot", "logo", "person"), default="product", help="of your own")
    add("--consent", default="", metavar="WORDS", help="where the consent to the pictures is kept; persons need it")
    add("--seed", type=whole(0), default=0, help="the same seed asks the same (default 0)")
    add("--model", metavar="NAME", help="the model's name at an endpoint")
    add("--device", help="where a local model runs (default: the best there is)")
    add("--threads", type=whole(1, 64), default=2, metavar="N", help="rows at a time (default 2)")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Run the bench, print its table; exit code 1 where a row has no answer."""
    from posterkit.cli.progress import Counting
    from posterkit.datagen.identities import FolderIdentities, SyntheticIdentities
    from posterkit.evaluation.identity_bench import IdentityBench, as_markdown
    from posterkit.evaluation.judges import open_judge
    from posterkit.pipelines.loading import quiet_bars
    from posterkit.pipelines.presets import hardware

    quiet_bars()
    if args.judge == "rules":
        raise ValueError("the rules know no names; take identity, the reward by rules, or a vision-language model")
    pool = (FolderIdentities(args.folder, args.kind, args.consent) if args.folder else
            SyntheticIdentities(args.identities, args.seed))  # fmt: skip
    judge = open_judge(args.judge, args.model, str(hardware(args.device).device))
    out = args.output or Path("runs/identity") / folder_name(args.judge)
    with Counting() as progress:
        report = IdentityBench(pool, args.questions, args.seed).run(judge, out, args.threads, progress)
    print(as_markdown(report))
    if report["failed"]:
        print(f"{report['failed']} of {report['rows']} rows have no answer ({'; '.join(report['faults'])})")
    if (threshold := report.get("threshold")) is not None:
        print(f"it is there from {threshold:.3f} on, by one half of the questions; the other half is reported")
    print(f"{out}/identity.json")
    return 1 if report["failed"] else 0


def folder_name(spec: str) -> str:
    """A judge's spec as the name of a folder."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in spec)
