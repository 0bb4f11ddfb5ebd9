"""`posterkit plan "PROMPT"`: where texts and subject stand, as a file to look at, to edit, to make posters from."""

from __future__ import annotations

import argparse
from pathlib import Path

from posterkit.arguments import whole
from posterkit.cli import options
from posterkit.lettering import ALIGNS, AUTO, PLANNERS, ROLES, STYLES, planner_fault
from posterkit.messages import printable
from posterkit.sizing import MAX_SIDE

_ENDINGS = (".json", ".svg", ".png")


def add_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    # fmt: off
    add("prompt", nargs="?", default="", metavar="PROMPT", help="what the poster shows; quoted parts are texts")
    add("-o", "--output", type=Path, action="append", metavar="FILE",
        help=".json (default plan.json), .svg to edit, .png to look at; repeat for more")
    add("--text", action="append", metavar="TEXT",
        help="a text on the poster; repeat for more, title first, or mark it: --text @title:-70%%")
    add("--role", action="append", choices=(*ROLES, AUTO), metavar="ROLE",
        help=f"one per text, in their order: {', '.join(ROLES)}, or {AUTO}")
    add("--planner", default="grammar", metavar="NAME",
        help=f"{', '.join(PLANNERS)} (default grammar); llm and cot with their model: cot:URL_OR_FOLDER")
    add("--picture", type=Path, metavar="IMAGE", help="the picture that the texts will stand on")
    add("--logo", type=float, metavar="ASPECT", help="keep a place for a logo of this width through height")
    add("--underlay", action="store_true", help="a panel behind the last texts, painted where the plan is used")
    add("--exemplars", type=Path, metavar="FILE", help="layouts to plan after, in place of the shipped ones")
    add("--width", type=whole(16, MAX_SIDE), metavar="PX", help="of the poster (default 832, or the picture's)")
    add("--height", type=whole(16, MAX_SIDE), metavar="PX", help="of the poster (default 1216, or the picture's)")
    add("--align", choices=ALIGNS, metavar="SIDE", help=", ".join(ALIGNS))
    add("--style", choices=STYLES, metavar="STYLE", help=f"the faces that measure the texts: {', '.join(STYLES)}")
    add("--seed", type=whole(0, 2**63 - 1), default=0, help="another seed, another plan")
    add("--device", default="cpu", help="where a local model runs")
    # fmt: on
    options.add_steering_options(command, "the local model of the planner")


def run(args: argparse.Namespace) -> int:
    """Plan, and write the plan to each of its files."""
    outputs = args.output or [Path("plan.json")]
    for path in outputs:
        if path.suffix.lower() not in _ENDINGS:
            raise ValueError(f"{path}: the name must end in {' or '.join(_ENDINGS)}")
        if args.picture and path.exists() and args.picture.exists() and path.samefile(args.picture):
            raise ValueError(f"{args.picture}: -o names an input; choose another name")
    if fault := planner_fault(args.planner):
        raise ValueError(fault)
    principle = options.principle_of(args)
    if args.logo is not None and not 0.1 <= args.logo <= 10:
        raise ValueError(f"--logo is a width through height from 0.1 to 10, found {args.logo:g}")

    from posterkit.cli.progress import note
    from posterkit.generate.layout_plan import plan_layout
    from posterkit.image_io import read_image
    from posterkit.messages import caught_warnings

    with caught_warnings() as notes:
        layout, faults = plan_layout(
            args.prompt, args.text or (), planner=args.planner, width=args.width, height=args.height,
            picture=read_image(args.picture) if args.picture else None, roles=args.role, align=args.align,
            style=args.style, logo=args.logo, underlay=args.underlay, exemplars=args.exemplars, seed=args.seed,
            device=args.device, principle=principle,
        )  # fmt: skip
    for line in notes:
        note(line)
    for path in outputs:
        _write(layout, path, args.style)
        print(
            f"{path}  {layout.width}x{layout.height}, {layout.planner}: {layout.archetype}, score {layout.score:.2f}"
        )
    for stage in layout.trace:
        said = "; ".join(stage.faults) or stage.words
        print(printable(f"  {stage.name}: {'kept' if stage.kept else 'not kept'}{', ' + said if said else ''}"))
    for fault in faults:
        print(printable(f"  {fault}"))
    return 0


def _write(layout, path: Path, style: str | None) -> None:
    from posterkit.generate.record import write_png
    from posterkit.image_io import written_whole
    from posterkit.layout.json_form import layout_to_json
    from posterkit.layout.svg_form import layout_to_svg
    from posterkit.typeset.template import template_picture

    if path.suffix.lower() == ".png":
        return write_png(template_picture(layout, style), path)
    said = layout_to_svg(layout) if path.suffix.lower() == ".svg" else layout_to_json(layout, indent=1)
    with written_whole(path) as temporary:
        temporary.write_text(said, encoding="utf-8")
