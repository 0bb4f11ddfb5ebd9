"""Preference pairs from disk as lessons, beside those that a model draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from posterkit.training.loading.prefetch import PrefetchLoader
from posterkit.training.rl.groups import PolicyBatch
from posterkit.training.run import Run


class StoredPairs:
    """Endless lessons from batches of pairs, see `posterkit.training.loading.pairs`."""

    def __init__(self, run: Run, model: Any, batches: PrefetchLoader) -> None:
        self.run, self.model, self.batches = run, model, batches

    def __iter__(self) -> Iterator[PolicyBatch]:
        batches = iter(self.batches)
        try:
            for batch in batches:
                with self.run.autocast():
                    x0, condition = self.model.encode(batch)
                yield PolicyBatch(batch, x0, condition)
        finally:
            batches.close()  # pyright: ignore[reportAttributeAccessIssue] - a generator; its thread reads ahead

    def state_dict(self) -> dict[str, Any]:
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches.load_state_dict(state)
