"""Where the safety gate acts on a poster: its words before it is planned, its references, suggestions, the result."""

# pyright: standard
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from posterkit.critic import Critic, Suggestions
from posterkit.generate.checkpoint import Settings
from posterkit.generate.poster_plan import PosterPlan
from posterkit.generate.record import FinishedPoster
from posterkit.messages import one_line
from posterkit.metrics.text_regions import DetectedText
from posterkit.safety.decision import GateDecision, Refused
from posterkit.safety.detectors import DEFAULT
from posterkit.safety.gate import DEFAULT_MODES, SafetyGate, open_gate


def gate_of(settings: Settings) -> SafetyGate | None:
    """The gate of a maker's settings; None where it is off.

    Raises:
        AnswerError: one of its models cannot be loaded.
        ValueError: its settings name what is not there.
    """
    return open_gate(
        settings.safety or DEFAULT_MODES, detector=settings.detector or DEFAULT, policies=settings.policies,
        rewriter=settings.rewriter or "template", brands=settings.brands,
    )  # fmt: skip


def checked_plan(plan: PosterPlan, decisions: Sequence[GateDecision]) -> PosterPlan:
    """The plan of a request that the gate has looked at, with what it decided, and notes on what it found."""
    notes = tuple(note for one in decisions if (note := note_on(one)))
    return replace(plan, decisions=tuple(decisions), notes=(*plan.notes, *notes))


def check_references(gate: SafetyGate, plan: PosterPlan) -> list[GateDecision]:
    """The decisions about a poster's input pictures; Refused where one is blocked."""
    if not gate.active("references"):
        return []
    decisions = [gate.check_picture(image, "references") for image in plan.request.images]
    if any(one.action == "block" for one in decisions):
        raise Refused(decisions)
    return decisions


def check_finished(
    gate: SafetyGate, plan: PosterPlan, poster: FinishedPoster, others: Sequence[GateDecision]
) -> FinishedPoster:
    """The poster with every decision in its record.

    Args:
        others: decisions since the plan was made.

    Raises:
        Refused: it is blocked.
    """
    later = list(others)
    if gate.active("finished"):
        later.append(gate.check_picture(poster.image, "finished"))
        if later[-1].action == "block":
            raise Refused(later[-1:])
    rows = [one.row() for one in (*plan.decisions, *later)]
    said = {"modes": gate.modes, "detector": gate.detector.name, "decisions": rows}
    notes = [note for one in later if (note := note_on(one))]
    return replace(poster, record=poster.record | {"safety": said}, notes=[*poster.notes, *notes])


def note_on(decision: GateDecision) -> str | None:
    """What a designer has to know of a decision; None where nothing was found."""
    if decision.action == "allow":
        return None
    text = one_line(decision.original, 60)
    if decision.action == "rewrite":
        return f'{decision.surface}: "{text}" is now "{one_line(decision.text, 60)}": {decision.reason}'
    return f'{decision.surface}: "{text}": {decision.reason}'


class CheckedCritic:
    """A critic whose suggestions go through the gate.

    Attributes:
        decisions: about what it has suggested so far.
    """

    def __init__(self, critic: Critic, gate: SafetyGate) -> None:
        self._critic, self._gate = critic, gate
        self.decisions: list[GateDecision] = []

    @property
    def name(self) -> str:
        return self._critic.name

    def caption(self, poster: Image.Image) -> str:
        return self._critic.caption(poster)

    def blemishes(self, poster: Image.Image) -> tuple[str, ...]:
        return self._critic.blemishes(poster)

    def texts(self, poster: Image.Image) -> tuple[DetectedText, ...]:
        return self._critic.texts(poster)

    def suggest(self, poster: Image.Image, prompt: str, better: Image.Image | None = None) -> Suggestions:
        """Its suggestions as they may be followed; Refused where one is blocked."""
        said = self._critic.suggest(poster, prompt, better)
        decisions = [self._gate.check(words, "critic") for words in (said.content, said.style)]
        self.decisions += decisions
        if any(one.action == "block" for one in decisions):
            raise Refused(decisions)
        return Suggestions(*(one.text for one in decisions))


def decisions_of(made: FinishedPoster | Exception) -> list[dict[str, Any]]:
    """What was decided about a poster beyond letting its texts pass, for a ledger."""
    if isinstance(made, Refused):
        rows = [one.row() for one in made.decisions]
    else:
        rows = [] if isinstance(made, Exception) else made.record.get("safety", {}).get("decisions", [])
    return [row for row in rows if row["action"] != "allow" or row.get("unchecked")]
