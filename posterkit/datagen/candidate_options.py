"""Options of the tools that draw several posters for each prompt: prompts, model, judge."""

from __future__ import annotations

import argparse
import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from posterkit.arguments import typed
from posterkit.critic import RULES, open_critic
from posterkit.datagen.command_line import ToolParser, positive_int, size
from posterkit.datagen.drawing import Draw, ModelAt, open_model
from posterkit.datagen.lazy_models import OpenCritic, OpenReward, open_judge
from posterkit.datagen.requests import SetRequests, read_requests
from posterkit.pipelines.registry import family_for, family_of
from posterkit.sizing import Size, check_on_grid
from posterkit.tasks import TASKS, TEXT

share = typed(float, "a number from 0 to 1", lambda value: 0 <= value <= 1)


class CandidateOptions(ToolParser):
    """The options of a tool that draws candidates and has them judged.

    `candidates` is the default number for each prompt; `gates` those of the least scores that the best one's text and
    content must reach, None for a tool without gates.
    """

    def __init__(self, description: str | None, *, candidates: int, gates: tuple[float, float] | None = None) -> None:
        super().__init__(description)
        # a model is large: one process, unless each has a card or a share of one
        self.set_defaults(workers=1, shard=50)
        said = {action.dest: action for action in self._actions}
        said["workers"].help = "processes, each with a model of its own (default 1)"
        said["shard"].help = "rows in a shard; a killed run draws the last shard anew (default 50)"
        add = self.add_argument
        add("input", type=Path, metavar="PROMPTS", help="a text file, a .jsonl file, or a set's folder")
        if gates:
            add("--task", choices=(TEXT, *TASKS), metavar="TASK", help="only rows of this task")
        number = f"of each prompt (default {candidates})"
        add("--candidates", type=positive_int, default=candidates, metavar="N", help=number)
        model = self.add_argument_group("model")
        add = model.add_argument
        add("--model", metavar="M", help="a folder or hub id (default: the mini checkpoint that draws the task)")
        add("--transformer", metavar="T", help="goes into the model instead of its own")
        add("--lora", nargs="+", default=[], metavar="L", help="LoRAs; =0.8 behind one is its weight")
        add("--size", type=size, metavar="WxH", help="of the posters, multiples of 16 (default: the model's own)")
        add("--steps", type=positive_int, metavar="N", help="denoising steps (default: the model's own)")
        add("--guidance", type=float, metavar="G", help="its strength (default: the model's own)")
        add(
            "--typeset", action=argparse.BooleanOptionalAction, default=False,
            help="the model draws no text; fonts set the quoted texts over it",
        )  # fmt: skip
        together = "candidates in one call of the model (default 8)"
        add("--batch", type=positive_int, default=8, metavar="N", help=together)
        add("--preset", metavar="P", help="how it fits the card, as posterkit doctor names them")
        add("--device", metavar="D", help="cpu, cuda, cuda:1 (default: the best there is)")
        add("--dtype", metavar="D", help="float32, bfloat16, float16")
        judge = self.add_argument_group("judge")
        add = judge.add_argument
        add(
            "--judge", default=RULES, metavar="WHO",
            help='"rules" (OCR and measures, the default), the URL of an OpenAI-compatible endpoint with a model that '
            "sees, or the folder of a local one",
        )  # fmt: skip
        add("--judge-model", metavar="NAME", help="the model's name at the endpoint (default: its first)")
        add("--judge-device", default="cpu", metavar="D", help="where a local judge runs (default cpu)")
        add("--answers", metavar="DIR", help="keeps a model's answers; what it said once is not asked again")
        at_once = "prompts at a time before a far judge (default 1)"
        add("--threads", type=positive_int, default=1, metavar="N", help=at_once)
        for name, least in zip(("text", "content"), gates or (), strict=False):
            add(
                f"--gate-{name}", type=share, default=least, metavar="S",
                help=f"the least that the judge says of the best poster's {name}, 0 to 1 (default {least:g})",
            )  # fmt: skip


def requests_of(given: argparse.Namespace, turns: int) -> SetRequests:
    """The requests of the input; ValueError as `read_requests`, or where there is nothing to compare."""
    if given.candidates < 2:
        raise ValueError("--candidates 1: it takes two to compare")
    return read_requests(given.input, given.task, turns)


def draw_step(given: argparse.Namespace, requests: SetRequests, finish: Size | None = None) -> Draw:
    """The step that draws; the model is loaded here, so that a wrong one shows before any work. `finish`: see `Draw`.

    ValueError where the model cannot be loaded, does not draw the task, or the size is off its grid.
    """
    family = family_for(requests.tasks[0])
    source = given.model or family.mini
    model = ModelAt(source, given.transformer, tuple(given.lora), given.preset, given.device, given.dtype)
    if family_of(source) is not family:
        raise ValueError(f"{source}: does not draw {', '.join(requests.tasks)}; take a {family.title} folder")
    if given.size:
        check_on_grid(*given.size)
    if given.workers == 1:
        open_model(model)
    return Draw(
        model, given.candidates, given.seed, given.size, given.steps, given.guidance, given.typeset, given.batch,
        finish,
    )  # fmt: skip


def judge_of(given: argparse.Namespace) -> tuple[OpenCritic, OpenReward]:
    """The judge's critic and reward, opened so that a wrong one shows before any work; errors as `open_critic`."""
    model, device, answers = given.judge_model, given.judge_device, given.answers
    critic = partial(open_critic, given.judge, model=model, device=device, cache=answers)
    critic()
    return critic, partial(open_judge, given.judge, model, device, answers)


def settings_of(given: argparse.Namespace, requests: SetRequests, draw: Draw) -> dict[str, Any]:
    """What decides what comes out, for a set's settings."""
    rows = repr([row if isinstance(row, dict) else row.detail for row in requests.rows])
    return {
        "prompts": hashlib.sha256(rows.encode()).hexdigest()[:16], **draw.settings(), "judge": given.judge,
        "judge_model": given.judge_model,
    }  # fmt: skip
