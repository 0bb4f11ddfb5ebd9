"""The command line's options. Loads nothing but the names of tasks and places, so that --help is quick."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from posterkit import __version__
from posterkit.generate.request import MAX_SIDE, MOST
from posterkit.tasks import ANCHORS, TASKS

WRONG_CALL = 2


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_CALL, f"posterkit: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Every command with its options; `command` in the result says which was called."""
    parser = _Parser(prog="posterkit", description="Make posters with diffusion models.")
    parser.add_argument("--version", action="version", version=f"posterkit {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    common = [_debug_options()]

    one = [*common, _output_options(), _shared_options()]
    command = _command(commands, "generate", "One poster from a prompt, or again from a poster's own record.", one)
    command.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to show; quoted parts are texts")
    command.add_argument("--from-image", type=Path, metavar="POSTER", help="make this poster again from its record")
    command.add_argument(
        "--expand", metavar="HOW",
        help='enrich the prompt first: "rules", the URL of an OpenAI-compatible endpoint, or a local model folder',
    )  # fmt: skip
    group = command.add_argument_group("a second look")
    group.add_argument(
        "--refine", type=_whole(1, MOST), metavar="N",
        help="redraw it by a critic's suggestions, at most N times, as long as the reward likes it better",
    )  # fmt: skip
    group.add_argument(
        "--critic", metavar="SPEC", help="who suggests: rules (default), a folder or an endpoint of a model that sees"
    )

    command = _command(commands, "transform", "One poster from images.", one)
    command.add_argument("task", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="the reference images")
    command.add_argument("--prompt", help="what to make; quoted parts are texts")
    command.add_argument("--mask", type=Path, metavar="IMAGE", help="filling: white = make this")
    _add_anchor(command)
    _refuse_refine(command)

    many = "A folder of images or a manifest of rows; what is made already stays, and so does every file of yours."
    command = _command(commands, "batch", many, [*common, _shared_options()])
    command.add_argument("source", type=Path, metavar="FOLDER_OR_MANIFEST", help="a folder of images or a JSONL file")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the folder of the posters")
    command.add_argument("--task", help="for rows that name none: " + ", ".join(TASKS))
    command.add_argument("--prompt", help="for rows that have none")
    command.add_argument("--batch-size", type=_whole(1), metavar="N", help="posters drawn in one call")
    _add_anchor(command)
    _refuse_refine(command)

    command = _command(commands, "info", "What a poster's record says.", common)
    command.add_argument("poster", type=Path, metavar="POSTER", help="a PNG that posterkit made")
    command.add_argument("--json", action="store_true", help="the whole record as JSON")

    _command(commands, "doctor", "Versions, devices, what fits, broken pairs and their cure.", common)
    return parser


def _command(commands: Any, name: str, what: str, parents: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=what, description=what, parents=parents)


def _debug_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--debug", action="store_true", help="show tracebacks and the libraries' messages")
    return options


def _output_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("output")
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("poster.png"),
        metavar="FILE",
        help=".png (default poster.png), .svg, .pdf",
    )
    group.add_argument("--svg", type=Path, metavar="FILE", help="also as SVG with live text")
    group.add_argument("--pdf", type=Path, metavar="FILE", help="also as PDF with live text")
    return options


def _shared_options() -> argparse.ArgumentParser:
    """What posters have in common, whatever makes them."""
    options = argparse.ArgumentParser(add_help=False)
    group = options.add_argument_group("the poster")
    group.add_argument(
        "--text", action="append", metavar="TEXT", help="a text on the poster; repeat for more, title first"
    )
    group.add_argument("--width", type=_whole(16, MAX_SIDE), metavar="PX", help="finished width (default 832)")
    group.add_argument("--height", type=_whole(16, MAX_SIDE), metavar="PX", help="finished height (default 1216)")
    group.add_argument("--seed", type=_whole(0, 2**63 - 1), help="the same seed makes the same poster")
    group.add_argument("--steps", type=_whole(1, 1000), help="denoising steps (default: the checkpoint's)")
    group.add_argument(
        "--guidance", type=_guidance, help="how closely to follow the prompt (default: the checkpoint's)"
    )
    group.add_argument(
        "--negative-prompt", metavar="TEXT", help="what to stay away from (FLUX.1: takes twice as long)"
    )
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
    group = options.add_argument_group("the best of several")
    group.add_argument(
        "--best-of",
        type=_whole(1, MOST),
        metavar="N",
        help="draw N posters from seeds one after the other, keep the best",
    )
    group.add_argument(
        "--reward", metavar="SPEC",
        help="who says which is best: rules (default), a part such as text, text:0.6+aesthetics:0.4, a YAML file "
        "of weights, a reward model's folder, or a URL",
    )  # fmt: skip
    group = options.add_argument_group("the model")
    group.add_argument("--model", metavar="MODEL", help="a diffusers folder or hub id (default: the shipped mini)")
    group.add_argument("--transformer", metavar="MODEL", help="take the transformer from here")
    group.add_argument("--lora", metavar="FILE", help="a LoRA file, folder or hub id")
    group.add_argument("--preset", help="memory preset (default: chosen by the hardware)")
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: the best there is)")
    group.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: by device and preset")
    return options


def _add_anchor(command: argparse.ArgumentParser) -> None:
    places = ", ".join(ANCHORS)
    command.add_argument(
        "--anchor", metavar="PLACE", help=f"extending: where the photo goes: {places}, or x,y in pixels"
    )


def _refuse_refine(command: argparse.ArgumentParser) -> None:
    """--refine where it cannot be, so that the error says where it can."""
    command.add_argument("--refine", "--critic", action=_GenerateOnly, help=argparse.SUPPRESS)


class _GenerateOnly(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        parser.error(
            f"{rest[-1]} works with posterkit generate: PosterCraft takes a draft to be improved, PosterOmni does not"
        )


def _whole(low: int, high: int | None = None) -> Any:
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


def _guidance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 100, found {text!r}")
    return value
