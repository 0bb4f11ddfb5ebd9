"""A row of a batch: a request, or why it is none."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from posterkit.lettering import Lettering
from posterkit.schema import PosterRequest


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be made, and why in one line."""

    id: str
    why: str


def _with_common(request: PosterRequest, common: PosterRequest) -> Lettering:
    """A row's lettering, and what holds for all rows where it says nothing; roles, boxes and plan go with texts."""
    own, shared = request.lettering, common.lettering
    if request.texts != common.texts:
        shared = replace(shared, roles=(), boxes=(), plan=None)
    if own.boxes or own.layout or own.planner or own.plan:
        shared = replace(shared, boxes=(), layout=None, planner=None, plan=None)
    return replace(
        own, **{field.name: getattr(own, field.name) or getattr(shared, field.name) for field in fields(own)}
    )


def checked(request: PosterRequest, common: PosterRequest) -> PosterRequest | BadRow:
    """The request with what holds for all rows, or what in it contradicts its task.

    Sizes count together (a row's width does not meet the command line's height); an anchor only for
    extending, `preserve` only for id_driven.
    """
    shared = request.size is None
    changes: dict[str, Any] = {"size": common.size, "sheet": common.sheet} if shared else {}
    if request.anchor is None and request.task == "extending":
        changes["anchor"] = common.anchor
    if request.preserve is None and request.task == "id_driven":
        changes["preserve"] = common.preserve
    for name in ("steps", "guidance", "negative_prompt", "best_of", "draft", "strength", "regional"):
        if getattr(request, name) is None:
            changes[name] = getattr(common, name)
    changes["lettering"] = _with_common(request, common)
    request = replace(request, **changes)
    try:
        request.check()
    except ValueError as error:
        return BadRow(request.id, str(error))
    return request
