"""Boxes, roles and placement of a poster's texts; `plan` lays them out."""

from posterkit.layout.archetypes import ARCHETYPES, PILL, Archetype
from posterkit.layout.layout_request import ElementRequest, LayoutRequest, Relation
from posterkit.layout.planner import fits, plan, runs_right_to_left
from posterkit.layout.roles import check_roles, infer_roles
from posterkit.layout.saliency import saliency
from posterkit.layout.types import (
    THINGS,
    Box,
    Element,
    Layout,
    Measured,
    Measurer,
    Obstacle,
    Stage,
    legible_size,
    margin_of,
)
from posterkit.lettering import ROLES, Align, Role

__all__ = ["ARCHETYPES", "PILL", "ROLES", "THINGS", "Align", "Archetype", "Box", "Element", "ElementRequest", "Layout",
           "LayoutRequest", "Measured", "Measurer", "Obstacle", "Relation", "Role", "Stage", "check_roles", "fits",
           "infer_roles", "legible_size", "margin_of", "plan", "runs_right_to_left", "saliency"]  # fmt: skip
