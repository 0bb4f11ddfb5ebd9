"""PosterMaker: the one way from a request to a finished poster."""

# pyright: standard
from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from PIL.Image import Image

from posterkit.critic import Critic
from posterkit.generate.checkpoint import Checkpoint, Settings, find_checkpoint
from posterkit.generate.choose import DrawPosters, Made, Scorer, draw_best
from posterkit.generate.compose import finish
from posterkit.generate.draw import PreparedPoster, draw_prepared, prepare
from posterkit.generate.poster_plan import RULES, PosterPlan
from posterkit.generate.record import FinishedPoster
from posterkit.generate.refine import redraw, refine, untaught
from posterkit.generate.relay import plan_of
from posterkit.generate.safety_checks import CheckedCritic, check_finished, check_references, checked_plan, gate_of
from posterkit.pipelines.registry import family_for, resolve
from posterkit.safety.decision import GateDecision, Refused
from posterkit.safety.provenance import LEVELS
from posterkit.schema import PosterRequest

_SMALL = 256 * 256  # native pixels up to which several posters at once pay; from about 1 MP they gain next to nothing
_AT_ONCE = 8

Prepared = PreparedPoster | ValueError  # a plan with its pictures read, or why they cannot be


class Progress(Protocol):
    """Shows how far a poster is: what is done from now on, in how many steps, and how many of them are done."""

    def begin(self, words: str, total: int) -> None: ...
    def step(self, done: int) -> None: ...


class _Silent:
    def begin(self, words: str, total: int) -> None:
        pass

    def step(self, done: int) -> None:
        pass


_SILENT = _Silent()


class PosterMaker:
    """Makes finished posters with one set of settings.

        maker = PosterMaker()
        poster = maker(PosterRequest("a lighthouse at night", texts=["NORTH LIGHT"], size=(832, 1216), seed=1))
        poster.save("poster.png")

    Models open on first use, the shipped mini where none is named; one pipeline at a time is held, since two big
    models rarely fit. Safe from several threads: they plan at the same time, one of them draws.

    Args:
        settings: see `posterkit.generate.checkpoint.Settings`: `model`, `transformer`, `lora`, `preset`, `device`,
            `dtype`, `native`, `draw_text`, `reward`, `critic`, `segmenter`, `upscaler`, `safety`, `policies`,
            `detector`, `rewriter`, `brands`, `principle`, `metadata`. A recipe's run folder stands for its averaged
            weights.
    """

    def __init__(self, **settings: Any) -> None:
        given = Settings(**settings)
        if given.metadata not in (None, *LEVELS):
            raise ValueError(f"metadata must be one of {', '.join(LEVELS)}, found {given.metadata!r}")
        shipped = given.model == "mini" or (given.model or "").startswith("mini:")  # records call it by its name
        self.settings = replace(
            given,
            model=given.model if shipped else given.model and resolve(given.model),
            transformer=given.transformer and resolve(given.transformer),
            lora=given.lora and resolve(given.lora),
        )
        self._checkpoints: dict[str, Checkpoint] = {}
        self._scorers: dict[frozenset[str], Scorer] = {}
        self._opened: tuple[str, Any] | None = None
        self._critic: Critic | None = None
        self.gate = gate_of(given)
        self._planning, self._making = threading.RLock(), threading.RLock()

    def __call__(self, request: PosterRequest, progress: Progress = _SILENT) -> FinishedPoster:
        """Make one poster; without a seed it takes a random one.

        Raises:
            ValueError: the request contradicts itself, a file or a model cannot be read, or a text cannot be set.
            NoneScored: none of several candidates could be scored.
        """
        if request.seed is None:
            request = replace(request, seed=int.from_bytes(os.urandom(4), "big") % 2**31)
        (made,) = self.make([self.plan(request)], progress=progress)
        if isinstance(made, Exception):
            raise made
        return made

    def plan(self, request: PosterRequest, seed: int = 0) -> PosterPlan:
        """Settle a request before anything is loaded; ValueError as `PosterRequest.check` and `plan_of`.

        Raises:
            Refused: the safety gate blocks its words (a ValueError too).
        """
        request.check()
        decisions: list[GateDecision] = []
        if self.gate is not None:
            request, decisions = self.gate.check_request(request)
        plan = checked_plan(plan_of(request, self.settings, self.checkpoint(request.task), seed), decisions)
        if request.refine and (line := untaught(plan)):
            warnings.warn(line, stacklevel=2)
        return plan

    def checkpoint(self, task: str) -> Checkpoint:
        """The checkpoint of a task, looked up once; ValueError as `find_checkpoint`."""
        name = family_for(task).name
        with self._planning:
            if name not in self._checkpoints:
                self._checkpoints[name] = find_checkpoint(self.settings, task)
            return self._checkpoints[name]

    def make(
        self, plans: Sequence[PosterPlan], at_once: int | None = None, progress: Progress = _SILENT
    ) -> list[Made]:
        """Make posters whose plans go together (`together`).

        Args:
            at_once: drawn in one call of the pipeline; None chooses by their size.

        Returns:
            For each plan its poster, or why there is none.

        Raises:
            Exception: the model cannot be loaded, or a call of the pipeline fails.
        """
        with self._making:
            return [finished() for finished in self.draw(self.prepare(plans), at_once, progress)]

    def prepare(self, plans: Sequence[PosterPlan]) -> list[Prepared]:
        """Read the plans' pictures; for each what is drawn from, or why it cannot be."""
        return [self._prepared(plan) for plan in plans]

    def draw(
        self, prepared: Sequence[Prepared], at_once: int | None = None, progress: Progress = _SILENT
    ) -> list[Callable[[], Made]]:
        """Draw posters whose plans go together, see `make`.

        Returns:
            For each what finishes it: enlarges, sets texts, checks. Another thread may call it while the next are
            drawn.
        """
        with self._making:
            ready = [one for one in prepared if isinstance(one, PreparedPoster)]
            at_once = at_once or (_AT_ONCE if ready and ready[0].plan.native.area <= _SMALL else 1)
            drawn = iter(self._draw(ready, at_once, progress) if ready else ())
            return [next(drawn) if isinstance(one, PreparedPoster) else partial(_as_it_is, one) for one in prepared]

    def scorer(self, tasks: Collection[str]) -> Scorer:
        """The reward that chooses between posters of these tasks, opened once; ValueError and OSError as `Scorer`."""
        with self._making:
            for known, scorer in self._scorers.items():
                if known.issuperset(tasks):
                    return scorer
            return self._scorers.setdefault(frozenset(tasks), Scorer(self.settings, tasks))

    def pipeline(self, task: str) -> Any:
        """The pipeline that draws a task, loaded on first use; another family's is let go first."""
        with self._making:
            checkpoint, s = self.checkpoint(task), self.settings
            if self._opened is None or self._opened[0] != checkpoint.family.name:
                self._opened = None
                pipe = open_pipeline(
                    checkpoint.source, transformer=s.transformer, lora=s.lora, preset=s.preset, device=s.device,
                    dtype=s.dtype, sampler=s.sampler,
                )  # fmt: skip
                self._opened = checkpoint.family.name, pipe
            return self._opened[1]

    def close(self) -> None:
        """Let models and rewards go."""
        with self._making:
            for scorer in self._scorers.values():
                scorer.close()
            self._scorers, self._opened, self._critic = {}, None, None

    def __enter__(self) -> PosterMaker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _draw(self, posters: Sequence[PreparedPoster], at_once: int, progress: Progress) -> list[Callable[[], Made]]:
        plan, request = posters[0].plan, posters[0].plan.request
        if plan.best_of > 1 or request.refine:
            self.scorer([request.task])  # what cannot be opened is said before the model is
        pipe = self.pipeline(request.task)
        progress.begin("drawing {}x{}".format(*plan.native), -(-len(posters) * plan.best_of // at_once) * plan.steps)

        def draw(some: Sequence[PreparedPoster]) -> Iterator[tuple[Image, dict[str, Any]]]:
            for start in range(0, len(some), at_once):
                part, before = some[start : start + at_once], start // at_once * plan.steps
                on_step = partial(lambda before, done: progress.step(before + done), before)
                yield from draw_prepared(pipe, part, self.settings.lora, on_step)

        def finished(some: Sequence[PreparedPoster]) -> Iterator[Made]:
            return (_finished(one, *picture) for one, picture in zip(some, draw(some), strict=True))

        if plan.best_of == 1 and not request.refine and not request.feedback:
            first: dict[str, PreparedPoster] = {}  # poster of each picture
            for poster in posters:
                first.setdefault(poster.plan.drawing, poster)
            pictures = dict(zip(first, draw(list(first.values())), strict=True))
            return [
                partial(self._checked, one, partial(_finished, one, *pictures[one.plan.drawing])) for one in posters
            ]
        return [partial(_as_it_is, one) for one in self._improved(posters, finished, progress)]

    def _improved(self, posters: Sequence[PreparedPoster], draw: DrawPosters, progress: Progress) -> list[Made]:
        """Choose, redraw as the requests say, refine."""
        plan, request = posters[0].plan, posters[0].plan.request
        scorer = self.scorer([request.task]) if plan.best_of > 1 or request.refine else None
        critic = self._open_critic() if request.refine else None
        made = draw_best(posters, draw, scorer) if scorer and plan.best_of > 1 else list(draw(posters))
        progress.begin("refining", request.steps or 0)
        for number, (poster, draft) in enumerate(zip(posters, made, strict=True)):
            if isinstance(draft, FinishedPoster):
                for suggestions in poster.plan.request.feedback:
                    draft = redraw(poster, draft, suggestions, draw)
                checked = CheckedCritic(critic, self.gate) if critic and self.gate else None
                if scorer and critic:
                    draft = refine(poster, draft, checked or critic, scorer, draw)
                made[number] = self._checked(poster, partial(_as_it_is, draft), checked.decisions if checked else [])
        return made

    def _prepared(self, plan: PosterPlan) -> Prepared:
        try:
            seen = check_references(self.gate, plan) if self.gate else []
            return replace(prepare(plan), decisions=seen)
        except ValueError as error:
            return error

    def _checked(
        self, poster: PreparedPoster, finished: Callable[[], Made], said: Sequence[GateDecision] = ()
    ) -> Made:
        made = finished()
        if self.gate is None or isinstance(made, Exception):
            return made
        try:
            return check_finished(self.gate, poster.plan, made, [*poster.decisions, *said])
        except Refused as refused:
            return refused

    def _open_critic(self) -> Critic:
        from posterkit.critic import open_critic
        from posterkit.pipelines.presets import hardware

        if self._critic is None:
            device = str(hardware(self.settings.device).device)
            self._critic = open_critic(
                self.settings.critic or RULES, device=device, principle=self.settings.critic_principle
            )
        return self._critic


def _finished(poster: PreparedPoster, picture: Image, parameters: dict[str, Any]) -> Made:
    try:
        return finish(poster, picture, parameters)
    except Exception as error:  # costs only its own poster: the others are drawn
        return error


def _as_it_is(made: Made) -> Made:
    return made


def open_pipeline(source: str, **options: Any) -> Any:
    """As `posterkit.pipelines.presets.load_pipeline`, without any progress bar of the libraries."""
    from posterkit.pipelines.loading import quiet_bars
    from posterkit.pipelines.presets import load_pipeline

    quiet_bars()
    pipe = load_pipeline(source, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def together(plan: PosterPlan) -> tuple[Any, ...]:
    """Plans with equal keys can be drawn in one call."""
    one = plan.request
    steers = one.negative_prompt is None
    strength = plan.draft and plan.draft.strength
    return (one.task, plan.native, one.steps, one.guidance, steers, one.lora, plan.best_of, one.refine, one.feedback,
            strength, plan.preserve, plan.regions)  # fmt: skip
