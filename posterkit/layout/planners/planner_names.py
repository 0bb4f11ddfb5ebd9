"""Opens planners by their name: `grammar`, `archetypes`, `retrieval`, `llm`, `cot`, `llm:MODEL`, `cot:MODEL`."""

from __future__ import annotations

from pathlib import Path

from posterkit.layout.planners.protocol import Planner
from posterkit.lettering import planner_fault
from posterkit.llm.open_model import opened_once
from posterkit.llm.principle import Principle

MINI = "mini:planner"  # the model that plans where none is named


@opened_once(4)
def open_planner(
    spec: str, device: str = "cpu", exemplars: str | Path | None = None, principle: Principle | None = None
) -> Planner:
    """A planner by its name, opened once.

    Args:
        spec: one of `posterkit.lettering.PLANNERS`; behind llm and cot, a colon and the model's address (see
            `open_language_model`), mini-planner's where there is none.
        device: where a local model runs.
        exemplars: a JSON lines file in place of the shipped ones.
        principle: what the answers of a local model are steered by.

    Raises:
        ValueError: there is no such planner, no exemplars, or a principle and no local model.
        AnswerError: the model cannot be loaded.
    """
    if fault := planner_fault(spec):
        raise ValueError(fault)
    name, _, address = spec.partition(":")
    if principle is not None and name not in ("llm", "cot"):
        raise ValueError(f"the planner {name} is no language model; a principle steers llm and cot")
    if name == "archetypes":  # each is imported where it is asked for: most posters are made without
        from posterkit.layout.planners.archetype_planner import ArchetypePlanner

        return ArchetypePlanner()
    if name == "grammar":
        from posterkit.layout.planners.grammar import GrammarPlanner

        return GrammarPlanner()
    from posterkit.layout.exemplars import read_exemplars
    from posterkit.layout.retrieval import ExemplarIndex

    index = ExemplarIndex(read_exemplars(exemplars) if exemplars else read_exemplars())
    if name == "retrieval":
        from posterkit.layout.planners.retrieval_planner import RetrievalPlanner

        return RetrievalPlanner(index)
    from posterkit.layout.planners.models import CotPlanner, ModelPlanner
    from posterkit.llm.open_model import open_language_model

    coarse = ModelPlanner(open_language_model(address or MINI, device=device, principle=principle), index)
    return coarse if name == "llm" else CotPlanner(coarse)
