"""The command line: thin commands. Nothing here imports torch before a command runs."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posterkit import __version__
from posterkit.cli.options import WRONG_CALL, make_parser

if TYPE_CHECKING:
    from posterkit.critic.critic import Critic
    from posterkit.generate.plan import Settings
    from posterkit.generate.request import Job
    from posterkit.generate.worker import Worker

DONE, SOME_FAILED, INTERRUPTED = 0, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0 all done, 1 some rows failed, 2 the call is wrong, 130 stopped by Ctrl-C.
    """
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    _set_up_messages(args.debug)
    try:
        return COMMANDS[args.command](args)
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
    from posterkit.cli.progress import note
    from posterkit.generate.request import Fault, Job, checked
    from posterkit.generate.worker import Worker

    _check_reward(args, several=(args.best_of or 1) > 1 or bool(args.refine))
    if args.critic and not args.refine:
        raise ValueError("--critic suggests what --refine N shall change; say how many rounds")
    outputs = _outputs(args)
    job, settings, record = Job("generate"), _settings(args), None
    if args.from_image:
        from posterkit.generate.record import job_of

        job, recorded, record = job_of(args.from_image)
        _keep(outputs, [args.from_image, *job.images, job.mask])
        settings = _override(recorded, settings)
    changes = _given(args, "width", "height", "seed", "steps", "guidance", "negative_prompt", "best_of")
    if args.prompt is not None:
        changes |= {"prompt": args.prompt, "expanded": None}
    if args.text:
        changes["texts"] = tuple(args.text)
    if job.feedback and changes:
        note("a changed poster is drawn anew, without the suggestions that refined the old one")
        changes["feedback"] = ()
    job = dataclasses.replace(job, refine=args.refine, **changes)
    if record is None and not (job.prompt.strip() or job.texts):
        raise ValueError("generate needs a PROMPT, --text or --from-image")
    job = checked(job)
    if isinstance(job, Fault):
        raise ValueError(job.why)
    if args.expand:
        job = dataclasses.replace(job, expanded=_expand(job.prompt, args.expand, settings.device))
    return _make_one(job, Worker(settings), outputs, record)


def transform(args: argparse.Namespace) -> int:
    """One poster from images."""
    from posterkit.generate.request import Fault, Job, checked, parse_anchor
    from posterkit.generate.worker import Worker
    from posterkit.image_io import read_size

    _check_reward(args, several=(args.best_of or 1) > 1)
    outputs = _outputs(args)
    _keep(outputs, [*args.images, args.mask])
    for source in (*args.images, *([args.mask] if args.mask else [])):
        read_size(source)
    anchor = parse_anchor(args.anchor) if args.anchor else None
    changes = _given(args, "width", "height", "seed", "steps", "guidance", "negative_prompt", "best_of")
    texts, images = tuple(args.text or ()), tuple(args.images)
    job = checked(Job("transform", args.task, args.prompt or "", texts, images, args.mask, anchor, **changes))
    if isinstance(job, Fault):
        raise ValueError(job.why)
    return _make_one(job, Worker(_settings(args)), outputs, None)


def batch(args: argparse.Namespace) -> int:
    """A folder of images or a manifest of rows; what is made already stays."""
    from posterkit.batch.engines import LEDGER, run_local
    from posterkit.batch.manifest import read_jobs
    from posterkit.cli.progress import BatchProgress
    from posterkit.generate.request import Common, Job, parse_anchor
    from posterkit.generate.worker import Worker

    if args.source.is_dir() and args.source.resolve() == args.output.resolve():
        raise ValueError(f"{args.output}: -o is the folder of the images themselves; choose another one")
    if args.output.exists() and not args.output.is_dir():
        raise ValueError(f"{args.output}: -o names a file; batch needs a folder")
    common = Common(
        args.task, args.prompt or "", tuple(args.text or ()), parse_anchor(args.anchor) if args.anchor else None,
        args.width, args.height, args.steps, args.guidance, args.negative_prompt, args.seed or 0,
        args.best_of,
    )  # fmt: skip
    jobs = read_jobs(args.source, common, skip=args.output)
    _check_reward(args, several=any(isinstance(job, Job) and (job.best_of or 1) > 1 for job in jobs))
    with BatchProgress() as progress:
        outcome = run_local(jobs, Worker(_settings(args)), args.output, progress, common.seed, args.batch_size)
    print(f"{outcome.made} made, {outcome.before} made before, {len(outcome.failed)} failed, of {len(jobs)} rows")
    print(f"{args.output / LEDGER}")
    if outcome.sheet:
        print(outcome.sheet)
    if outcome.left:
        print(f"posterkit: stopped with {outcome.left} rows left; the same command goes on from here", file=sys.stderr)
        return SOME_FAILED
    return SOME_FAILED if outcome.failed else DONE


def info(args: argparse.Namespace) -> int:
    """What a poster's record says."""
    from posterkit.cli.info import print_record

    print_record(args.poster, as_json=args.json)
    return DONE


def doctor(args: argparse.Namespace) -> int:
    """Versions, devices, what fits, broken pairs and their cure."""
    from posterkit.cli.doctor import examine

    return SOME_FAILED if examine() else DONE


def _make_one(job: Job, worker: Worker, outputs: list[Path], record: dict[str, Any] | None) -> int:
    from posterkit.cli.info import choice_summary
    from posterkit.cli.progress import note, steps
    from posterkit.generate.choose import Scorer, draw_best
    from posterkit.generate.plan import kind_of
    from posterkit.generate.refine import redraw, refine, untaught
    from posterkit.generate.request import NoneScored
    from posterkit.generate.worker import posters_at_once

    if job.seed is None:
        job = dataclasses.replace(job, seed=int.from_bytes(os.urandom(4), "big") % 2**31)
    plan = worker.plan(job)
    inputs = worker.read(plan)
    if record is not None:
        _compare(record, plan.checkpoint.revision)
    if job.refine and (line := untaught(plan)):
        note(line)
    with contextlib.ExitStack() as stack:
        chooses = job.refine or plan.best_of > 1
        scorer = stack.enter_context(Scorer(worker.settings, [job.task])) if chooses else None
        critic = _critic(worker.settings) if job.refine else None
        show = stack.enter_context(steps(f"loading {plan.checkpoint.name}"))
        worker.pipeline(kind_of(job.task))
        at_once = posters_at_once(plan)
        show.begin(f"drawing {plan.native}", -(-plan.best_of // at_once) * plan.steps)
        drawn = draw_best(worker, [(plan, inputs)], scorer, at_once, show.step)[0]
        if isinstance(drawn, NoneScored):
            print(f"posterkit: {drawn}", file=sys.stderr)
            return SOME_FAILED
        if isinstance(drawn, Exception):
            raise drawn
        show.begin("refining", plan.steps)
        for said in job.feedback:
            drawn = redraw(worker, plan, inputs, drawn, said, show.step)
        if scorer and critic:
            drawn = refine(worker, plan, inputs, drawn, critic, scorer, show.step)
    for line in drawn.notes:
        note(line)
    for path in outputs:
        drawn.save(path)
        print(f"{path}  {plan.finished}, seed {drawn.seed}")
    for line in choice_summary(drawn.record):
        print(line)
    return DONE


def _critic(settings: Settings) -> Critic:
    from posterkit.critic.opening import open_critic
    from posterkit.generate.plan import RULES
    from posterkit.pipelines.presets import hardware

    return open_critic(settings.critic or RULES, device=str(hardware(settings.device).device))


def _check_reward(args: argparse.Namespace, several: bool) -> None:
    if args.reward and not several:
        also = " or --refine N" if args.command == "generate" else ""
        raise ValueError(f"--reward chooses between posters; ask for several with --best-of N{also}")


def _compare(record: dict[str, Any], revision: str) -> None:
    """Say what differs from when a poster was made, since then it will not come out the same."""
    from posterkit.cli.progress import note

    was = record["model"].get("revision")
    if was != revision:
        note(f"{record['model']['name']} is another revision now ({revision}, was {was}): the poster will differ")
    if record.get("posterkit") != __version__:
        note(f"made by posterkit {record.get('posterkit')}, this is {__version__}: the poster may differ")


def _expand(prompt: str, how: str, device: str | None) -> str | None:
    """The prompt, expanded by rules or where the poster is drawn; None, and a note, where a quoted text would go."""
    from posterkit.pipelines.presets import hardware
    from posterkit.prompts.expansion_by_model import expand_prompt

    made = expand_prompt(prompt, how, device=str(hardware(device).device))
    return made.prompt if made.used else None


def _settings(args: argparse.Namespace) -> Settings:
    from posterkit.generate.plan import Settings
    from posterkit.pipelines.revision import weights_of

    model, transformer, lora = (source and weights_of(source) for source in (args.model, args.transformer, args.lora))
    return Settings(
        model, transformer, lora, args.preset, args.device, args.dtype, args.native, args.draw_text, args.reward,
        getattr(args, "critic", None),
    )  # fmt: skip


def _override(recorded: Settings, given: Settings) -> Settings:
    changes = {
        field.name: getattr(given, field.name)
        for field in dataclasses.fields(given)
        if getattr(given, field.name) not in (None, False) or (field.name == "draw_text" and given.draw_text is False)
    }
    return dataclasses.replace(recorded, **changes)


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _keep(outputs: Sequence[Path], inputs: Iterable[Path | None]) -> None:
    for path in inputs:
        if path and path.exists() and any(output.exists() and output.samefile(path) for output in outputs):
            raise ValueError(f"{path}: -o names an input; choose another name")


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
    from posterkit.cli.progress import note

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name need not be UTF-8
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


COMMANDS = {"generate": generate, "transform": transform, "batch": batch, "info": info, "doctor": doctor}

if __name__ == "__main__":
    sys.exit(main())
