"""What every planner is."""

from __future__ import annotations

from typing import Protocol

from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.types import Layout, Measurer


class Planner(Protocol):
    """Plans layouts; safe from several threads."""

    @property
    def name(self) -> str:
        """Its name in plans and records."""
        ...

    def plan(self, request: LayoutRequest, measurer: Measurer) -> Layout:
        """A layout of every element of the request: the same one for the same request.

        Args:
            measurer: says how large texts come out.

        Raises:
            ValueError: the request contradicts itself, or its texts do not fit.
        """
        ...
