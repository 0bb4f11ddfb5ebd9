"""What the gate decides about a text, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

# where words come to a poster, or leave it
SURFACES: tuple[str, ...] = ("prompt", "copy", "references", "finished", "critic")
WRITTEN = ("prompt", "copy", "critic")  # can be written anew; what stands in a picture cannot
MODES: tuple[str, ...] = ("off", "warn", "rewrite", "block")  # what happens to a text that is found harmful
ACTIONS = ("allow", "warn", "rewrite", "block")


@dataclass(frozen=True)
class GateDecision:
    """A decision about one text."""

    surface: str  # one of `SURFACES`
    action: str  # one of `ACTIONS`: what was done
    p_harm: float  # the probability that the original is harmful, in [0, 1]
    category: str | None  # the policy that it breaks; None where it breaks none
    reason: str  # one line
    by: str  # the detector that says so; empty where nothing was found
    original: str  # the text that was checked
    rewritten: str | None = None  # what stands in its place; None where it stays
    rounds: int = 0  # how often it was rewritten
    unchecked: tuple[str, ...] = ()  # what should have been looked at and was not, since there is no detector for it

    @property
    def text(self) -> str:
        """The text that may go on: the original, byte for byte, unless it was rewritten."""
        return self.original if self.rewritten is None else self.rewritten

    def row(self) -> dict[str, Any]:
        """As it stands in a record or a ledger."""
        row = asdict(self) | {"p_harm": round(self.p_harm, 4), "unchecked": list(self.unchecked)}
        if self.action == "allow":  # the text stands in the record anyway
            row["original"] = ""
        return {key: value for key, value in row.items() if value not in (None, [], "", 0) or key == "p_harm"}


class Refused(ValueError):
    """A text is blocked; the message says which and why."""

    def __init__(self, decisions: Sequence[GateDecision]) -> None:
        self.decisions = tuple(decisions)
        blocked = [one for one in decisions if one.action == "block"]
        super().__init__("; ".join(f"blocked ({one.surface}): {one.reason}" for one in blocked))
