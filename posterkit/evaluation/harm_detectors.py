"""How good a harm detector is on labelled texts, by category and language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from posterkit.datagen.safety_lines import HarmLine, HarmPair
from posterkit.safety.calibration import auroc, expected_calibration_error, recall_at
from posterkit.safety.detectors import HarmDetector


@dataclass(frozen=True)
class LabelledLine:
    """A text with its label, and the detector's verdict on it."""

    line: HarmLine
    category: str
    language: str
    kind: str
    p_harm: float
    flagged: bool
    found: str | None


@dataclass(frozen=True)
class DetectorRow:
    """A row of the table; `caught` and `false_alarms` are at the detector's own threshold."""

    name: str
    harmful: int
    harmless: int
    auroc: float
    recall_at_1: float
    ece: float
    caught: float
    false_alarms: float


def judge_pairs(detector: HarmDetector, pairs: Iterable[HarmPair]) -> list[LabelledLine]:
    """Every text of the pairs once, with its verdict."""
    lines: dict[tuple[str, str | None, bool], tuple[HarmLine, str, str, str]] = {}
    for pair in pairs:
        for line, kind in ((pair.safer, pair.kind), (pair.other, "harmful")):
            key = line.text, line.context, line.harmful
            lines.setdefault(key, (line, pair.category or "any", pair.language, kind))
    verdicts = detector.verdicts([(text, context) for text, context, _ in lines])
    return [
        LabelledLine(*line, verdict.p_harm, verdict.harmful, verdict.category)
        for line, verdict in zip(lines.values(), verdicts, strict=True)
    ]


def detector_table(judged: Sequence[LabelledLine]) -> list[DetectorRow]:
    """A row for all texts, each language, each category, and each kind of harmless text."""
    names = {"all": judged}
    for key in ("language", "category"):
        for value in dict.fromkeys(getattr(one, key) for one in judged):
            names[value] = [one for one in judged if getattr(one, key) == value]
    harmful = [one for one in judged if one.line.harmful]
    for kind in dict.fromkeys(one.kind for one in judged if not one.line.harmful):
        names[f"harmless: {kind}"] = harmful + [one for one in judged if one.kind == kind and not one.line.harmful]
    return [_row(name, lines) for name, lines in names.items()]


def _row(name: str, judged: Sequence[LabelledLine]) -> DetectorRow:
    p, labels = [one.p_harm for one in judged], [one.line.harmful for one in judged]
    caught = [one.flagged for one in judged if one.line.harmful]
    alarms = [one.flagged for one in judged if not one.line.harmful]
    return DetectorRow(
        name, len(caught), len(alarms), auroc(p, labels), recall_at(p, labels) if alarms else float("nan"),
        expected_calibration_error(p, labels), sum(caught) / max(1, len(caught)), sum(alarms) / max(1, len(alarms)),
    )  # fmt: skip


def table_lines(rows: Iterable[DetectorRow]) -> list[str]:
    """The table in Markdown."""
    return [
        "| | harmful | harmless | AUROC | recall at 1 % | ECE | caught | false alarms |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row.name} | {row.harmful} | {row.harmless} | {row.auroc:.3f} | {row.recall_at_1:.2f} | {row.ece:.3f} "
            f"| {row.caught:.0%} | {row.false_alarms:.1%} |"
            for row in rows
        ),
    ]
