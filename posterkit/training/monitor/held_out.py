"""The report of a reward model on held-out pairs: accuracy by kind, calibration, pictures."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from scipy.optimize import minimize

from posterkit.datagen.weakening import blank
from posterkit.image_io import written_whole
from posterkit.rewards.models.reward_model import RewardModel
from posterkit.training.errors import writing
from posterkit.training.loading.judgements import Judgement, Side
from posterkit.training.protocols import RunView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUOTED = ("wrong_text", "text_error")  # both sides show one poster
_TILE, _GAP, _TEXT, _COLUMNS = 190, 10, 88, 5  # pixels; pairs in a row


def report_held_out(model: RewardModel, pairs: Sequence[Judgement], run: RunView) -> None:
    """Score held-out pairs, calibrate the model by them, and write the report into the run folder.

    `heldout.json` has shares of pairs in the right order by kind and the calibration; `heldout.jsonl` a line for each
    pair with what is wrong with its rejected side. For kinds whose sides show one poster it also has the share that is
    right where that poster is blank: what the words alone give away.

    Raises:
        RunFailed: the disk is full.
    """
    model.module.eval()
    chosen, rejected = ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
    won, lost = _scores(model, chosen), _scores(model, rejected)
    model.calibrate(*chance_of_chosen(won, lost))
    margins = [a - b for a, b in zip(won, lost, strict=True)]
    found = reliability(margins)
    kinds: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        own = [number for number, pair in enumerate(pairs) if pair.kind == kind]
        own_margins = [margins[number] for number in own]
        kinds[kind] = {"pairs": len(own), "right": _right(own_margins), "margin": round(mean(own_margins), 3)}
        if kind in QUOTED:
            blanks = [_scores(model, [Side(side.request, blank(side.poster)) for side in (sides[n] for n in own)])
                      for sides in (chosen, rejected)]  # fmt: skip
            kinds[kind]["right_unseen"] = _right([a - b for a, b in zip(*blanks, strict=True)])
    bins = [one._asdict() for one in found.bins]
    said = {"right": _right(margins), "ece": round(found.ece, 4), "kinds": kinds, "bins": bins}
    rows = [
        {"id": pair.id, "task": pair.chosen.request.task, "kind": pair.kind, "why": pair.why,
         "prompt": pair.chosen.request.as_instruction(), "chosen": round(a, 4), "rejected": round(b, 4)}
        for pair, a, b in zip(pairs, won, lost, strict=True)
    ]  # fmt: skip
    texts = {
        "heldout.json": json.dumps(said, indent=1) + "\n",
        "heldout.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows),
    }
    with writing(run.folder, "the report of held-out pairs"):
        for name, text in texts.items():
            with written_whole(run.folder / name) as path:
                path.write_text(text, encoding="utf-8")
        title = f"{run.folder.resolve().name} after {run.step} steps"
        with written_whole(run.folder / "pairs.png") as path:
            draw_pairs(pairs, margins).save(path)
        if find_spec("matplotlib"):
            with written_whole(run.folder / "calibration.png") as path:
                draw_reliability(found, title).savefig(path)
        else:
            run.print("no calibration.png without matplotlib; pip install 'posterkit[train]'")
    run.print(f"held-out pairs: {said['right']:.0%} of {len(pairs)} right, calibration error {found.ece:.3f}")
    for kind, one in kinds.items():
        aside = f", {one['right_unseen']:.0%} with the poster blank" if kind in QUOTED else ""
        run.print(f"  {kind:11s} {one['right']:5.0%} of {one['pairs']:.0f}{aside}")


def draw_pairs(pairs: Sequence[Judgement], margins: Sequence[float]) -> Image.Image:
    """Of each kind the pairs with the largest and the smallest margin: chosen left, rejected right."""
    picked: list[int] = []
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        own = sorted((number for number, pair in enumerate(pairs) if pair.kind == kind), key=lambda n: margins[n])
        picked += dict.fromkeys((own[-1], own[0]))
    width, height = 2 * _TILE + 3 * _GAP, _TILE + _TEXT + _GAP
    rows = -(-len(picked) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width, rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, number in enumerate(picked):
        pair = pairs[number]
        left, top = place % _COLUMNS * width + _GAP, place // _COLUMNS * height + _GAP
        for side, poster in enumerate((pair.chosen.poster, pair.rejected.poster)):
            picture = ImageOps.contain(Image.fromarray(poster), (_TILE, _TILE))
            x = left + side * (_TILE + _GAP) + (_TILE - picture.width) // 2
            sheet.paste(picture, (x, top))
            draw.rectangle((x - 1, top - 1, x + picture.width, top + picture.height), outline=(200, 204, 210))
        verdict = f"{pair.kind}, {pair.chosen.request.task}: {margins[number]:+.2f}"
        lines = [verdict, *textwrap.wrap(pair.why, 56)[:2], *textwrap.wrap(pair.chosen.request.as_instruction(), 56)][
            :5
        ]
        color = (20, 110, 50) if margins[number] > 0 else (180, 30, 30)
        draw.text((left, top + _TILE + 4), lines[0], color, font)
        draw.multiline_text((left, top + _TILE + 20), "\n".join(lines[1:]), (60, 62, 68), font, spacing=2)
    return sheet


def _scores(model: RewardModel, sides: Sequence[Side]) -> list[float]:
    posters = [Image.fromarray(side.poster) for side in sides]
    return model.scores([side.request for side in sides], posters).tolist()


def _right(margins: Sequence[float]) -> float:
    """Share of pairs in the right order; a tie is half right."""
    return round(mean(0.5 if margin == 0 else float(margin > 0) for margin in margins), 4)


class Bin(NamedTuple):
    """Pairs whose winner was predicted with about one confidence: its mean, the share that was right, how many."""

    predicted: float
    observed: float
    count: int


class Reliability(NamedTuple):
    """Bins of confidence from 1/2 to 1, and the expected calibration error: their mean distance, weighed by counts."""

    bins: list[Bin]
    ece: float


def reliability(margins: Sequence[float], bins: int = 10) -> Reliability:
    """Hold sigmoid(score of the chosen - score of the rejected) against what was chosen.

    A pair is predicted for the side with the larger score, with a confidence of at least 1/2, and right where that
    side was chosen; a tie is half right.

    Args:
        margins: score differences, chosen less rejected.
        bins: of equal width between 1/2 and 1; empty ones are left out.
    """
    margin = np.asarray(margins, dtype=np.float64)
    confidence = 1 / (1 + np.exp(-np.abs(margin)))
    right = np.where(margin > 0, 1.0, np.where(margin < 0, 0.0, 0.5))
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    found = [
        Bin(float(confidence[place == one].mean()), float(right[place == one].mean()), int((place == one).sum()))
        for one in range(bins)
        if (place == one).any()
    ]
    off = sum(one.count * abs(one.predicted - one.observed) for one in found)
    return Reliability(found, off / len(margin) if len(margin) else math.nan)


def chance_of_chosen(chosen: Sequence[float], rejected: Sequence[float]) -> tuple[float, float]:
    """Scale and offset for which sigmoid(scale * score + offset) is the chance that a poster was a chosen one.

    Logistic regression on both sides' scores, with one chosen and one rejected poster more at either end, so that
    scores which tell all pairs apart get no infinite scale; a scale below 0 is 0.
    """
    scores = np.concatenate([chosen, rejected]).astype(np.float64)
    ends = np.array([scores.min(), scores.min(), scores.max(), scores.max()])
    x = np.concatenate([scores, ends])
    y = np.concatenate([np.ones(len(chosen)), np.zeros(len(rejected)), [1, 0, 1, 0]])
    middle, spread = x.mean(), max(float(x.std()), 1e-6)

    def loss(weights: np.ndarray) -> float:
        z = weights[0] * (x - middle) / spread + weights[1]
        return float((np.logaddexp(0, z) - y * z).mean())

    scale, offset = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(0, None), (None, None)]).x
    return float(scale / spread), float(offset - scale * middle / spread)


def draw_reliability(found: Reliability, title: str) -> Figure:
    """Predicted confidence against observed frequency: a disc for each bin, as large as its share of the pairs.

    Raises:
        ImportError: matplotlib is not installed (posterkit[train]).
    """
    from matplotlib.figure import Figure

    predicted, observed, counts = zip(*found.bins, strict=True) if found.bins else ((), (), ())
    total = sum(counts)
    figure = Figure(figsize=(5.3, 5.6), layout="constrained")
    axes = figure.add_subplot(title=title, xlim=(0.48, 1.02), ylim=(min([0.5, *observed]) - 0.02, 1.02))
    axes.set_xlabel(f"predicted confidence\nexpected calibration error {found.ece:.3f} over {total} held-out pairs")
    axes.set_ylabel("observed: how often that side was chosen")
    axes.grid(color="#e8eaee")
    axes.plot([0.5, 1], [0.5, 1], color="#b0b4bc")
    axes.plot(predicted, observed, color="#2662be")
    axes.scatter(predicted, observed, [60 + 700 * count / total for count in counts], color="#2662be", zorder=3)
    for x, y, count in found.bins:
        axes.annotate(str(count), (x, y), color="white", fontsize=8, ha="center", va="center", zorder=4)
    return figure
