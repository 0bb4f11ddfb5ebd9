"""PosterPlan-Groups: briefs, each with one good reasoning and five flawed ones of named kinds (as TRACELIFT-GROUPS).

Flaws are made by rule, so labels are true by construction. A group stands only if the executor does better with the
good reasoning than with none, and no flawed one does better than the good one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from posterkit.datagen.engine import Drop
from posterkit.datagen.layout_requests import DrawnRequest, draw_request
from posterkit.datasets.sample_files import Row
from posterkit.documents import read_json, read_lines
from posterkit.generate.plan_executor import INKS, PlanTask, execute, verify
from posterkit.layout import Box
from posterkit.layout.reasoning import ZONES, Letters, Reasoning, coordinates_in, zone_box, zones_of
from posterkit.rewards.plan_rewards import BEST, DIMENSIONS
from posterkit.typeset.contrast import contrast

VERSION = 1
NEGATIVES = 5
_SCALE = 0.25  # of the pictures
_LOGO_ZONES = ("top-left", "top-right", "bottom-left", "bottom-right")
_READERS = (
    "Neighbours who look for a free evening", "Visitors of the town who have one weekend",
    "Students who read on their phones while they walk", "Regulars who know the place and want the date",
    "Families who plan their Saturday", "Collectors who come for the works alone",
)  # fmt: skip


@dataclass(frozen=True)
class RatedReasoning:
    """A reasoning with its labels, 0 to 4 for each of `DIMENSIONS`; kind is that of its flaw, "" for a good one."""

    reasoning: str
    rubric: Mapping[str, int]
    kind: str = ""

    @property
    def total(self) -> float:
        return sum(self.rubric.values()) / (BEST * len(DIMENSIONS))


@dataclass(frozen=True)
class PlanGroup:
    """A brief with reasonings of which some are good; ours has one good and five flawed ones."""

    id: str
    brief: str
    positives: tuple[RatedReasoning, ...]
    negatives: tuple[RatedReasoning, ...]
    split: str = "train"


@dataclass(frozen=True)
class PlanGroups:
    """Groups with their tasks, by number; nine of ten are to train on."""

    seed: int = 0

    def __getitem__(self, number: int) -> tuple[PlanTask, PlanGroup]:
        split = "heldout" if number % 10 == 9 else "train"
        task = draw_task(self.seed * 1_000_000 + number, split)
        rng = Random(f"group {task.id}")
        kinds = rng.sample([kind for kind in FLAWS if _applies(kind, task)], NEGATIVES)
        good = RatedReasoning(str(task.reasoning), dict.fromkeys(DIMENSIONS, BEST))
        negatives = tuple(flawed(task, kind, rng) for kind in kinds)
        return task, PlanGroup(task.id, task.brief, (good,), negatives, split)


def draw_task(seed: int, split: str = "train") -> PlanTask:
    """A brief about a drawn picture, its texts in no order, and what a good planner says of it."""
    number = seed if seed // 8 % 7 else seed + 8  # a poster of two elements has no hierarchy to get wrong
    drawn = draw_request(number, split, scale=_SCALE)
    rng = Random(f"plan task {split} {seed}")
    request = drawn.request
    in_order = [one for one in request.elements if one.is_text]
    shuffled = rng.sample(in_order, len(in_order))
    logo = any(one.role == "logo" for one in request.elements)
    assert request.picture is not None and drawn.subject is not None
    letters = _letters(request.picture, drawn)
    subject = zones_of(drawn.subject, request.size)
    reasoning = Reasoning(
        f"{rng.choice(_READERS)}.", tuple((at, one.role) for at, one in enumerate(shuffled)),  # type: ignore[misc]
        tuple(shuffled.index(one) for one in in_order), letters, subject,
        _logo_zone(drawn.subject, request.size) if logo else None,
    )  # fmt: skip
    texts = tuple(one.text for one in shuffled)
    brief = _brief(drawn, reasoning, texts)
    return PlanTask(f"{split}-{seed}", brief, request.size, texts, reasoning, request.picture, drawn.subject, logo)


def _letters(picture: Image.Image, drawn: DrawnRequest) -> Letters:
    """Whichever read better on most of the ground beside the subject."""
    pixels = np.asarray(picture.convert("RGB")).copy()
    assert drawn.subject is not None
    x0, y0, x1, y1 = drawn.subject.scaled(_SCALE, _SCALE).pixels(picture.size)
    beside = np.ones(pixels.shape[:2], bool)
    beside[y0:y1, x0:x1] = False
    ground = pixels[beside] if beside.any() else pixels.reshape(-1, 3)
    middle = np.median(ground, axis=0).astype(np.uint8)[None]
    return max(INKS, key=lambda name: contrast(INKS[name], middle))


def _logo_zone(subject: Box, size: tuple[int, int]) -> str:
    return min(_LOGO_ZONES, key=lambda zone: subject.shared(zone_box(zone, size)))


def _brief(drawn: DrawnRequest, reasoning: Reasoning, texts: Sequence[str]) -> str:
    by_role = {role: [texts[at] for at, own in reasoning.roles if own == role] for _, role in reasoning.roles}
    ordered = [texts[at] for at in reasoning.order]
    ground = {"light": "dark", "dark": "light"}[reasoning.letters or "dark"]
    said = [f"A poster that shows {drawn.request.description or 'a motif'} on a {ground} ground; the motif takes the "
            f"{' and the '.join(reasoning.subject)}."]  # fmt: skip
    said.append(f"It is for {reasoning.audience[:1].lower()}{reasoning.audience[1:]}")
    said.append("Texts: " + "; ".join(f"text {at} “{text}”" for at, text in enumerate(texts, 1)) + ".")
    said.append(f"What must be seen from afar is “{by_role['title'][0]}”.")
    if by_role.get("subtitle"):
        said.append(f"“{by_role['subtitle'][0]}” says more about it.")
    if by_role.get("cta"):
        said.append(f"People act on “{by_role['cta'][0]}”.")
    said.append("One reads " + ", then ".join(f"“{text}”" for text in ordered) + ".")
    if reasoning.logo:
        said.append(f"A logo stands at the {reasoning.logo}.")
    return " ".join(said)


def numbered_brief(brief: str) -> str:
    """A brief that quotes each text once and then names it by its number, for models too small to compare texts."""
    listed, end, rest = brief.partition("”. ")
    numbers = {text: number for number, text in re.findall(r"text (\d+) “(.*?)”", listed + end)}
    return listed + end + re.sub("“(.*?)”", lambda found: f"text {numbers.get(found[1], 0)}", rest)


def _other_title(task: PlanTask, rng: Random) -> tuple[str, Sequence[str]]:
    roles = dict(task.reasoning.roles)
    title = next(at for at, role in roles.items() if role == "title")
    other = rng.choice([at for at in roles if at != title])
    roles[title], roles[other] = roles[other], "title"
    return str(replace(task.reasoning, roles=tuple(roles.items()))), ("brief_understanding", "hierarchy_quality")


def _inverted(task: PlanTask, rng: Random) -> tuple[str, Sequence[str]]:
    """The last is the first: sizes and reading order run backwards."""
    order = task.reasoning.order[::-1]
    roles = tuple(zip(order, [dict(task.reasoning.roles)[at] for at in task.reasoning.order], strict=True))
    said = replace(task.reasoning, roles=roles, order=order)
    return str(said), ("hierarchy_quality", "step_coherence", "layout_support")


def _dropped(task: PlanTask, rng: Random) -> tuple[str, Sequence[str]]:
    gone = rng.choice([at for at, role in task.reasoning.roles if role != "title"])
    roles = tuple(one for one in task.reasoning.roles if one[0] != gone)
    order = tuple(at for at in task.reasoning.order if at != gone)
    return str(replace(task.reasoning, roles=roles, order=order)), ("brief_understanding", "layout_support")


def _other_letters(task: PlanTask, rng: Random) -> tuple[str, Sequence[str]]:
    letters: Letters = "dark" if task.reasoning.letters == "light" else "light"
    return str(replace(task.reasoning, letters=letters)), ("step_coherence", "layout_support")


def _dense(task: PlanTask, rng: Random) -> tuple[str, Sequence[str]]:
    """Nothing of the picture is kept free but where it is free anyway: the texts crowd the motif."""
    free = tuple(zone for zone in ZONES if zone not in task.reasoning.subject)
    return str(replace(task.reasoning, subject=free)), ("layout_support", "step_coherence")


def _other_audience(task: PlanTask, rng: Random) -> tuple[str, Sequence[str]]:
    other = rng.choice([one for one in _READERS if one not in task.reasoning.audience])
    return str(replace(task.reasoning, audience=f"{other}.")), ("brief_understanding",)


def _leaking(task: PlanTask, rng: Random) -> tuple[str, Sequence[str]]:
    w, h = task.size
    where = (
        f"The title goes to x={rng.randrange(w // 2)}, y={rng.randrange(h // 2)} and is {rng.randrange(60, 160)} px."
    )
    return str(replace(task.reasoning, audience=f"{task.reasoning.audience} {where}")), ("non_leakage",)


Flaw = Callable[[PlanTask, Random], tuple[str, Sequence[str]]]
# by kind: what makes it, and with its text the dimensions that it spoils
FLAWS: dict[str, Flaw] = {
    "wrong_primary_message": _other_title, "hierarchy_inverted": _inverted, "dropped_required_element": _dropped,
    "contradictory_palette": _other_letters, "unreadable_density": _dense, "wrong_audience": _other_audience,
    "leaked_coordinates": _leaking,
}  # fmt: skip


def _applies(kind: str, task: PlanTask) -> bool:
    if kind == "hierarchy_inverted":  # of equal texts in reverse nothing can be seen
        return len({role for _, role in task.reasoning.roles}) > 1
    return kind != "unreadable_density" or 0 < len(task.reasoning.subject) < len(ZONES)


def flawed(task: PlanTask, kind: str, rng: Random) -> RatedReasoning:
    """The good reasoning with one flaw: the first dimension that it spoils gets 0, others 2."""
    said, spoilt = FLAWS[kind](task, rng)
    rubric = {name: BEST if name not in spoilt else (0 if name == spoilt[0] else 2) for name in DIMENSIONS}
    return RatedReasoning(said, rubric, kind)


def check_group(item: tuple[PlanTask, PlanGroup]) -> tuple[PlanTask, PlanGroup] | Drop:
    """The item, or why it is no group to learn from."""
    task, group = item
    if coordinates_in(group.positives[0].reasoning):
        return Drop("good one leaks", coordinates_in(group.positives[0].reasoning)[0])
    try:
        alone, good = (_passed(task, said) for said in (None, group.positives[0].reasoning))
        others = {one.kind: _passed(task, one.reasoning) for one in group.negatives}
    except ValueError as fault:
        return Drop("does not fit", str(fault))
    if good <= alone:
        return Drop("no uplift", f"{good} checks pass with it and {alone} without")
    better = [kind for kind, passed in others.items() if passed > good]
    return Drop("flawed is better", better[0]) if better else item


def _passed(task: PlanTask, reasoning: str | None) -> int:
    return sum(verify(task, execute(task, reasoning)).values())


def encode_group(item: tuple[PlanTask, PlanGroup]) -> tuple[Row, dict[str, bytes]]:
    """A group as its row, in the form of TRACELIFT-GROUPS; it has no files."""
    task, group = item
    rated = [{"reasoning": one.reasoning, "rubric": {**one.rubric, "total": one.total},
              **({"negative_kind": one.kind} if one.kind else {})}
             for one in (*group.positives, *group.negatives)]  # fmt: skip
    count = len(group.positives)
    row = {
        "id": group.id, "version": VERSION, "problem_id": group.id, "source": "posterkit", "task_type": "poster",
        "problem": group.brief, "reference_solution": str(task.reasoning), "positive_pool": rated[:count],
        "negative_bank": rated[count:], "split": group.split, "texts": list(task.texts), "size": list(task.size),
        "truth": asdict(task.reasoning),
    }  # fmt: skip
    return row, {}


def read_groups(path: str | Path) -> Iterator[PlanGroup]:
    """Groups from JSON lines: ours, or those of TRACELIFT-GROUPS, whose labels may lie in 0 to 10.

    Raises:
        ValueError: a line is no group; it names what is missing.
        OSError: the file cannot be read.
    """
    for number, line in read_lines(path):
        what = f"{path}:{number}"
        row = read_json(line, what)
        if not isinstance(row, dict) or (missing := [key for key in _KEYS if key not in row]):
            raise ValueError(f"{what}: is no group; it lacks {', '.join(missing) if isinstance(row, dict) else 'all'}")
        try:
            good, flawed = (tuple(_rated(one) for one in row[key]) for key in ("positive_pool", "negative_bank"))
        except (KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{what}: a reasoning lacks its words or its rubric ({fault})") from None
        if not good or not flawed:
            raise ValueError(f"{what}: a group has good and flawed reasonings, and this one has only one of them")
        yield PlanGroup(str(row["problem_id"]), str(row["problem"]), good, flawed, str(row.get("split", "train")))


_KEYS = ("problem_id", "problem", "positive_pool", "negative_bank")


def _rated(said: Any) -> RatedReasoning:
    """Labels of a judge, 0 to 10, become min(4, floor(x / 2))."""
    marks = {name: float(mark) for name, mark in said.get("rubric", {}).items() if name not in ("total", "overall")}
    judged = any(mark > BEST for mark in marks.values())
    rubric = {name: min(BEST, int(mark // 2)) if judged else int(mark) for name, mark in marks.items()}
    return RatedReasoning(str(said["reasoning"]), rubric, str(said.get("negative_kind", "")))


def group_accuracy(groups: Sequence[PlanGroup], score: Callable[[str, str], float]) -> dict[str, float]:
    """How often a score tells good from flawed: over pairs, and over groups (the good one beats every flawed one).

    Args:
        score: brief and reasoning to a number.
    """
    pairs, whole = [], []
    for group in groups:
        good = min(score(group.brief, one.reasoning) for one in group.positives)
        beaten = [good > score(group.brief, one.reasoning) for one in group.negatives]
        pairs += beaten
        whole.append(all(beaten))
    return {"pairs": sum(pairs) / len(pairs), "groups": sum(whole) / len(whole)}
