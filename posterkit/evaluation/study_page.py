"""A blind pairwise study as one HTML file, and what its votes amount to: win, tie, lose (PosterCraft, PosterOmni)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from posterkit.documents import read_json, read_text
from posterkit.evaluation.statistics import Estimate, cluster_bootstrap
from posterkit.image_io import reduced, written_whole
from posterkit.schema import PosterRequest

QUESTIONS = {
    "aesthetics": "Which one looks better?", "alignment": "Which one does what was asked for?",
    "text": "Whose lettering is right?", "overall": "Which one would you use?",
}  # fmt: skip
WINNERS = ("first", "tie", "second")
_SIDE, _INPUT_SIDE, _QUALITY = 760, 240, 85


def write_study(
    path: Path, names: tuple[str, str], pairs: Mapping[str, tuple[PosterRequest, Image.Image, Image.Image]],
    seed: int = 0,
) -> str:  # fmt: skip
    """Write the page; which side a system stands on is drawn for each pair, and the page does not name the systems.

    Args:
        names: of the two systems; they go into the study's id alone.
        pairs: by row: what was asked for, and both posters.

    Returns:
        The study's id, which its votes carry.
    """
    study = study_id(names, list(pairs), seed)
    shown = []
    for row in Random(f"{study} order").sample(list(pairs), len(pairs)):
        request, first, second = pairs[row]
        sides = ["first", "second"] if Random(f"{study} {row}").random() < 0.5 else ["second", "first"]
        posters = {"first": first, "second": second}
        shown.append({
            "row": row, "prompt": request.prompt or request.as_instruction(),
            "inputs": [_embedded(image, _INPUT_SIDE) for image in request.inputs()],
            "left": _embedded(posters[sides[0]], _SIDE), "right": _embedded(posters[sides[1]], _SIDE),
            "left_is": sides[0], "right_is": sides[1],
        })  # fmt: skip
    questions = [{"name": name, "text": text} for name, text in QUESTIONS.items()]
    content = json.dumps({"id": study, "questions": questions, "pairs": shown}, ensure_ascii=False)
    page = read_text(Path(__file__).with_name("study_page.html"))
    with written_whole(path) as temporary:  # "</script>" in a prompt must not end the data
        temporary.write_text(page.replace("{study}", content.replace("<", "\\u003c")), encoding="utf-8")
    return study


def study_id(names: tuple[str, str], rows: Sequence[str], seed: int) -> str:
    """The id of a study of two systems on some rows."""
    return hashlib.sha256(json.dumps([names, sorted(rows), seed]).encode()).hexdigest()[:12]


def count_votes(
    files: Sequence[Path], study: str | None = None, rows: Collection[str] | None = None
) -> dict[str, dict[str, Any]]:
    """By question the shares of win, tie and lose of the first system, with 95 % intervals from drawing rows.

    The last vote of a voter on a row and question counts.

    Args:
        study: the id that all votes must carry; None takes that of the first file.
        rows: of the study; None takes any.

    Raises:
        ValueError: a file holds no votes, or those of another study or row; or there is no vote at all.
    """
    votes: dict[tuple[str, str, str], str] = {}
    for number, file in enumerate(files):
        content = read_json(read_text(file), str(file))
        if not isinstance(content, dict) or not isinstance(content.get("votes"), list):
            raise ValueError(f"{file}: holds no votes of a study page")
        study = study or content.get("study")
        if content.get("study") != study:
            raise ValueError(f"{file}: votes of study {content.get('study')}, not of {study}")
        voter = str(content.get("voter") or "").strip() or f"file {number}"
        for vote in content["votes"]:
            known = isinstance(vote, dict) and vote.get("question") in QUESTIONS and vote.get("winner") in WINNERS
            if not known:
                raise ValueError(f"{file}: a vote must have a row, a question and a winner, found {str(vote)[:60]}")
            if rows is not None and vote.get("row") not in rows:
                raise ValueError(
                    f"{file}: a vote on row {str(vote.get('row'))[:60]!r}, which this study does not show"
                )
            votes[voter, str(vote.get("row")), vote["question"]] = vote["winner"]
    if not votes:
        raise ValueError("there is no vote in these files")
    return {question: found for question in QUESTIONS if (found := _shares(votes, question))}


def votes_as_markdown(names: tuple[str, str], found: dict[str, dict[str, Any]]) -> str:
    """The table of win, tie and lose."""
    lines = [f"| {names[0]} against {names[1]} | win | tie | lose | votes |", "|---|---|---|---|---|"]
    for question, row in found.items():
        cells = [f"{row[name]['mean']:.0%} ({row[name]['low']:.0%} to {row[name]['high']:.0%})"
                 for name in ("win", "tie", "lose")]  # fmt: skip
        lines.append(f"| {question} | {' | '.join(cells)} | {row['votes']} |")
    return "\n".join(lines)


def _shares(votes: Mapping[tuple[str, str, str], str], question: str) -> dict[str, Any]:
    some = [(row, winner) for (_, row, asked), winner in votes.items() if asked == question]
    rows = list(dict.fromkeys(row for row, _ in some))
    counts = np.zeros((len(rows), len(WINNERS)))
    for row, winner in some:
        counts[rows.index(row), WINNERS.index(winner)] += 1
    found: dict[str, Any] = {}
    for column, name in enumerate(("win", "tie", "lose")):
        share = cluster_bootstrap(len(rows), lambda drawn, column=column: float(
            counts[drawn, column].sum() / counts[drawn].sum()))  # fmt: skip
        if isinstance(share, Estimate):
            found[name] = asdict(share)
    return {**found, "votes": len(some)} if found else {}


def _embedded(image: Image.Image, side: int) -> str:
    """A picture as a data URL."""
    made = io.BytesIO()
    reduced(image.convert("RGB"), side).save(made, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(made.getvalue()).decode()}"
