"""`posterkit bench posteromni`, `postercraft` and `study`: posters scored row by row, and compared by people."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posterkit.arguments import LineParser, typed, whole
from posterkit.cli import options
from posterkit.sizing import Size

if TYPE_CHECKING:
    from posterkit.evaluation.bench_rows import BenchRow

BENCHES = {
    "posteromni": "PosterOmni-Bench's make-up: six tasks, six themes, Chinese and English; any system's posters.",
    "postercraft": "PosterCraft's figures of the lettering, on prompts of three lengths; any system's posters.",
}
_MODEL = ("model", "transformer", "lora", "preset", "device", "dtype", "sampler")
_share = typed(float, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def _size(text: str) -> Size:
    width, _, height = text.partition("x")
    return Size(int(width), int(height))


def add_options(benches: Any) -> None:
    """The three benches as sub-commands."""
    for name, what in BENCHES.items():
        command = benches.add_parser(name, help=what, description=what)
        add = command.add_argument
        # fmt: off
        add("-o", "--output", type=Path, metavar="DIR", help=f"posters, scores, report (default runs/{name})")
        add("--rows", type=whole(1), metavar="N", help="the first N (default: as many as the paper has)")
        add("--seed", type=whole(0), default=0, help="the same seed asks for the same (default 0)")
        add("--size", type=typed(_size, "WIDTHxHEIGHT of at least 64x64", lambda size: min(size) >= 64),
            default=Size(832, 1216), metavar="WxH", help="of the posters (default 832x1216)")
        add("--posters", type=Path, metavar="FOLDER", help="score these, by any system; nothing is drawn")
        add("--by", metavar="NAME", help="what made them, for the tables (default: the folder's name)")
        add("--judge", default="rules", metavar="SPEC",
            help="who says how well the task was done: rules (default), a vision-language model's folder or URL")
        add("--judge-model", metavar="NAME", help="the judge's name at an endpoint")
        add("--judge-report", metavar="FILE", help="of posterkit bench judge, where it does not lie beside the judge")
        add("--weight", type=_share, default=0.5, metavar="X", help="of completion in overall (default 0.5)")
        add("--against", type=Path, action="append", default=[], metavar="DIR",
            help="another report, for paired differences; repeat for more")
        add("--export", type=Path, metavar="DIR", help="write rows and references for another system, and stop")
        add("--threads", type=whole(1, 64), default=1, metavar="N", help="rows at a time (default 1)")
        add("--steps", type=whole(1, 1000), help="denoising steps (default: the checkpoint's)")
        add("--draw-text", action="store_true", help="let the model draw the texts; mini typesets them else")
        # fmt: on
        options.add_model_options(command)
    what = "A page on which people choose between two systems' posters; or their votes, counted."
    study: LineParser = benches.add_parser("study", help=what, description=what)
    add = study.add_argument
    # fmt: off
    add("first", type=Path, metavar="DIR", help="a finished bench")
    add("second", type=Path, metavar="DIR", help="another one with the same rows")
    add("-o", "--output", type=Path, default=Path("study.html"), metavar="FILE", help="(default study.html)")
    add("--pairs", type=whole(1), default=50, metavar="N", help="at most so many (default 50)")
    add("--seed", type=whole(0), default=0, help="which pairs, and which side each stands on (default 0)")
    add("--votes", type=Path, nargs="+", metavar="FILE", help="count these votes; no page is written")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Run a bench or a study; exit code 1 where a row has no score."""
    if args.bench == "study":
        return _study(args)
    from posterkit.evaluation.bench_rows import PUBLISHED_ROWS
    from posterkit.evaluation.poster_bench import PosterBench, compare, open_poster_judge, read_report
    from posterkit.evaluation.poster_tables import as_markdown, differences_as_markdown

    given = {name: getattr(args, name) for name in _MODEL if getattr(args, name) is not None}
    if args.posters and (args.draw_text or {*given} - {"device"}):
        raise ValueError("--posters scores finished posters; options of a model do not go with it")
    others = [read_report(folder) for folder in args.against]
    bench = PosterBench(args.bench, args.rows or PUBLISHED_ROWS[args.bench], args.seed, args.size, args.weight)
    if args.export:
        return _export(bench.rows, args.export)
    from posterkit.cli.progress import Counting
    from posterkit.pipelines.presets import hardware

    device = str(hardware(args.device).device)
    judge = open_poster_judge(args.judge, args.judge_model, device, args.judge_report)
    out = args.output or Path("runs") / args.bench
    by = args.by or (args.posters.resolve().name if args.posters else args.transformer or args.model or "mini")
    draw = None if args.posters else _drawing(args, given)
    with Counting() as progress:
        report = bench.run(judge, out, draw, args.posters, by, args.threads, progress)
    print(as_markdown([report, *others]))
    for other in others:
        print("\n" + differences_as_markdown(report["by"], other["by"], compare(report, other)))
    print(f"\n{out}/report.json")
    return 1 if report["failed"] else 0


def _drawing(args: argparse.Namespace, given: dict[str, Any]) -> Any:
    from dataclasses import replace

    from posterkit.generate.maker import PosterMaker

    maker = PosterMaker(**given, **({"draw_text": True} if args.draw_text else {}))
    return lambda request: maker(replace(request, steps=args.steps))


def _export(rows: list[BenchRow], out: Path) -> int:
    """A manifest for `posterkit batch`, and the references as files, for any other system too."""
    from PIL import Image

    from posterkit.evaluation.bench_rows import as_typed

    (out / "references").mkdir(parents=True, exist_ok=True)
    lines = []
    for row in rows:
        request = as_typed(row.request())
        assert request.size is not None
        line: dict[str, Any] = {"task": request.task, "prompt": request.prompt, "texts": list(request.texts or ()),
                                "width": request.size.width, "height": request.size.height, "seed": request.seed,
                                "out": f"{row.id}.png"}  # fmt: skip
        images = []
        for number, image in enumerate(request.references):
            images.append(f"references/{row.id}-{number + 1}.png")
            Image.fromarray(image).save(out / images[-1])
        if images:
            line["images"] = images
        if request.mask_array is not None:
            line["mask"] = f"references/{row.id}.mask.png"
            Image.fromarray(request.mask_array).save(out / line["mask"])
        lines.append(json.dumps({name: value for name, value in line.items() if value != []}, ensure_ascii=False))
    (out / "rows.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{out}/rows.jsonl: {len(lines)} rows; posterkit batch makes them, and any other system may")
    return 0


def _study(args: argparse.Namespace) -> int:
    from random import Random

    from posterkit.evaluation.bench_rows import bench_rows
    from posterkit.evaluation.poster_bench import first_poster, read_report
    from posterkit.evaluation.study_page import count_votes, study_id, votes_as_markdown, write_study

    first, second = read_report(args.first), read_report(args.second)
    if first["bench"] != second["bench"]:
        raise ValueError(f"{args.first} and {args.second} hold other rows; a study compares posters of the same rows")
    names = first["by"], second["by"]
    shared = [name for name in first["scores"] if name in second["scores"]]
    chosen = Random(f"{args.seed} study").sample(shared, min(args.pairs, len(shared)))
    if args.votes:
        study = study_id(names, chosen, args.seed)
        print(votes_as_markdown(names, count_votes(args.votes, study, {*chosen})))
        return 0
    settings = first["bench"]
    size = _size(settings["size"])
    rows = {row.id: row for row in bench_rows(settings["bench"], settings["rows"], settings["seed"], size)}
    pairs = {}
    for name in chosen:
        posters = [first_poster(*one, name) for one in ((args.first, first), (args.second, second))]
        if posters[0] is None or posters[1] is None:
            folder = args.first if posters[0] is None else args.second
            raise ValueError(f"{folder}: the poster {name} is gone; a study needs a bench's posters")
        pairs[name] = rows[name].request(), posters[0], posters[1]
    if not pairs:
        raise ValueError("the two benches share no row that has a poster")
    study = write_study(args.output, names, pairs, args.seed)
    print(f"{args.output}: {len(pairs)} pairs of {names[0]} and {names[1]}, study {study}")
    return 0
