"""Planners: from a request to a layout, by rules, by exemplars, or by a language model."""

from posterkit.layout.planners.protocol import Planner

__all__ = ["Planner"]
