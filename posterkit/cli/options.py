"""Options that commands share, and what they mean. Loads nothing but tables, so that --help is quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from posterkit.lettering import ALIGNS, AUTO, LAYOUTS, ROLES, STYLES, Lettering, parse_box
from posterkit.sizing import MAX_SIDE
from posterkit.tasks import ANCHORS, MOST_CANDIDATES


def add_output_options(options: argparse.ArgumentParser) -> None:
    """The files of one poster."""
    group = options.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("poster.png"),
        metavar="FILE",
        help=".png (default poster.png), .svg, .pdf, .psd",
    )
    group.add_argument("--svg", type=Path, metavar="FILE", help="also as SVG with live text")
    group.add_argument("--pdf", type=Path, metavar="FILE", help="also as PDF with live text")
    group.add_argument("--psd", type=Path, metavar="FILE", help="also as PSD in layers (needs posterkit[print])")
    add_dpi(options)


def add_dpi(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--dpi", type=whole(30, 2400), metavar="N",
        help="pixels an inch of a PDF or PSD (default: those that make it a sheet of paper, else 96; large: 300)",
    )  # fmt: skip


def add_poster_options(options: argparse.ArgumentParser) -> None:
    """What posters have in common, whatever makes them."""
    group = options.add_argument_group("the poster")
    group.add_argument("--width", type=whole(16, MAX_SIDE), metavar="PX", help="finished width (default 832)")
    group.add_argument("--height", type=whole(16, MAX_SIDE), metavar="PX", help="finished height (default 1216)")
    group.add_argument("--seed", type=whole(0, 2**63 - 1), help="the same seed makes the same poster")
    group.add_argument("--steps", type=whole(1, 1000), help="denoising steps (default: the checkpoint's)")
    group.add_argument(
        "--guidance", type=_guidance, help="how closely to follow the prompt (default: the checkpoint's)"
    )
    group.add_argument(
        "--negative-prompt", metavar="TEXT", help="what to stay away from (FLUX.1: takes twice as long)"
    )
    group.add_argument(
        "--draft", metavar="DRAFT",
        help="what is painted over: auto draws the prompt (mini's default), none begins from noise, or a picture",
    )  # fmt: skip
    group.add_argument(
        "--strength", type=_share, metavar="SHARE", help="how much of the draft is painted anew, above 0 and at most 1"
    )
    group.add_argument(
        "--upscaler", metavar="FILE",
        help="what enlarges the drawing: none, or a .safetensors file (default: the checkpoint's own)",
    )  # fmt: skip
    group.add_argument("--native", action="store_true", help="keep the size that the model draws; enlarge nothing")
    lettering = group.add_mutually_exclusive_group()
    lettering.add_argument(
        "--draw-text", "--no-typeset", dest="draw_text", action="store_true", default=None,
        help="let the diffusion model draw the texts",
    )  # fmt: skip
    lettering.add_argument(
        "--typeset", dest="draw_text", action="store_false", default=None,
        help="set the texts in real fonts (the default with mini)",
    )  # fmt: skip
    add_lettering_options(options)
    group = options.add_argument_group("the best of several")
    group.add_argument(
        "--best-of",
        type=whole(1, MOST_CANDIDATES),
        metavar="N",
        help="draw N posters from seeds one after the other, keep the best",
    )
    group.add_argument(
        "--reward", metavar="SPEC",
        help="what says which is best: rules (default), a part such as text, text:0.6+aesthetics:0.4, a YAML file "
        "of weights, a reward model's folder, or a URL",
    )  # fmt: skip
    group = options.add_argument_group("the model")
    group.add_argument("--model", metavar="MODEL", help="a diffusers folder or hub id (default: the shipped mini)")
    group.add_argument("--transformer", metavar="MODEL", help="take the transformer from here")
    group.add_argument(
        "--lora", action="append", metavar="LORA",
        help="a LoRA: a file, a folder or a hub id, then @REVISION, :FILE and *WEIGHT where wanted; repeat for more",
    )  # fmt: skip
    group.add_argument(
        "--sampler", metavar="NAME", help="steps, guidance and shift for a few-step LoRA, such as lightning8"
    )
    group.add_argument("--preset", help="memory preset (default: chosen by the hardware)")
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    group.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: by device and preset")


def add_lettering_options(options: argparse.ArgumentParser) -> None:
    """The texts and how they are set."""
    group = options.add_argument_group("the texts")
    group.add_argument(
        "--text", action="append", metavar="TEXT",
        help="a text on the poster; repeat for more, title first, or mark it: --text @title:-70%%",
    )  # fmt: skip
    group.add_argument(
        "--role", action="append", choices=(*ROLES, AUTO), metavar="ROLE",
        help=f"one per text, in their order: {', '.join(ROLES)}, or {AUTO}",
    )  # fmt: skip
    group.add_argument("--style", choices=STYLES, metavar="STYLE", help=f"the faces: {', '.join(STYLES)}")
    group.add_argument(
        "--font", action="append", metavar="FONT", help="your own .ttf or .otf, or a shipped family; repeat for more"
    )
    group.add_argument(
        "--color", action="append", metavar="COLOR",
        help="a name or #rrggbb: first of the title, second of the other texts, third of the button",
    )  # fmt: skip
    group.add_argument("--align", choices=ALIGNS, metavar="SIDE", help=", ".join(ALIGNS))
    group.add_argument("--layout", choices=LAYOUTS, metavar="LAYOUT", help=f"the arrangement: {', '.join(LAYOUTS)}")
    group.add_argument(
        "--box", action="append", type=_box, metavar="X0,Y0,X1,Y1",
        help="where a text stands, one per text, in pixels of the poster or per cent: 5%%,5%%,60%%,40%%",
    )  # fmt: skip


def lettering_of(args: argparse.Namespace) -> Lettering:
    """What the call says of how texts are set."""
    return Lettering(
        args.style, args.font or (), args.color or (), args.role or (), align=args.align, layout=args.layout,
        boxes=args.box or (),
    )  # fmt: skip


def add_anchor(command: argparse.ArgumentParser) -> None:
    places = ", ".join(ANCHORS)
    command.add_argument(
        "--anchor", metavar="PLACE", help=f"extending: where the photo goes: {places}, or x,y in pixels"
    )


def add_preserve(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--preserve", action=argparse.BooleanOptionalAction, default=None,
        help="id_driven: cut the subject out and keep its pixels exactly (the default with mini)",
    )  # fmt: skip
    command.add_argument(
        "--segmenter", metavar="MODEL", help="what cuts it out: rules (default), or a SAM-2 folder or hub id"
    )


def refuse_refine(command: argparse.ArgumentParser) -> None:
    """--refine where it cannot be, so that the error says where it can."""
    command.add_argument("--refine", "--critic", action=_GenerateOnly, help=argparse.SUPPRESS)


class _GenerateOnly(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        parser.error(
            f"{rest[-1]} works with posterkit generate: PosterCraft takes a draft to be improved, PosterOmni does not"
        )


def whole(low: int, high: int | None = None) -> Any:
    accepted = f"a whole number from {low} to {high}" if high else f"a whole number of at least {low}"

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be {accepted}, found {text!r}") from None
        if value < low or (high is not None and value > high):
            raise argparse.ArgumentTypeError(f"must be {accepted}, found {value}")
        return value

    return parse


def _box(text: str) -> Any:
    try:
        return parse_box(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _guidance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 100, found {text!r}")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and at most 1, found {text!r}")
    return value


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the call says of `PosterMaker`'s settings."""
    names = (
        "model",
        "transformer",
        "lora",
        "sampler",
        "preset",
        "device",
        "dtype",
        "reward",
        "critic",
        "segmenter",
        "upscaler",
    )
    given = {name: getattr(args, name, None) for name in names} | {"native": args.native or None}
    given["draw_text"] = args.draw_text
    given["lora"] = "; ".join(args.lora) if args.lora else None
    return {name: value for name, value in given.items() if value is not None}


def request_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the call says of a request, but for its size."""
    names = ("seed", "steps", "guidance", "negative_prompt", "best_of", "strength", "preserve")
    given = {name: getattr(args, name, None) for name in names} | {"texts": args.text}
    given["draft"] = args.draft if args.draft in (None, "auto", "none") else Path(args.draft)
    if lettering := lettering_of(args):
        given["lettering"] = lettering
    return {name: value for name, value in given.items() if value is not None}


def output_paths(args: argparse.Namespace, inputs: Iterable[Any]) -> list[Path]:
    """Every file that a call shall write, checked before any work.

    Raises:
        ValueError: an ending is wrong, a file is a folder or one of the inputs, or psd-tools is missing for a .psd.
    """
    also = {".svg": args.svg, ".pdf": args.pdf, ".psd": args.psd}
    paths = [args.output, *(path for path in also.values() if path)]
    checked = [(args.output, (".png", *also)), *((path, (ending,)) for ending, path in also.items())]
    for path, endings in checked:
        if path and path.suffix.lower() not in endings:
            raise ValueError(f"{path}: the name must end in {' or '.join(endings)}")
        if path and path.is_dir():
            raise ValueError(f"{path}: is a folder; name a file")
    if any(path.suffix.lower() == ".psd" for path in paths):
        from posterkit.typeset.psd import check_psd

        check_psd()
    for source in inputs:
        if source and source.exists() and any(path.exists() and path.samefile(source) for path in paths):
            raise ValueError(f"{source}: -o names an input; choose another name")
    return paths


def save_to(paths: Iterable[Path], made_as: str, save: Callable[[Path], Any]) -> Iterator[Path]:
    """Write a poster to each of its files; where another one lies already, to a free name beside it.

    Args:
        made_as: the poster's id; a file that carries it may be written again.
    """
    from posterkit.cli.progress import note
    from posterkit.generate.metadata import record_id

    for path in paths:
        target, number = path, 1
        while target.exists() and record_id(target) != made_as:
            number += 1
            target = path.with_stem(f"{path.stem}-{number}")
        if target != path:
            note(f"{path} is there already and is another file; this poster is {target}")
        save(target)
        yield target


def check_reward(args: argparse.Namespace, several: bool) -> None:
    """ValueError where a reward is named that has nothing to choose between."""
    if args.reward and not several:
        also = " or --refine N" if args.command == "generate" else ""
        raise ValueError(f"--reward chooses between posters; ask for several with --best-of N{also}")
