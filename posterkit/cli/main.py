"""`posterkit COMMAND ...`: one file of this folder a command. Nothing here imports torch before a command runs."""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from posterkit import __version__
from posterkit.arguments import WRONG_CALL, LineParser
from posterkit.messages import printable, words_of

SOME_FAILED, INTERRUPTED = 1, 130

COMMANDS = {
    "demo": "Three posters with the shipped models, for a first look.",
    "generate": "One poster from a prompt, or again from a poster's own record.",
    "transform": "One poster from images.",
    "typeset": "Texts on a picture of yours, in real fonts; no model.",
    "edit": "Other words in a finished PNG, SVG, PSD or PPTX poster; what a designer has moved stays there.",
    "plan": "Where the texts and the subject of a poster stand, as a file that generate and typeset take.",
    "batch": "A folder of images or a manifest of rows; what is made already stays, and so does every file of yours.",
    "ui": "The same in the browser: a page for posters, batches and brand kits.",
    "serve": "An HTTP API for posters, as OpenAI's clients speak it and as jobs.",
    "mcp": "The same for agents: an MCP server on stdin and stdout.",
    "info": "What a poster's record says.",
    "lora-info": "What a LoRA file changes, how strongly, and on which base.",
    "merge": "Several LoRAs of one base as one file.",
    "export": "A folder as the hub takes it, from a checkpoint, a run folder or a LoRA.",
    "bench": "What a benchmark measures: of a judge, of planners, of posters.",
    "doctor": "Versions, devices, what fits, broken pairs and their cure.",
    "train": "A training recipe, as `python train/RECIPE.py` runs it.",
    "data": "A tool that builds a data set, as `python data_tools/TOOL.py` runs it.",
}
# options whose value may begin with a dash: a designer's words, and places that errors shall name
_VERBATIM = ("--text", "--prompt", "--negative-prompt", "--box", "--logo-at", "--qr-at", "--anchor")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 all done, 1 some rows failed, 2 the call is wrong, 130 stopped by Ctrl-C.
    """
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        print("posterkit: stopped", file=sys.stderr)
        return INTERRUPTED


def _run(argv: Sequence[str]) -> int:
    try:
        args, command = parse(argv)
        from posterkit.cli.progress import set_up_messages

        set_up_messages(args.debug)
    except SystemExit as end:
        return int(end.code or 0)
    try:
        return command.run(args)
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        wrong = isinstance(error, (ValueError, OSError))
        line = printable((words_of(error) or type(error).__name__).strip().splitlines()[0])
        plain = wrong or type(error).__module__.startswith("posterkit.")
        print(f"posterkit: {line if plain else f'{type(error).__name__}: {line}'}", file=sys.stderr)
        return WRONG_CALL if wrong else SOME_FAILED


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, ModuleType]:
    """The options of a call, and the file of its command; the other commands are not loaded.

    Raises:
        SystemExit: help was asked for, or the call is wrong.
    """
    parser = LineParser(prog="posterkit", description="Make posters with diffusion models.")
    parser.add_argument("--version", action="version", version=f"posterkit {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND", parser_class=LineParser
    )
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("--debug", action="store_true", help="show tracebacks and the libraries' messages")
        if name in argv[:1]:
            _module(name).add_options(command)
            argv = _joined(argv, command)
    args = parser.parse_args(argv)
    args.words = list(argv)
    return args, _module(args.command)


def _module(command: str) -> ModuleType:
    name = "recipes" if command in ("train", "data") else command.replace("-", "_")
    return importlib.import_module(f"posterkit.cli.{name}")


def _joined(argv: Sequence[str], command: argparse.ArgumentParser) -> list[str]:
    """The words of a call with --text and its like joined to what follows, so that a text may begin with a dash.

    A word that is an option of the command stays one.
    """
    options = set(command._option_string_actions)
    joined: list[str] = []
    for word in argv:
        before = joined[-1] if joined else ""
        if before in _VERBATIM and word.startswith("-") and word.partition("=")[0] not in options:
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


if __name__ == "__main__":
    sys.exit(main())
