"""The command line: argparse groups and thin commands. Nothing here imports torch before a command runs."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from posterkit import __version__
from posterkit.tasks import ANCHORS, TASKS

if TYPE_CHECKING:
    from posterkit.batch.jobs import Job
    from posterkit.batch.plan import Settings
    from posterkit.batch.worker import Worker

DONE, SOME_FAILED, WRONG_CALL, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_CALL, f"posterkit: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 all done, 1 some rows failed, 2 the call is wrong, 130 stopped by Ctrl-C.
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    _set_up_messages(args.debug)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("posterkit: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        wrong = isinstance(error, (ValueError, OSError))
        line = (str(error) or type(error).__name__).strip().splitlines()[0]
        print(f"posterkit: {line if wrong else f'{type(error).__name__}: {line}'}", file=sys.stderr)
        return WRONG_CALL if wrong else SOME_FAILED


def generate(args: argparse.Namespace) -> int:
    """One poster from a prompt, or again from a poster's own record."""
    from posterkit.batch.jobs import Fault, Job, checked
    from posterkit.batch.worker import Worker

    outputs = _outputs(args)
    job, settings, record = Job("generate"), _settings(args), None
    if args.from_image:
        from posterkit.batch.record import job_of

        if args.from_image.resolve() in {path.resolve() for path in outputs}:
            raise ValueError(f"{args.from_image}: -o names the poster that is to be made again; choose another name")
        job, recorded, record = job_of(args.from_image)
        settings = _override(recorded, settings)
    changes = _given(args, "width", "height", "seed", "steps", "guidance", "negative_prompt")
    if args.prompt is not None:
        changes |= {"prompt": args.prompt, "expanded": None}
    if args.text:
        changes["texts"] = tuple(args.text)
    job = dataclasses.replace(job, **changes)
    if record is None and not (job.prompt.strip() or job.texts):
        raise ValueError("generate needs a PROMPT, --text or --from-image")
    job = checked(job)
    if isinstance(job, Fault):
        raise ValueError(job.why)
    if args.expand:
        job = dataclasses.replace(job, expanded=_expand(job.prompt, args.expand))
    return _make_one(job, Worker(settings), outputs, record)


def transform(args: argparse.Namespace) -> int:
    """One poster from images."""
    from posterkit.batch.jobs import Fault, Job, checked, parse_anchor
    from posterkit.batch.reading import read_size
    from posterkit.batch.worker import Worker

    outputs = _outputs(args)
    for source in [*args.images, *([args.mask] if args.mask else [])]:
        read_size(source)
        if source.resolve() in {path.resolve() for path in outputs}:
            raise ValueError(f"{source}: -o names an input; choose another name")
    anchor = parse_anchor(args.anchor) if args.anchor else None
    changes = _given(args, "width", "height", "seed", "steps", "guidance", "negative_prompt")
    texts, images = tuple(args.text or ()), tuple(args.images)
    job = checked(Job("transform", args.task, args.prompt or "", texts, images, args.mask, anchor, **changes))
    if isinstance(job, Fault):
        raise ValueError(job.why)
    return _make_one(job, Worker(_settings(args)), outputs, None)


def batch(args: argparse.Namespace) -> int:
    """A folder of images or a manifest of rows; what is made already stays."""
    from posterkit.batch.engines import LEDGER, SHEET, run_local
    from posterkit.batch.jobs import Common, parse_anchor
    from posterkit.batch.manifest import read_jobs
    from posterkit.batch.worker import Worker
    from posterkit.cli_progress import BatchProgress

    if args.source.is_dir() and args.source.resolve() == args.output.resolve():
        raise ValueError(f"{args.output}: -o is the folder of the images themselves; choose another one")
    if args.output.exists() and not args.output.is_dir():
        raise ValueError(f"{args.output}: -o names a file; batch needs a folder")
    common = Common(
        args.task, args.prompt or "", tuple(args.text or ()), parse_anchor(args.anchor) if args.anchor else None,
        args.width, args.height, args.steps, args.guidance, args.negative_prompt, args.seed or 0,
    )  # fmt: skip
    jobs = read_jobs(args.source, common, skip=args.output)
    with BatchProgress() as progress:
        outcome = run_local(jobs, Worker(_settings(args)), args.output, progress, common.seed, args.batch_size)
    print(f"{outcome.made} made, {outcome.before} made before, {len(outcome.failed)} failed, of {len(jobs)} rows")
    print(f"{args.output / LEDGER}")
    if (args.output / SHEET).is_file():
        print(f"{args.output / SHEET}")
    if outcome.left:
        print(f"posterkit: stopped with {outcome.left} rows left; the same command goes on from here", file=sys.stderr)
        return SOME_FAILED
    return SOME_FAILED if outcome.failed else DONE


def info(args: argparse.Namespace) -> int:
    """What a poster's record says."""
    from posterkit.cli_info import print_record

    print_record(args.poster, as_json=args.json)
    return DONE


def doctor(args: argparse.Namespace) -> int:
    """Versions, devices, what fits, broken pairs and their cure."""
    from posterkit.cli_doctor import examine

    return SOME_FAILED if examine() else DONE


def _make_one(job: Job, worker: Worker, outputs: list[Path], record: dict[str, Any] | None) -> int:
    from posterkit.batch.plan import kind_of
    from posterkit.cli_progress import note, steps

    if job.seed is None:
        job = dataclasses.replace(job, seed=int.from_bytes(os.urandom(4), "big") % 2**31)
    plan = worker.plan(job)
    inputs = worker.read(plan)
    if record is not None:
        _compare(record, plan.checkpoint.revision)
    with steps(plan.steps, f"loading {plan.checkpoint.name}") as show:
        worker.pipeline(kind_of(job.task))
        show.begin(f"drawing {plan.native}")
        drawn = worker.draw([(plan, inputs)], show.step)[0]
    for line in drawn.notes:
        note(line)
    for path in outputs:
        drawn.save(path)
        print(f"{path}  {plan.finished}, seed {plan.seed}")
    return DONE


def _compare(record: dict[str, Any], revision: str) -> None:
    """Say what differs from when a poster was made, since then it will not come out the same."""
    from posterkit.cli_progress import note

    if record["model"]["revision"] != revision:
        was = record["model"]["revision"]
        note(f"{record['model']['name']} is another revision now ({revision}, was {was}): the poster will differ")
    if record.get("posterkit") != __version__:
        note(f"made by posterkit {record.get('posterkit')}, this is {__version__}: the poster may differ")


def _expand(prompt: str, how: str) -> str:
    """The prompt, expanded; where that would lose a quoted text, the prompt itself and a note."""
    from posterkit.judges.expand import expand_prompt

    return expand_prompt(prompt, how).prompt


def _settings(args: argparse.Namespace) -> Settings:
    from posterkit.batch.plan import Settings

    return Settings(
        args.model, args.transformer, args.lora, args.preset, args.device, args.dtype, args.native, args.draw_text
    )


def _override(recorded: Settings, given: Settings) -> Settings:
    changes = {
        field.name: getattr(given, field.name)
        for field in dataclasses.fields(given)
        if getattr(given, field.name) not in (None, False) or (field.name == "draw_text" and given.draw_text is False)
    }
    return dataclasses.replace(recorded, **changes)


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _outputs(args: argparse.Namespace) -> list[Path]:
    """Every file that a call shall write, its ending checked before any work."""
    paths = [args.output, *(path for path in (args.svg, args.pdf) if path)]
    for path, endings in ((args.output, (".png", ".svg", ".pdf")), (args.svg, (".svg",)), (args.pdf, (".pdf",))):
        if path and path.suffix.lower() not in endings:
            raise ValueError(f"{path}: the name must end in {' or '.join(endings)}")
        if path and path.is_dir():
            raise ValueError(f"{path}: is a folder; name a file")
    return paths


def _set_up_messages(debug: bool) -> None:
    """Libraries keep quiet; warnings of ours are one line each."""
    from posterkit.cli_progress import note

    if not debug:
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            note(record.getMessage())

    ours = logging.getLogger("posterkit")
    ours.handlers, ours.propagate = [Notes()], False
    if not debug:
        warnings.showwarning = lambda message, *rest, **more: note(str(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="posterkit", description="Make posters with diffusion models.")
    parser.add_argument("--version", action="version", version=f"posterkit {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)
    common = [_debug_options()]

    command = _command(commands, "generate", generate, [*common, _output_options(), _shared_options()])
    command.add_argument("prompt", nargs="?", metavar="PROMPT", help="what to show; quoted parts are texts")
    command.add_argument("--from-image", type=Path, metavar="POSTER", help="make this poster again from its record")
    command.add_argument(
        "--expand", metavar="HOW",
        help='enrich the prompt first: "rules", the URL of an OpenAI-compatible endpoint, or a local model folder',
    )  # fmt: skip

    command = _command(commands, "transform", transform, [*common, _output_options(), _shared_options()])
    command.add_argument("task", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="the reference images")
    command.add_argument("--prompt", help="what to make; quoted parts are texts")
    command.add_argument("--mask", type=Path, metavar="IMAGE", help="filling: white = make this")
    _add_anchor(command)

    command = _command(commands, "batch", batch, [*common, _shared_options()])
    command.add_argument("source", type=Path, metavar="FOLDER_OR_MANIFEST", help="a folder of images or a JSONL file")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the folder of the posters")
    command.add_argument("--task", help="for rows that name none: " + ", ".join(TASKS))
    command.add_argument("--prompt", help="for rows that have none")
    command.add_argument("--batch-size", type=_whole(1), metavar="N", help="rows drawn in one call")
    _add_anchor(command)

    command = _command(commands, "info", info, common)
    command.add_argument("poster", type=Path, metavar="POSTER", help="a PNG that posterkit made")
    command.add_argument("--json", action="store_true", help="the whole record as JSON")

    _command(commands, "doctor", doctor, common)
    return parser


def _command(commands: Any, name: str, run: Any, parents: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=run.__doc__, description=run.__doc__, parents=parents)
    command.set_defaults(run=run)
    return command


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
    group.add_argument("--width", type=_whole(16, 16384), metavar="PX", help="finished width (default 832)")
    group.add_argument("--height", type=_whole(16, 16384), metavar="PX", help="finished height (default 1216)")
    group.add_argument("--seed", type=_whole(0), help="the same seed makes the same poster")
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


if __name__ == "__main__":
    sys.exit(main())
