"""The tables of the poster benches in the papers' form: ours, and below them what was published."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from posterkit.documents import read_text, read_yaml
from posterkit.evaluation.bench_rows import CRAFT, LENGTHS, OMNI
from posterkit.evaluation.poster_bench import JUDGED, TEXT_FIGURES
from posterkit.tasks import TASKS

HEADS = {"f_score": "F"}


@cache
def published(bench: str) -> dict[str, Any]:
    """The published table of a bench: `columns`, `rows` by model, and by whom it was judged."""
    return read_yaml(read_text(Path(__file__).with_name("published_tables.yaml")))[bench]


def as_markdown(reports: Sequence[dict[str, Any]]) -> str:
    """All tables of reports of one bench."""
    bench = reports[0]["bench"]["bench"]
    first = _omni(reports) if bench == OMNI else _craft(reports)
    tables = [first, _figures(reports)]
    for report in reports:
        if report["failed"]:
            faults = "; ".join(f"{fault}: {count}" for fault, count in [*report["faults"].items()][:5])
            tables.append(f"{report['by']}: {report['failed']} of {report['rows']} rows have no score ({faults})")
        tables += [f"{report['by']}: {note}" for note in report["notes"]]
    return "\n\n".join(tables)


def differences_as_markdown(one: str, other: str, found: dict[str, dict[str, Any]]) -> str:
    """Paired differences of two systems, and whether their intervals leave 0 out."""
    lines = [f"| {one} less {other} | difference | 95 % interval | rows | |", "|---|---|---|---|---|"]
    for name, row in found.items():
        clear = "significant" if row["low"] > 0 or row["high"] < 0 else "cannot tell"
        interval = f"{row['low']:+.3f} to {row['high']:+.3f}"
        lines.append(f"| {HEADS.get(name, name)} | {row['mean']:+.3f} | {interval} | {row['count']} | {clear} |")
    return "\n".join(lines)


def _omni(reports: Sequence[dict[str, Any]]) -> str:
    """PosterOmni's table: English / Chinese by task."""
    paper = published(OMNI)
    lines = _head("model", "judge", *(name.removesuffix("_driven") for name in paper["columns"]))
    for report in reports:
        cells = [f"{_cell(report, 'en', group)}/{_cell(report, 'zh', group)}" for group in (*TASKS, "overall")]
        lines.append(f"| **{report['by']}** | {report['judge']} | {' | '.join(cells)} |")
    lines += [f"| {name} | {paper['judged by']} | {' | '.join(row)} |" for name, row in paper["rows"].items()]
    return "\n".join(lines)


def _craft(reports: Sequence[dict[str, Any]]) -> str:
    """PosterCraft's table of the lettering, with precision, and accuracy in two senses, since the paper gives none."""
    paper = published(CRAFT)
    lines = _head("model", "read by", *(HEADS.get(name, name) for name in TEXT_FIGURES))
    for report in reports:
        overall = report["cells"].get("all", {}).get("overall", {})
        cells = [f"{overall[name]['mean']:.3f}" if name in overall else "–" for name in TEXT_FIGURES]
        lines.append(f"| **{report['by']}** | OCR | {' | '.join(cells)} |")
    for name, row in paper["rows"].items():
        known = dict(zip(paper["columns"], row, strict=True))
        cells = [f"{known[one]:.3f}" if one in known else "–" for one in TEXT_FIGURES]
        lines.append(f"| {name} | {paper['judged by']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _figures(reports: Sequence[dict[str, Any]]) -> str:
    """Every figure with its interval, over all rows and by task or length."""
    names = (*JUDGED, "overall", *TEXT_FIGURES)
    lines = _head("model", "rows", *(HEADS.get(name, name) for name in names))
    groups = ("overall", *(TASKS if reports[0]["bench"]["bench"] == OMNI else LENGTHS))
    for report in reports:
        for group in groups:
            row = report["cells"].get("all", {}).get(group)
            if row:
                cells = [f"{row[name]['mean']:.2f} ({row[name]['low']:.2f} to {row[name]['high']:.2f})"
                         if name in row else "–" for name in names]  # fmt: skip
                what = "all" if group == "overall" else group
                lines.append(f"| {report['by']} | {what}, {row['completion']['count']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(report: dict[str, Any], language: str, group: str) -> str:
    found = report["cells"].get(language, {}).get(group)
    return f"{found['overall']['mean']:.2f}" if found else "–"


def _head(*names: str) -> list[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
