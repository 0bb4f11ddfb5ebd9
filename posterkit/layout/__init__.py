"""Boxes, roles and placement of a poster's texts; `plan` is the one door."""

from posterkit.layout.archetypes import ARCHETYPES, PILL, Archetype
from posterkit.layout.planner import plan, runs_right_to_left
from posterkit.layout.roles import check_roles, infer_roles
from posterkit.layout.saliency import saliency
from posterkit.layout.types import (
    ROLES,
    Align,
    Box,
    Element,
    Layout,
    Measured,
    Measurer,
    Role,
    legible_size,
    margin_of,
)

__all__ = ["ARCHETYPES", "PILL", "ROLES", "Align", "Archetype", "Box", "Element", "Layout", "Measured", "Measurer",
           "Role", "check_roles", "infer_roles", "legible_size", "margin_of", "plan", "runs_right_to_left",
           "saliency"]  # fmt: skip
