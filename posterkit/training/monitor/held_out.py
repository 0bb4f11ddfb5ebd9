"""What a reward model makes of pairs that it has not seen: right or wrong by kind, how far to be trusted, pictures."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from statistics import mean
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from posterkit.image_io import written_whole
from posterkit.rewards.models.reward_model import RewardModel
from posterkit.training.errors import writing
from posterkit.training.loading.judgements import Judgement, Side
from posterkit.training.loading.weakening import blank
from posterkit.training.monitor.calibration import chance_of_chosen, draw_reliability, reliability
from posterkit.training.protocols import RunView

QUOTED = ("wrong_text", "text_error")  # both sides show one poster
_TILE, _GAP, _TEXT, _COLUMNS = 190, 10, 88, 5  # pixels; pairs in a row


def tell_apart(model: RewardModel, pairs: Sequence[Judgement], run: RunView) -> None:
    """Score held-out pairs, calibrate the model by them, and say in the run folder what came out.

    `heldout.json` has shares of pairs in the right order by kind and the calibration; `heldout.jsonl` a line for each
    pair with what is wrong with its rejected side. Of kinds whose sides show one poster it also says how many are
    right where that poster is blank: what the words give away, whatever the poster shows.

    Raises:
        RunFailed: the disk takes no more.
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
    with writing(run.folder, "what held-out pairs say"):
        _write(run, said, [_row(pair, a, b) for pair, a, b in zip(pairs, won, lost, strict=True)])
        title = f"{run.folder.resolve().name} after {run.step} steps"
        for name, picture in (("calibration", draw_reliability(found, title)), ("pairs", draw_pairs(pairs, margins))):
            with written_whole(run.folder / f"{name}.png") as path:
                picture.save(path)
    run.print(f"held-out pairs: {said['right']:.0%} of {len(pairs)} right, calibration error {found.ece:.3f}")
    for kind, one in kinds.items():
        aside = f", {one['right_unseen']:.0%} with the poster blank" if kind in QUOTED else ""
        run.print(f"  {kind:11s} {one['right']:5.0%} of {one['pairs']:.0f}{aside}")


def draw_pairs(pairs: Sequence[Judgement], margins: Sequence[float]) -> Image.Image:
    """Of each kind the pair that was told apart best and the one told apart worst: chosen left, rejected right."""
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
            picture = Image.fromarray(poster)
            scale = _TILE / max(picture.size)
            picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
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


def _row(pair: Judgement, won: float, lost: float) -> dict[str, Any]:
    said = {"id": pair.id, "task": pair.chosen.request.task, "kind": pair.kind, "why": pair.why}
    return {
        **said,
        "prompt": pair.chosen.request.as_instruction(),
        "chosen": round(won, 4),
        "rejected": round(lost, 4),
    }


def _write(run: RunView, said: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    with written_whole(run.folder / "heldout.json") as path:
        path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    with written_whole(run.folder / "heldout.jsonl") as path:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
