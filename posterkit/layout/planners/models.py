"""Plans by a language model: LayoutPrompter's one step (`llm`), and LayoutCoT's three further ones (`cot`).

LayoutCoT (arXiv 2504.10829): exemplars by retrieval, a coarse layout chosen from several answers, then questions about
positions, sizes and numbers. What is added here: each stage is told its faults by arithmetic; it counts only where no
hard check gets worse; the stages end early where nothing is wrong; every stage stands in the plan's trace.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from posterkit.layout.faults import HARD, LayoutFault, footprint, hard_count
from posterkit.layout.ground import Ground
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.planners.questions import SCHEMA, STAGES, SYSTEM, coarse_question, read_boxes, stage_question
from posterkit.layout.planners.retrieval_planner import shipped_index
from posterkit.layout.ranking import best_first, scored
from posterkit.layout.repair import repair
from posterkit.layout.retrieval import ExemplarIndex
from posterkit.layout.slots import set_in_slots
from posterkit.layout.things import place_things, shaped
from posterkit.layout.types import Box, Layout, Measurer, Stage
from posterkit.llm.client import AnswerError, BatchLanguageModel, LanguageModel

_DROP = 0.02  # of the score, which a stage may cost


@dataclass(frozen=True)
class ModelPlanner:
    """Several answers of a language model, the best by the ranker.

    Args:
        model: answers in numbers; it sees no pictures.
        index: where exemplars come from.
        exemplars: shown with each question, each time in another order.
        samples: answers that are asked for.
        left_out: sources or ids of exemplars that must not be shown.
    """

    model: LanguageModel
    index: ExemplarIndex = field(default_factory=shipped_index)
    exemplars: int = 10
    samples: int = 10
    left_out: Collection[str] = ()
    name: str = "llm"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        """Where no answer can be used, the grammar's layout, and a warning that says why."""
        request.check()
        ground = Ground(request)
        coarse, trace = self.coarse(request, measurer, ground)
        if coarse is None:
            return fallen_back(request, measurer, trace, self.model.name)
        return finished(coarse, request, measurer, ground, self.name, trace, self.model.name)

    def coarse(
        self, request: LayoutRequest, measurer: Measurer, ground: Ground
    ) -> tuple[tuple[Layout, list[LayoutFault]] | None, list[Stage]]:
        """The best answer as it is, with its faults (None where there is none), and one stage for every answer."""
        found = self.index.for_request(request, self.exemplars, self.left_out)
        rng = Random(f"exemplars {request.seed}")
        made: list[tuple[Layout, list[LayoutFault]]] = []
        trace: list[Stage] = []
        questions = [coarse_question(request, ground, rng.sample(found, len(found))) for _ in range(self.samples)]
        for number, said in enumerate(answers_to(self.model, questions)):
            try:
                if isinstance(said, AnswerError):
                    raise said
                boxes, words = read_boxes(said, request, ground, self.model.name)
            except AnswerError as error:
                trace.append(Stage(f"coarse {number + 1}", False, words=str(error)))
                continue
            layout = scored(laid_out(boxes, request, measurer, ground), request, ground, measurer)
            made.append(layout)
            trace.append(_stage(f"coarse {number + 1}", False, layout, words))
        if not made:
            return None, trace
        best = best_first(made)[0]
        kept = next(at for at, stage in enumerate(trace) if stage.boxes == tuple(one.box for one in best[0]))
        trace[kept] = replace(trace[kept], kept=True)
        return best, trace


@dataclass(frozen=True)
class CotPlanner:
    """A coarse layout, then a question about positions, one about sizes, one about numbers.

    Args:
        coarse: gives the first layout, and the model.
        exemplars: shown in the stages, chosen by LTSim to the layout so far.
        stages: asked in turn, of `questions.STAGES`; `questions.ONE_STAGE` asks all in one.
    """

    coarse: ModelPlanner
    exemplars: int = 4
    stages: Sequence[str] = tuple(STAGES)
    name: str = "cot"

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        request.check()
        ground = Ground(request)
        best, trace = self.coarse.coarse(request, measurer, ground)
        if best is None:
            return fallen_back(request, measurer, trace, self.coarse.model.name)
        return self.refined(best, trace, request, measurer, ground)

    def refined(
        self,
        best: tuple[Layout, list[LayoutFault]],
        trace: Sequence[Stage],
        request: LayoutRequest,
        measurer: Measurer,
        ground: Ground,
    ) -> Layout:
        """A coarse layout after the stages, mended."""
        model, trace = self.coarse.model, [*trace]
        for name in self.stages:
            layout, faults = best
            if not faults:
                trace.append(Stage(name, False, layout.score, words="nothing is wrong: the stages end here"))
                break
            exemplars = self.coarse.index.like(layout, self.exemplars, self.coarse.left_out)
            now = [footprint(one) for one in layout]
            question = stage_question(name, request, ground, exemplars, now, faults)
            try:
                boxes, words = asked(model, question, request, ground)
            except AnswerError as error:
                trace.append(Stage(name, False, layout.score, words=str(error)))
                continue
            after = scored(laid_out(boxes, request, measurer, ground), request, ground, measurer)
            kept = not _worse(after[1], faults) and after[0].score >= layout.score - _DROP
            trace.append(_stage(name, kept, after, words))
            best = after if kept else best
        return finished(best, request, measurer, ground, self.name, trace, model.name)


def answers_to(model: LanguageModel, questions: Sequence[str]) -> list[str | AnswerError]:
    """An answer, or why there is none, for each question; in one batch where the model takes several."""
    if isinstance(model, BatchLanguageModel):
        try:
            return [*model.ask_all(SYSTEM, questions)]
        except AnswerError as error:
            return [error] * len(questions)
    answers: list[str | AnswerError] = []
    for question in questions:
        try:
            answers.append(model.ask(SYSTEM, question, schema=SCHEMA))
        except AnswerError as error:
            answers.append(error)
    return answers


def asked(model: LanguageModel, question: str, request: LayoutRequest, ground: Ground) -> tuple[dict[int, Box], str]:
    """The boxes of a model's answer by id, and its reasoning; AnswerError where there is none."""
    return read_boxes(model.ask(SYSTEM, question, schema=SCHEMA), request, ground, model.name)


def laid_out(boxes: Mapping[int, Box], request: LayoutRequest, measurer: Measurer, ground: Ground) -> Layout:
    """The request's texts set in a model's boxes, its things where the model or the picture has them."""
    whole = Box(0, 0, *request.size)
    slots = [one.box if one.fixed and one.box else boxes.get(at, whole) for at, one in enumerate(request.elements)]
    slots = [shaped(box, one.aspect) for box, one in zip(slots, request.elements, strict=True)]
    elements = set_in_slots(request, slots, measurer)
    known = tuple(one for one in elements if one.index in boxes or request.elements[one.index].fixed)
    return place_things(Layout(*request.size, known, (), "model"), request, ground)


def finished(
    best: tuple[Layout, list[LayoutFault]],
    request: LayoutRequest,
    measurer: Measurer,
    ground: Ground,
    planner: str,
    trace: Sequence[Stage],
    model: str,
) -> Layout:
    """The layout mended, with its trace; the grammar's where it cannot be."""
    mended = scored(repair(best[0], request, measurer, ground), request, ground, measurer)
    mended = mended if hard_count(mended[1]) <= hard_count(best[1]) else best
    if hard_count(mended[1]):
        return fallen_back(request, measurer, [*trace, _stage("repair", False, mended, "")], model)
    return replace(mended[0], planner=planner, trace=(*trace, _stage("repair", True, mended, "")))


def fallen_back(request: LayoutRequest, measurer: Measurer, trace: Sequence[Stage], model: str) -> Layout:
    """The grammar's layout, said aloud."""
    why = next((stage.words or "; ".join(stage.faults) for stage in reversed(trace)), "")
    warnings.warn(f"{model}: none of its layouts can be used ({why}); the grammar plans in its place", stacklevel=3)
    layout = GrammarPlanner().plan(request, measurer)
    return replace(
        layout, trace=(*trace, Stage("grammar", True, layout.score, boxes=tuple(one.box for one in layout)))
    )


def _worse(after: Sequence[LayoutFault], before: Sequence[LayoutFault]) -> bool:
    """Some hard check fails more often than before."""
    now, then = (Counter(fault.kind for fault in faults) for faults in (after, before))
    return any(now[kind] > then[kind] for kind in HARD)


def _stage(name: str, kept: bool, made: tuple[Layout, Sequence[LayoutFault]], words: str) -> Stage:
    layout, faults = made
    boxes = tuple(one.box for one in layout)
    return Stage(name, kept, layout.score, tuple(fault.words for fault in faults), boxes, words)
