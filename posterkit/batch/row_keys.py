"""The keys of a row, in manifests, in a folder's own file and beside a picture: what each may say."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from posterkit.lettering import LETTERING_VALUES, ROLES
from posterkit.messages import one_line
from posterkit.paper import DPI, parse_length, parse_size
from posterkit.schema import REQUEST_VALUES, ValueCheck, is_strings, is_text, is_whole, value_faults
from posterkit.tasks import ANCHORS, MOST_SEEDS, parse_anchor
from posterkit.typeset.exporters import LAYERED

_SHOWN = 3  # unknown keys of a row that are named
# taken as they stand in the row
PLAIN_KEYS = ("seed", "steps", "guidance", "negative_prompt", "best_of", "strength", "preserve", "regional")


def row_faults(row: Mapping[str, Any], columns: bool = False) -> list[str]:
    """What is unknown or wrong in a row, each fault a line.

    Args:
        columns: its keys may be a table's columns, which a template may name.
    """
    unknown = [key for key in row if key not in ROW_KEYS]
    meant = {key: _meant(key) for key in unknown[:_SHOWN]}
    faults = [f'unknown key "{one_line(key, 40)}"{near}' for key, near in meant.items() if near]
    if strange := [key for key, near in meant.items() if not near]:
        names = ", ".join(f'"{one_line(key, 40)}"' for key in strange)
        used = f"; {{{one_line(strange[0], 40)}}} in a prompt or a text would use it" if columns else ""
        faults.append(f"unknown key{'s' * (len(strange) > 1)} {names}{used}; the keys are {', '.join(ROW_KEYS)}")
    faults += [f"{len(unknown) - _SHOWN} more keys are unknown"] if len(unknown) > _SHOWN else []
    return faults + value_faults(row, ROW_KEYS)


def _meant(key: str) -> str:
    """Which key may be meant by an unknown one; empty where none is near."""
    near = difflib.get_close_matches(key, (*ROW_KEYS, *ROLES), 1)
    if near and near[0] in ROLES:
        return f' (did you mean the text "@{near[0]}:..." in texts? In spreadsheets the column is "{near[0]}")'
    return f' (did you mean "{near[0]}"?)' if near else ""


def result_name(out: str) -> PurePosixPath:
    """A result's name in one spelling: "./a.png" is "a.png"."""
    return PurePosixPath(out.replace("\\", "/"))


def _is_anchor(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and all(is_whole(item) for item in value)
    try:
        return isinstance(value, str) and bool(parse_anchor(value))
    except ValueError:
        return False


def _are_sizes(value: Any) -> bool:
    try:
        return is_strings(value) and bool(value) and all(map(parse_size, value))
    except ValueError:
        return False


def _is_length(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    try:
        return parse_length(str(value)) >= 0
    except ValueError:
        return False


def _is_result(value: Any) -> bool:
    if not isinstance(value, str) or not value.lower().endswith((".png", *LAYERED)):
        return False
    path = result_name(value)
    fits = not path.is_absolute() and ".." not in path.parts and path.stem != ""
    return fits and not re.search(r"[:\0\ud800-\udfff]", value)


ROW_KEYS: dict[str, ValueCheck] = {
    **REQUEST_VALUES,
    "size": (is_text, "a size such as a3, 24x36in or instagram-story"),
    "dpi": (lambda value: is_whole(value) and DPI[0] <= value <= DPI[1], f"a whole number from {DPI[0]} to {DPI[1]}"),
    "bleed": (_is_length, "a length such as 3 (millimetres) or 0.125in"),
    "safe": (_is_length, "a length such as 5 (millimetres) or 0.25in"),
    "images": (is_strings, "a list of file names"),
    "mask": (is_text, "a file name"),
    "anchor": (_is_anchor, f"one of {', '.join(ANCHORS)}, or [x, y]"),
    "lora": (is_text, "a file or folder name"),
    "draft": (is_text, '"auto", "none" or a file name'),
    **dict.fromkeys(("preserve", "regional"), (lambda value: isinstance(value, bool), "true or false")),
    **LETTERING_VALUES,
    "seeds": (lambda value: is_whole(value) and 1 <= value <= MOST_SEEDS, f"a whole number from 1 to {MOST_SEEDS}"),
    "sizes": (_are_sizes, "a list of sizes such as instagram-story, a3, 1200x300"),
    "out": (_is_result, f"a .png name inside the output folder, or {', '.join(LAYERED)}"),
}
