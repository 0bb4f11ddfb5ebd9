"""Telling a run that diverges from one bad batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import mean, median
from typing import Any

from torch import Tensor

from posterkit.training.sharding import whole

GROWN = 100.0  # times the loss of the first steps, or times 1 where that was less
RISEN = 10.0  # the same beside numbers that are not finite: the batch is not to blame
LARGEST = 1e3  # of a weight that trains; or a hundred times the largest of the start
_FIRST, _RECENT = 10, 5  # steps


class Divergence:
    """Follows a run's loss, and says when it has left the scale of its first steps.

    Args:
        weights: what trains, as it starts.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.weights = list(weights)
        self.limit = max(LARGEST, GROWN * self._largest())
        self.first: list[float] = []
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._step: list[float] = []

    def loss(self, value: float) -> None:
        """One forward pass's loss, finite."""
        self._step.append(abs(value))

    def stepped(self) -> None:
        """A step has been taken."""
        if self._step:
            said = mean(self._step)
            self._step.clear()
            self._recent.append(said)
            if len(self.first) < _FIRST:
                self.first.append(said)

    def of_loss(self, grown: float = GROWN) -> str | None:
        """How far the loss has risen, where it has by so many times."""
        if len(self._recent) < _RECENT or (now := median(self._recent)) <= grown * max(1.0, median(self.first)):
            return None
        return f"the loss was {median(self.first):.3g} at the start and is {now:.3g}"

    def unsettled(self) -> bool:
        """Whether the latest loss alone is out of scale: no time to save."""
        return bool(self._recent) and self._recent[-1] > GROWN * max(1.0, median(self.first))

    def of_weights(self) -> str | None:
        """How large a weight is, where none should be; all processes must ask together. Infinite ones count too."""
        largest = self._largest()
        return None if largest <= self.limit else f"the weights have grown to {largest:.3g}"

    def state_dict(self) -> dict[str, Any]:
        return {"first": self.first, "recent": list(self._recent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.first = list(state.get("first", ()))
        self._recent = deque(state.get("recent", ()), maxlen=_RECENT)

    def _largest(self) -> float:
        """Of all weights; of one that is not a number it is infinite."""
        found = [float(whole(one.detach()).abs().max()) for one in self.weights if one.numel()]
        return max((value if value == value else float("inf") for value in found), default=0.0)
