"""Executor tier E0: from a planner's reasoning to a layout by the grammar, and a verifier that counts checks.

The executor has not read the brief. What the reasoning does not tell it, it takes as it comes: texts in the order
given, the first one as title, dark letters, no logo, and nothing of the picture to be kept free.
"""

# pyright: standard
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

from PIL import Image

from posterkit.layout import Box, ElementRequest, Layout, LayoutRequest, legible_size
from posterkit.layout.faults import find_faults, footprint
from posterkit.layout.planners.grammar import GrammarPlanner
from posterkit.layout.reasoning import Letters, Reasoning, read_reasoning, zone_box
from posterkit.layout.roles import infer_roles
from posterkit.layout.types import Element, Measurer, margin_of
from posterkit.lettering import Role
from posterkit.rewards.plan_rewards import Execution
from posterkit.typeset.contrast import contrast, sample
from posterkit.typeset.line_breaking import measure

CHECKS = ("texts", "overlap", "margins", "contrast", "elements", "hierarchy", "order", "subject", "logo")
INKS: dict[Letters, tuple[int, int, int]] = {"light": (250, 248, 244), "dark": (18, 18, 22)}
_CONTRAST = {"title": 3.0}  # WCAG for large letters; 4.5 for others
_COVERED = 0.15  # of the subject, from which texts cover it
_CHOICES = 3  # layouts that the seed chooses from


@dataclass(frozen=True)
class PlanTask:
    """A brief and what is true of it, which a verifier knows and an executor does not."""

    id: str
    brief: str  # the request in words, texts and all
    size: tuple[int, int]  # of the canvas in pixels
    texts: tuple[str, ...]  # in no order
    reasoning: Reasoning  # what a good planner says of it
    picture: Image.Image  # RGB, of any size in the canvas's shape
    subject: Box  # its true box on the canvas
    logo: bool  # one is asked for


@dataclass(frozen=True)
class Artifact:
    """What the executor made: a layout, and the letters' colour."""

    layout: Layout
    letters: Letters


def execute(task: PlanTask, reasoning: str | None, seed: int = 0) -> Artifact:
    """The layout of a task's texts after a reasoning, or without one.

    Args:
        seed: one of the best layouts.

    Raises:
        ValueError: the texts do not fit.
    """
    said = read_reasoning(reasoning) if reasoning is not None else Reasoning()
    made = _best(told_request(task, said, 0 if said.subject else seed))  # the seed decides on empty ground alone
    return Artifact(made[seed % len(made)], said.letters or "dark")


@lru_cache(4096)  # a reasoning is run on several seeds, and a planner that learns repeats itself
def _best(request: LayoutRequest) -> list[Layout]:
    return GrammarPlanner().candidates(request, measurer_of(request.size), _CHOICES)


@lru_cache(64)
def measurer_of(size: tuple[int, int]) -> Measurer:
    """How executors measure texts; the same ones come again and again."""
    return lru_cache(20_000)(partial(measure, style="modern", least=legible_size(*size)))


def told_request(task: PlanTask, said: Reasoning, seed: int) -> LayoutRequest:
    """What a planner of layouts is asked for after a reasoning; it sees no picture.

    Raises:
        ValueError: the reasoning places no text.
    """
    said_of = [at for at in range(len(task.texts)) if not said.roles or at in dict(said.roles)]
    shown = [at for at in said.order if at in said_of] + [at for at in said_of if at not in said.order]
    if not shown:
        raise ValueError("the reasoning places no text of the poster")
    roles = dict(said.roles) or dict(enumerate(infer_roles([task.texts[at] for at in shown])))
    elements = [ElementRequest(roles[at] if said.roles else roles[n], task.texts[at]) for n, at in enumerate(shown)]
    elements = _one_title(elements)
    kept = tuple(zone_box(zone, task.size) for zone in said.subject)
    fixed = _logo_place(said.logo, task.size) if said.logo else None
    logo = (ElementRequest("logo", box=fixed, fixed=True),) if fixed else ()
    return LayoutRequest(*task.size, (*elements, *logo), content=kept, seed=seed)


def _one_title(elements: Sequence[ElementRequest]) -> list[ElementRequest]:
    """A poster has one title: the first that is called so, else the first text."""
    titles = [at for at, one in enumerate(elements) if one.role == "title"]
    first = titles[0] if titles else 0
    found = []
    for at, one in enumerate(elements):
        role = "title" if at == first else "body" if one.role == "title" else one.role
        found.append(ElementRequest(role, one.text))
    return found


def _logo_place(zone: str, size: tuple[int, int]) -> Box:
    """In the zone's outer corner, on the margins."""
    area, margin = zone_box(zone, size), margin_of(*size)
    wide, high = 0.12 * min(size), 0.06 * min(size)
    row, column = zone.split("-")
    x = {"left": margin, "center": (area.x0 + area.x1 - wide) / 2, "right": size[0] - margin - wide}[column]
    y = {"top": margin, "middle": (area.y0 + area.y1 - high) / 2, "bottom": size[1] - margin - high}[row]
    return Box(x, y, x + wide, y + high)


def verify(task: PlanTask, artifact: Artifact) -> dict[str, bool]:
    """Each of `CHECKS`, and whether it passes."""
    layout, true = artifact.layout, dict(task.reasoning.roles)
    texts = {one.text: one for one in layout.texts}
    wanted: list[Role] = [true.get(at, "body") for at in range(len(task.texts))]
    request = LayoutRequest(*layout.size, tuple(ElementRequest(one.role, one.text) for one in layout))
    kinds = {fault.kind for fault in find_faults(layout, request)}
    subject = task.subject
    covered = sum(footprint(one).shared(subject) for one in layout.texts) / max(1.0, subject.area)
    logos = [one for one in layout if one.role == "logo"]
    headline = next((text for text, role in zip(task.texts, wanted, strict=True) if role == "title"), "")
    largest = max(layout.texts, key=lambda one: one.size).text
    return {
        "texts": sorted(texts) == sorted(task.texts),
        "overlap": "overlap" not in kinds,
        "margins": not kinds & {"outside", "margin"},
        "contrast": all(_reads(one, task, artifact.letters) for one in layout.texts),
        "elements": all(role in {one.role for one in layout.texts} for role in wanted) and bool(logos) >= task.logo,
        "hierarchy": largest == headline and all(
            texts[text].role == role for text, role in zip(task.texts, wanted, strict=True) if text in texts
        ),
        "order": _in_order(layout, [task.texts[at] for at in task.reasoning.order]),
        "subject": covered < _COVERED,
        "logo": bool(logos) == task.logo and all(
            not one.box.grown(0.3 * one.box.height).overlaps(footprint(other)) for one in logos
            for other in layout.texts
        ) and all(one.box.shared(subject) < 0.2 * one.box.area for one in logos),
    }  # fmt: skip


def _reads(one: Element, task: PlanTask, letters: Letters) -> bool:
    if one.role == "cta":
        return True  # it has a button of its own
    x, y = task.picture.width / task.size[0], task.picture.height / task.size[1]
    return contrast(INKS[letters], sample(task.picture, one.box.scaled(x, y))) >= _CONTRAST.get(one.role, 4.5)


def _in_order(layout: Layout, order: Sequence[str]) -> bool:
    """Texts that are read one after the other stand so: below, or beside in the same rows."""
    boxes = {one.text: one.box for one in layout.texts}
    there = [boxes[text] for text in order if text in boxes]
    return all(b.y0 >= a.y0 - 1 or (b.y0 > a.y0 - a.height and b.x0 > a.x0) for a, b in pairwise(there))


def run_checked(task: PlanTask, reasoning: str | None, seed: int) -> Execution:
    """One run of the executor under the verifier, for `posterkit.rewards.plan_rewards.PlanScorer`."""
    try:
        artifact = execute(task, reasoning, seed)
    except ValueError:
        return Execution(0, len(CHECKS), "failed")
    return Execution(sum(verify(task, artifact).values()), len(CHECKS))
