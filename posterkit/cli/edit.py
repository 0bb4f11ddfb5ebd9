"""`posterkit edit POSTER --text ...`: other words in a finished poster; what a designer has moved stays there."""

from __future__ import annotations

import argparse
from pathlib import Path

from posterkit.cli import options
from posterkit.messages import printable
from posterkit.typeset.exporters import ENDINGS, ending_of


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("poster", type=Path, metavar="POSTER", help="a .png, .svg, .psd or .pptx of posterkit's")
    new = "new words: one for each text in their order, or of a role alone: --text @title:NEW; without any, the texts"
    command.add_argument("--text", action="append", metavar="TEXT", help=f"{new} are listed")
    command.add_argument("--font", action="append", metavar="FONT", help="your own font that the poster is set in")
    out = "where to (default: NAME-edited beside it); a PNG may become any form; repeat for more"
    command.add_argument("-o", "--output", type=Path, action="append", metavar="FILE", help=out)
    options.add_print_options(command)
    options.add_gate_options(command)


def run(args: argparse.Namespace) -> int:
    """Write the poster with its new words, or list the ones it has."""
    from posterkit.cli.progress import note
    from posterkit.generate.checkpoint import Settings
    from posterkit.generate.edit_finished import PNG, edit_poster
    from posterkit.generate.safety_checks import gate_of
    from posterkit.typeset.exporters import check_export

    own = ending_of(args.poster)
    outputs = args.output or [args.poster.with_stem(f"{args.poster.stem}-edited")]
    for path in outputs:
        if own != PNG and ending_of(path) != own:
            raise ValueError(
                f"{path}: {args.poster} is edited as what it is; name a {own} (a PNG may become any form)"
            )
        if args.output and ending_of(path) not in (PNG, *ENDINGS):
            raise ValueError(f"{path}: the name must end in {' or '.join((PNG, *ENDINGS))}")
        if path.exists() and args.poster.exists() and path.samefile(args.poster):
            raise ValueError(f"{path}: -o names the poster itself; choose another name")
        if args.output:
            check_export(path, options.export_options(args))
    gate = gate_of(Settings(safety=args.safety, policies=tuple(args.policy or ()), detector=args.detector,
                            rewriter=args.rewriter)) if args.text else None  # fmt: skip
    edited = edit_poster(args.poster, args.text, args.font or (), options.export_options(args), gate)
    for line in edited.notes:
        note(line)
    if args.text is None and args.output is None:
        for one in edited.found:
            print(printable(f"@{one.role}: {' / '.join(one.text.splitlines())}"))
        return 0
    for path in options.save_to(outputs, edited.id or "none", edited.save):
        print(path)
    return 0
