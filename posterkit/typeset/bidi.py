"""The order of mixed left-to-right and right-to-left text (the implicit rules of UAX #9)."""

from __future__ import annotations

import re
import unicodedata

# digits in groups, as a telephone number is written: one number, which nobody reads group by group from the right
_PHONE = re.compile(r"(?<![\w+])(?:\+\d|\(?0\d)(?:[ ()./-]{0,2}\d){5,14}(?!\w)")


def visual_runs(text: str, rtl: bool) -> list[tuple[int, str, int]]:
    """Stretches of one embedding level in visual order: start in the text, the stretch in logical order, its level.

    UAX #9, rule L2. A telephone number counts as one word from left to right, as if it stood in an isolate.
    """
    levels = bidi_levels(text, rtl)
    runs: list[tuple[int, int, int]] = []
    for i, level in enumerate(levels):
        if runs and runs[-1][2] == level:
            runs[-1] = (runs[-1][0], i + 1, level)
        else:
            runs.append((i, i + 1, level))
    for threshold in range(max(levels, default=0), 0, -1):
        i = 0
        while i < len(runs):
            j = i
            while j < len(runs) and runs[j][2] >= threshold:
                j += 1
            runs[i:j] = runs[i:j][::-1]
            i = max(j, i + 1)
    return [(start, text[start:end], level) for start, end, level in runs]


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
    i = 0
    while i < len(kinds):  # N1, N2: neutrals take the direction of both sides if they agree, else the paragraph's
        if kinds[i] in "LR" or kinds[i] in ("EN", "AN"):
            i += 1
            continue
        j = i
        while j < len(kinds) and kinds[j] not in ("L", "R", "EN", "AN"):
            j += 1
        before = side if i == 0 else ("L" if kinds[i - 1] == "L" else "R")
        after = side if j == len(kinds) else ("L" if kinds[j] == "L" else "R")
        kinds[i:j] = [before if before == after else side] * (j - i)
        i = j
    levels = [base + _step(kind, base) for kind in kinds]
    for i in range(len(text) - 1, -1, -1):  # L1: spaces at the line's end stand at the paragraph's level
        if not text[i].isspace():
            break
        levels[i] = base
    return levels


def _step(kind: str, base: int) -> int:
    if base == 0:
        return {"L": 0, "R": 1}.get(kind, 2)
    return 0 if kind == "R" else 1


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
