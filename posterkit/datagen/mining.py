"""From ranked candidates to preference pairs (PosterCraft 3.3, PosterOmni 3.4) and reflections (PosterCraft 3.4)."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from posterkit.critic.critic import Suggestions
from posterkit.critic.model import speaks_of_another
from posterkit.datagen.engine import Drop
from posterkit.datagen.poster_scan import JudgeAt
from posterkit.datagen.ranking import Candidate, Ranked, side_by_side
from posterkit.datagen.requests import TEXT, Wanted
from posterkit.datasets.shards import Row
from posterkit.llm.client import AnswerError
from posterkit.sizing import Size
from posterkit.tasks import TASKS, place

UNEDITED = 1  # the turn of a row whose rejected side is the input


@dataclass(frozen=True)
class Gate:
    """A step: the winner itself must be right, as PosterCraft has it answered with yes or no.

    Attributes:
        text, content: the least that the judge must say of it, in [0, 1].
    """

    text: float
    content: float

    def __call__(self, found: Ranked) -> Ranked | Drop:
        for name, least in (("text", self.text), ("content", self.content)):
            said = getattr(found.best.score, name)
            if said < least:
                detail = f"{name} {said:.3f}, {least:g} is asked; {found.best.score.why}"
                return Drop(f"winner fails in {name}", detail, found.best.image)
        return found


@dataclass(frozen=True)
class Gap:
    """A step: the best and the worst must lie apart by more than `least`; the input needs no comparison."""

    least: float

    def __call__(self, found: Ranked) -> Ranked | Drop:
        gap = found.best.worth - found.worst.worth
        if found.wanted.turn == UNEDITED or gap > self.least:
            return found
        detail = (
            f"{found.best.worth:.4f} and {found.worst.worth:.4f}: {gap:.4f} apart, more than {self.least:g} is asked"
        )
        return Drop("too alike", detail, side_by_side(found.best.image, found.worst.image))


@dataclass(frozen=True)
class EncodePair:
    """A preference pair as its row and its PNG files.

    Attributes:
        model: who drew them.
        alike: the same files for every row of an image task, with a single pixel where a row has no picture: Hugging
            Face `datasets` reads a tar shard only where all samples have the same members.
    """

    model: str
    alike: bool = False

    def __call__(self, found: Ranked) -> tuple[Row, dict[str, bytes]]:
        wanted, best, worst = found.wanted, found.best, found.worst
        unedited = wanted.turn == UNEDITED
        name = f"{wanted.id}-unedited" if unedited else wanted.id
        row, files = _shared(wanted, name, self.alike)
        row |= {
            "chosen": _put(files, f"{name}.chosen.png", best.image),
            "rejected": _put(files, f"{name}.rejected.png", _unedited(wanted) if unedited else worst.image),
            "kind": "unedited" if unedited else "candidates",
            "gap": None if unedited else round(best.worth - worst.worth, 4),
            **_history(found, self.model),
        }
        return row, files


@dataclass(frozen=True)
class Reflected:
    """A draft beside the best candidate, and what would improve it."""

    found: Ranked
    draft: Candidate
    said: Suggestions


@dataclass(frozen=True)
class Suggest:
    """A step: the draft that it is this row's turn for, and what the judge would change in it.

    The judge sees the best candidate too, and must not speak of it.
    """

    judge: JudgeAt

    def __call__(self, found: Ranked) -> Reflected | Drop:
        best = found.best
        others = sorted((one for one in found.candidates if one is not best), key=lambda one: one.number)
        draft = others[found.wanted.turn]
        if draft.worth >= best.worth:
            return Drop(
                "as good as the best", f"both are worth {best.worth:.4f}", side_by_side(draft.image, best.image)
            )
        try:
            said = self.judge.open().suggest(draft.image, found.wanted.prompt, better=best.image)
        except AnswerError as error:
            return Drop("judge failed", str(error), draft.image, fault=True)
        for name, words in asdict(said).items():
            if not words.strip():
                return Drop("empty suggestion", f"nothing is said of the {name}", draft.image)
            if told := speaks_of_another(words):
                return Drop("speaks of another picture", f"{told!r} in {words!r}", draft.image)
        return Reflected(found, draft, said)


@dataclass(frozen=True)
class EncodeReflection:
    """A reflection as its row and its PNG files; see `EncodePair`."""

    model: str
    alike: bool = False

    def __call__(self, made: Reflected) -> tuple[Row, dict[str, bytes]]:
        wanted = made.found.wanted
        name = f"{wanted.id}-{made.draft.number}"
        row, files = _shared(wanted, name, self.alike)
        row |= {
            "draft": _put(files, f"{name}.draft.png", made.draft.image),
            "target": _put(files, f"{name}.png", made.found.best.image),
            **asdict(made.said),
            **_history(made.found, self.model),
        }
        row["judged"]["suggestions"] = {"by": made.found.judge}
        return row, files


def _unedited(wanted: Wanted) -> Image.Image:
    """The input as it was; what filling has to make is blank in it, whatever a set keeps there."""
    first = wanted.references[0]
    if wanted.task != "filling":
        return first
    return place(TASKS["filling"], [first], Size(*first.size), wanted.mask)[0][0]


def _shared(wanted: Wanted, name: str, alike: bool) -> tuple[Row, dict[str, bytes]]:
    """What both kinds of rows have: words, references and mask."""
    files: dict[str, bytes] = {}
    references = [_put(files, f"{name}.ref{n}.png", picture) for n, picture in enumerate(wanted.references)]
    mask = wanted.mask and _put(files, f"{name}.mask.png", wanted.mask)
    if alike and wanted.task != TEXT:
        most = max(task.references[-1] for task in TASKS.values())
        for blank in (*(f"{name}.ref{n}.png" for n in range(most)), f"{name}.mask.png"):
            if blank not in files:
                _put(files, blank, Image.new("L", (1, 1)))
    row = {
        "id": name, "task": wanted.task, "prompt": wanted.prompt, "instruction": wanted.instruction,
        "words": wanted.words, "theme": wanted.theme, "split": wanted.split, "source": wanted.source,
        "licence": wanted.licence, "references": references, "mask": mask, "placed": wanted.placed,
    }  # fmt: skip
    return row, files


def _history(found: Ranked, model: str) -> dict[str, Any]:
    """Who drew and judged what; candidates in the order in which they were drawn."""
    candidates = sorted(found.candidates, key=lambda one: one.number)
    judged = {"candidates": {"by": found.judge}, "worth": {"by": found.ranker}}
    return {"candidates": [one.row() for one in candidates], "model": model, "judged": judged}


def _put(files: dict[str, bytes], name: str, picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    files[name] = file.getvalue()
    return name
