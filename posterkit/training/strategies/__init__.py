"""How far the task's gradient reaches: through the whole model, or through the second half of the transformer only."""

from __future__ import annotations

from posterkit.training.adapters import Adapter
from posterkit.training.strategies.lopt import FrozenHalf, Halves, LoPT, reconstruction_error
from posterkit.training.strategies.strategy import EndToEnd, Group, HalvesConfig, Strategy, StrategyConfig

__all__ = [
    "EndToEnd", "FrozenHalf", "Group", "Halves", "HalvesConfig", "LoPT", "Strategy", "StrategyConfig",
    "build_strategy", "reconstruction_error",
]  # fmt: skip


def build_strategy(config: StrategyConfig, model: Adapter) -> Strategy:
    """The strategy that a stage's config asks for; to be built before `run.steps`, which asks it for what trains.

        strategy = build_strategy(config, model)
        for batch in run.steps(model, loader, strategy):
            ...
            v = strategy.velocity(x, t, condition)
            run.backward(flow_matching_loss(v, noise - x0))

    Args:
        model: an adapter (`FluxAdapter`, `QwenAdapter`), what it trains (a LoRA) in place.

    Raises:
        TypeError: the config takes halves and the transformer is none of the two families', or wrapped or sharded.
        ValueError: it cannot be cut there, or one half has nothing that trains.
    """
    if config.strategy == "end_to_end":
        return EndToEnd(model)
    if config.strategy == "frozen_half" or config.halves.target == "frozen":
        return FrozenHalf(model, config.halves)
    return LoPT(model, config.halves, config.accumulation)
