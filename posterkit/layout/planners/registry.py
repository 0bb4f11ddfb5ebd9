"""Opens planners by their name: `grammar`, `archetypes`, `retrieval`, `llm:MODEL`, `cot:MODEL`."""

from __future__ import annotations

import difflib
from pathlib import Path

from posterkit.layout.exemplars import read_exemplars
from posterkit.layout.planners.archetypes import ArchetypePlanner
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.planners.protocol import Planner
from posterkit.layout.retrieval import ExemplarIndex

PLANNERS = ("archetypes", "grammar", "retrieval", "llm", "cot")
WITH_MODEL = ("llm", "cot")


def check_planner(spec: str) -> None:
    """ValueError where a planner's name says no planner; no model is opened."""
    name, _, model = spec.partition(":")
    if name not in PLANNERS:
        near = difflib.get_close_matches(name, PLANNERS, 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"unknown planner {name!r}{meant}; use {', '.join(PLANNERS)}")
    if name in WITH_MODEL and not model:
        raise ValueError(
            f"planner {name} needs a model: {name}:URL of an OpenAI-compatible endpoint, {name}:FOLDER of a local "
            f"model, or {name}:ANSWERS.jsonl"
        )
    if name not in WITH_MODEL and model:
        raise ValueError(f"planner {name} takes no model; llm and cot do")


def open_planner(spec: str, device: str = "cpu", exemplars: str | Path | None = None) -> Planner:
    """A planner by its name.

    Args:
        spec: one of `PLANNERS`; behind llm and cot, a colon and the model's address (`open_language_model`).
        device: where a local model runs.
        exemplars: a JSON lines file in place of the shipped ones.

    Raises:
        ValueError: there is no such planner, or no exemplars.
        AnswerError: the model cannot be loaded.
    """
    check_planner(spec)
    name, _, address = spec.partition(":")
    if name == "archetypes":
        return ArchetypePlanner()
    if name == "grammar":
        return GrammarPlanner()
    index = ExemplarIndex(read_exemplars(exemplars) if exemplars else read_exemplars())
    if name == "retrieval":
        from posterkit.layout.planners.retrieval import RetrievalPlanner

        return RetrievalPlanner(index)
    from posterkit.layout.planners.models import CotPlanner, ModelPlanner
    from posterkit.llm.open_model import open_language_model

    coarse = ModelPlanner(open_language_model(address, device=device), index)
    return coarse if name == "llm" else CotPlanner(coarse)
