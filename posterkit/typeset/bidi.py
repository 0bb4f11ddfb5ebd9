"""The order of mixed left-to-right and right-to-left text (the implicit rules of UAX #9)."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby

# digits in groups, as a telephone number is written: one number, which nobody reads group by group from the right
_PHONE = re.compile(r"(?<![\w+])(?:\+\d|\(?0\d)(?:[ ()./-]{0,2}\d){5,14}(?!\w)")
_DIRECTED = ("L", "R", "EN", "AN")


def visual_runs(text: str, rtl: bool) -> list[tuple[int, str, int]]:
    """Stretches of one embedding level in visual order: start in the text, the stretch in logical order, its level.

    UAX #9, rule L2. A telephone number counts as one word from left to right, as if it stood in an isolate.
    """
    levels = bidi_levels(text, rtl)
    runs: list[tuple[int, str, int]] = []
    start = 0
    for level, alike in groupby(levels):
        end = start + len(list(alike))
        runs.append((start, text[start:end], level))
        start = end
    for threshold in range(max(levels, default=0), 0, -1):
        parts = [(turned, list(part)) for turned, part in groupby(runs, lambda run: run[2] >= threshold)]  # noqa: B023
        runs = [run for turned, part in parts for run in (reversed(part) if turned else part)]
    return runs


def bidi_levels(text: str, rtl: bool) -> list[int]:
    """Embedding levels by UAX #9's rules W1 to W7, N1, N2, I1, I2 and L1; no explicit embeddings or isolates."""
    base = 1 if rtl else 0
    kinds = [unicodedata.bidirectional(c) or "L" for c in text]
    if not rtl and all(kind not in ("R", "AL", "AN") for kind in kinds):
        return [0] * len(kinds)
    side = "R" if rtl else "L"
    for number in _PHONE.finditer(text):
        kinds[number.start() : number.end()] = ["L"] * len(number[0])
    kinds = _weak(kinds, side)
    # N1, N2: neutrals take the direction of both sides if they agree, else the paragraph's; numbers count as R
    groups = [list(alike) for _, alike in groupby(kinds, lambda kind: kind in _DIRECTED)]
    ends = [side, *("L" if kind == "L" else "R" for group in groups for kind in (group[0], group[-1])), side]
    resolved: list[str] = []
    for n, group in enumerate(groups):
        before, after = ends[2 * n], ends[2 * n + 3]
        resolved += group if group[0] in _DIRECTED else [before if before == after else side] * len(group)
    steps = ({"L": 0, "R": 1}, {"R": 0, "L": 1})[base]  # I1, I2
    levels = [base + steps.get(kind, 1 if rtl else 2) for kind in resolved]
    end = len(text.rstrip())  # L1: spaces at the line's end stand at the paragraph's level
    return levels[:end] + [base] * (len(text) - end)


def _weak(kinds: list[str], side: str) -> list[str]:
    """Rules W1 to W7."""
    out: list[str] = []
    strong = side
    for i, kind in enumerate(kinds):
        if kind == "NSM":
            kind = out[-1] if out else side
        if kind in ("L", "R", "AL"):
            strong = kind
        elif kind == "EN" and strong == "AL":
            kind = "AN"
        elif kind in ("ES", "CS") and out and i + 1 < len(kinds):
            after = "AN" if kinds[i + 1] == "EN" and strong == "AL" else kinds[i + 1]
            if out[-1] == after and (after == "EN" or (kind == "CS" and after == "AN")):
                kind = after
        out.append(kind)
    for i, kind in enumerate(out):  # W5: terminators beside a European number belong to it
        if kind == "EN":
            for step in (-1, 1):
                j = i + step
                while 0 <= j < len(out) and out[j] == "ET":
                    out[j] = "EN"
                    j += step
    strong = side
    for i, kind in enumerate(out):
        if kind in ("L", "R", "AL"):
            strong = kind
        if kind == "EN" and strong == "L":
            out[i] = "L"
        elif kind == "AL":
            out[i] = "R"
        elif kind in ("ES", "ET", "CS"):
            out[i] = "ON"
    return out
