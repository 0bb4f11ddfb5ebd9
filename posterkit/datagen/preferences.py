"""Preference pairs (PosterCraft 3.3, PosterOmni 3.4) and reflections (PosterCraft 3.4) from ranked candidates."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from PIL import Image

from posterkit.critic import Suggestions
from posterkit.critic.model import speaks_of_another
from posterkit.datagen.drawing import DrawnPosters, Once
from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import OpenCritic, OpenImageTextModel, OpenReward, score_posters
from posterkit.datagen.requests import SetRequest
from posterkit.datasets.sample_files import Row, blank_pictures, encoded
from posterkit.llm.client import AnswerError
from posterkit.rewards import RewardResult
from posterkit.tasks import TEXT

UNEDITED = 1  # the turn of a row whose rejected side is the input


@dataclass(frozen=True)
class ScoredCandidate:
    """A poster with its reward and `quality`, by which candidates are ranked."""

    number: int
    image: Image.Image
    seed: int
    result: RewardResult
    quality: float

    def part(self, name: str) -> float:
        """A part of the reward; 1 where it was not measured."""
        return self.result.parts.get(name, 1.0)

    def row(self) -> dict[str, Any]:
        """For a set's row, rounded to what a score means."""
        scores = {"worth": self.quality, "aesthetics": self.part("aesthetics"), "text": self.part("text"),
                  "content": self.part("agreement")}  # fmt: skip
        rounded = {name: round(value, 4) for name, value in scores.items()}
        return {"number": self.number, "seed": self.seed, **rounded, "why": self.result.why}


@dataclass(frozen=True)
class RankedCandidates:
    """All candidates for a prompt, the best one first, and the names of reward and ranker."""

    request: SetRequest
    candidates: tuple[ScoredCandidate, ...]
    judge: str
    ranker: str

    @property
    def best(self) -> ScoredCandidate:
        return self.candidates[0]

    @property
    def worst(self) -> ScoredCandidate:
        return self.candidates[-1]


@dataclass(frozen=True)
class ScoreCandidates:
    """A step that scores and ranks the candidates of a prompt; without an answer for each of them the row is dropped.

    Attributes:
        ranker: ranks by how well picture and prompt agree, as HPSv2 does; None ranks by the reward.
        whole: without a ranker the reward's aesthetics, text and agreement count alike; else its aesthetics alone.
    """

    reward: OpenReward
    ranker: OpenImageTextModel | None = None
    whole: bool = False
    once: Once = field(default_factory=Once, compare=False, repr=False)

    def __call__(self, drawn: DrawnPosters) -> RankedCandidates | Drop:
        try:
            candidates, reward, ranker = self.once(drawn.request.id, lambda: self._score(drawn))
        except AnswerError as error:
            return Drop("judge failed", str(error), side_by_side(*drawn.images), fault=True)
        return RankedCandidates(drawn.request, candidates, reward, ranker)

    def _score(self, drawn: DrawnPosters) -> tuple[tuple[ScoredCandidate, ...], str, str]:
        reward, prompt = self.reward(), drawn.request.caption
        name = ranker = reward.name
        results = score_posters(reward, drawn.images, prompt)
        quality = [result.value if self.whole else result.parts["aesthetics"] for result in results]
        if self.ranker is not None:
            model = self.ranker()
            quality, ranker = model.score(drawn.images, [prompt] * len(drawn.images)), model.name
        found = zip(range(len(results)), drawn.images, drawn.seeds, results, quality, strict=True)
        # of equals the first drawn comes first
        ranked = sorted((ScoredCandidate(*one) for one in found), key=lambda one: (-one.quality, one.number))
        return tuple(ranked), name, ranker


def pass_gates(found: RankedCandidates, text: float, content: float) -> RankedCandidates | Drop:
    """Drop a prompt whose best poster fails in text or content, as PosterCraft's yes-or-no questions do.

    Args:
        text, content: the least scores, in [0, 1].
    """
    for name, part, least in (("text", "text", text), ("content", "agreement", content)):
        score = found.best.part(part)
        if score < least:
            detail = f"{name} {score:.3f}, {least:g} is asked; {found.best.result.why}"
            return Drop(f"winner fails in {name}", detail, found.best.image)
    return found


def check_gap(found: RankedCandidates, least: float) -> RankedCandidates | Drop:
    """Drop a prompt whose best and worst differ by `least` or less; an input needs no comparison."""
    best, worst = found.best.quality, found.worst.quality
    if found.request.turn == UNEDITED or best - worst > least:
        return found
    detail = f"{best:.4f} and {worst:.4f}: {best - worst:.4f} apart, more than {least:g} is asked"
    return Drop("too alike", detail, side_by_side(found.best.image, found.worst.image))


def encode_pair(found: RankedCandidates, model: str, alike: bool = False) -> tuple[Row, dict[str, bytes]]:
    """A preference pair as its row and its PNG files.

    Args:
        model: the name of the model that drew them.
        alike: the same files for every row of an image task, with a single pixel where a row has no picture: Hugging
            Face `datasets` reads a tar shard only where all samples have the same members.
    """
    request, best, worst = found.request, found.best, found.worst
    unedited = request.turn == UNEDITED
    name = f"{request.id}-unedited" if unedited else request.id
    row, files = _shared(request, name, alike)
    row |= {
        "chosen": _put(files, f"{name}.chosen.png", best.image),
        "rejected": _put(files, f"{name}.rejected.png", request.inputs()[0] if unedited else worst.image),
        "kind": "unedited" if unedited else "candidates",
        "gap": None if unedited else round(best.quality - worst.quality, 4),
        **_history(found, model),
    }
    return row, files


@dataclass(frozen=True)
class CriticisedDraft:
    """A draft with suggestions that would bring it to the best candidate."""

    found: RankedCandidates
    draft: ScoredCandidate
    said: Suggestions


def suggest_improvements(found: RankedCandidates, open_critic: OpenCritic) -> CriticisedDraft | Drop:
    """Have a critic suggest how to improve the draft of the request's turn.

    The critic sees the best candidate too, and must not mention it.
    """
    best = found.best
    others = sorted((one for one in found.candidates if one is not best), key=lambda one: one.number)
    draft = others[found.request.turn]
    if draft.quality >= best.quality:
        alike = side_by_side(draft.image, best.image)
        return Drop("as good as the best", f"both are worth {best.quality:.4f}", alike)
    try:
        said = open_critic().suggest(draft.image, found.request.caption, better=best.image)
    except AnswerError as error:
        return Drop("judge failed", str(error), draft.image, fault=True)
    for name, words in asdict(said).items():
        if not words.strip():
            return Drop("empty suggestion", f"nothing is said of the {name}", draft.image)
        if mention := speaks_of_another(words):
            return Drop("speaks of another picture", f"{mention!r} in {words!r}", draft.image)
    return CriticisedDraft(found, draft, said)


def encode_reflection(made: CriticisedDraft, model: str, alike: bool = False) -> tuple[Row, dict[str, bytes]]:
    """A reflection as its row and its PNG files; arguments as `encode_pair`."""
    request = made.found.request
    name = f"{request.id}-{made.draft.number}"
    row, files = _shared(request, name, alike)
    row |= {
        "draft": _put(files, f"{name}.draft.png", made.draft.image),
        "target": _put(files, f"{name}.png", made.found.best.image),
        **asdict(made.said),
        **_history(made.found, model),
    }
    row["judged"]["suggestions"] = {"by": made.found.judge}
    return row, files


def _shared(request: SetRequest, name: str, alike: bool) -> tuple[Row, dict[str, bytes]]:
    """Words, references and mask, which both kinds of rows have."""
    files: dict[str, bytes] = {}
    references = [_put(files, f"{name}.ref{n}.png", picture) for n, picture in enumerate(request.pictures())]
    hole = request.mask_picture()
    mask = hole and _put(files, f"{name}.mask.png", hole)
    if alike and request.task != TEXT:
        files |= {blank: pixel for blank, pixel in blank_pictures(name).items() if blank not in files}
    row = {
        "id": name, "task": request.task, "prompt": request.caption, "instruction": request.as_instruction(),
        "words": request.prompt or None, "theme": request.theme, "split": request.split, "source": request.source,
        "licence": request.licence, "references": references, "mask": mask, "placed": request.placed,
    }  # fmt: skip
    return row, files


def _history(found: RankedCandidates, model: str) -> dict[str, Any]:
    """Model, critic and ranker for the record; candidates in the order in which they were drawn."""
    candidates = sorted(found.candidates, key=lambda one: one.number)
    judged = {"candidates": {"by": found.judge}, "worth": {"by": found.ranker}}
    return {"candidates": [one.row() for one in candidates], "model": model, "judged": judged}


def _put(files: dict[str, bytes], name: str, picture: Image.Image) -> str:
    files[name] = encoded(picture)
    return name


def side_by_side(*images: Image.Image) -> Image.Image:
    """Pictures in a row on white, each 320 pixels high, for a thumbnail."""
    shown = [image.resize((max(1, round(320 * image.width / image.height)), 320)) for image in images]
    sheet = Image.new("RGB", (sum(image.width + 8 for image in shown) - 8, 320), "white")
    left = 0
    for image in shown:
        sheet.paste(image, (left, 0))
        left += image.width + 8
    return sheet
