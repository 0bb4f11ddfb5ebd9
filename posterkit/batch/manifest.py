"""Requests from a manifest or a folder, every fault named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from posterkit.batch.csv_rows import read_csv
from posterkit.batch.folder import read_folder
from posterkit.batch.index import RowIndex
from posterkit.batch.rows import BadRow, checked
from posterkit.documents import read_json, read_lines, read_text
from posterkit.layout.json_form import layout_from_json, layout_to_json
from posterkit.lettering import LETTERING_VALUES, Lettering
from posterkit.messages import one_line
from posterkit.paper import DPI, Sheet, parse_length, sized
from posterkit.pipelines.registry import resolve
from posterkit.schema import REQUEST_VALUES, PosterRequest, is_strings, is_text, is_whole, sides, value_faults
from posterkit.tasks import ANCHORS, TEXT, parse_anchor
from posterkit.typeset.exporters import LAYERED


def read_requests(source: Path, common: PosterRequest, skip: Path | None = None) -> RowIndex:
    """Rows of a folder or of a manifest, in order, each with its result's name; bad ones stand at their place.

    Args:
        common: what holds for rows that do not say it themselves; its task is "" where none is given.
        skip: the output folder; it is no row when it lies in the folder.

    Raises:
        ValueError: the source as a whole is unusable: missing, empty, or a folder without a task.
    """
    if source.is_dir():
        rows, base = read_folder(source, common, skip), source
    elif source.is_file():
        rows, base = _manifest_rows(source), source.parent
    else:
        raise ValueError(f"{source}: there is no such folder or manifest")
    index = RowIndex(rows, lambda row, name: parse_row(row, name, base, common))
    if not len(index):
        raise ValueError(f"{source}: the manifest has no rows")
    return index


def parse_row(row: Any, name: str, base: Path, common: PosterRequest) -> PosterRequest | BadRow:
    """One manifest row; every fault in it is named in one line."""
    if not isinstance(row, dict):
        return BadRow(name, f"a row must be a JSON object, found {type(row).__name__}")
    unknown = [key for key in row if key not in _CHECKS]
    faults = [_unknown(key, tuple(_CHECKS)) for key in unknown[:_SHOWN]]
    faults += [f"{len(unknown) - _SHOWN} more keys are unknown"] if len(unknown) > _SHOWN else []
    faults += value_faults(row, _CHECKS)
    if faults:
        return BadRow(name, "; ".join(faults))
    given = {key: value for key, value in row.items() if value is not None}
    anchor, draft = given.get("anchor"), given.get("draft")
    try:
        lettering = _lettering(given, base)
        size, sheet = _sized(given, common.sheet)
    except ValueError as error:
        return BadRow(name, str(error))
    request = PosterRequest(
        given.get("prompt", common.prompt),
        task=given.get("task", common.task or (TEXT if not given.get("images") else "")),
        texts=given.get("texts", common.texts),
        images=[base / image for image in given.get("images", ())],
        mask=base / given["mask"] if "mask" in given else None,
        anchor=parse_anchor(anchor) if isinstance(anchor, str) else anchor and tuple(anchor),
        size=size and sides(*size),
        sheet=sheet,
        draft=draft if draft in (None, "auto", "none") else base / draft,
        lora=_lora(given.get("lora"), base),
        lettering=lettering,
        out=str(_result(given["out"])) if "out" in given else None,
        id=name,
        **{key: given[key] for key in _PLAIN if key in given},
    )
    return checked(request, common)


def _sized(row: dict[str, Any], common: Sheet | None) -> Any:
    """A row's size and sheet; what it does not say of its sheet is as for all rows."""
    if not any(key in row for key in ("size", "width", "height", "bleed", "safe", "dpi")):
        return None, None
    lengths = {key: parse_length(str(row[key])) if key in row else None for key in ("bleed", "safe")}
    if common is not None:
        lengths = {key: getattr(common, key) if value is None else value for key, value in lengths.items()}
    return sized(
        row.get("size"), row.get("width"), row.get("height"), row.get("dpi"), lengths["bleed"], lengths["safe"]
    )


def _manifest_rows(path: Path) -> Iterator[tuple[str, Any]]:
    return read_csv(path) if path.suffix.lower() == ".csv" else _json_rows(path)


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    for position, (number, line) in enumerate(read_lines(path)):
        name = f"{path.name}:{number}"
        try:
            yield name, read_json(line, name)
        except ValueError as error:
            if not position and "not UTF-8" in str(error):
                raise ValueError(f"{path}: not a JSONL manifest (it is not UTF-8 text)") from None
            yield name, BadRow(name, str(error).removeprefix(f"{name}: "))


def _unknown(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    meant = f' (did you mean "{near[0]}"?)' if near else f"; the keys are {', '.join(known)}"
    return f'unknown key "{one_line(key, 40)}"{meant}'


def _lora(value: str | None, base: Path) -> str | None:
    """A LoRA's file counts from the manifest's folder, a hub id from nowhere; `=0.8` behind it is its weight."""
    if value is None:
        return None
    name = value.rpartition("=")[0] or value
    return resolve(base / value if (base / value).exists() or (base / name).exists() else value)


def _lettering(row: dict[str, Any], base: Path) -> Lettering:
    """How a row's texts are set; its font files count from the manifest's folder."""
    fonts = [str(base / font) if (base / font).is_file() else font for font in row.get("fonts", ())]
    names = ("style", "colors", "roles", "align", "layout", "boxes", "planner")
    given = {name: row[name] for name in names if name in row}
    if "plan" in row:  # a file that counts from the manifest's folder, kept as what it says
        path = base / row["plan"]
        if not path.is_file():
            raise ValueError(f"{path}: there is no such plan")
        given["plan"] = layout_to_json(layout_from_json(read_text(path), str(path)))
    return Lettering(fonts=tuple(fonts), **given)


def _is_anchor(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) == 2 and all(is_whole(item) for item in value)
    try:
        return isinstance(value, str) and bool(parse_anchor(value))
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
    path = _result(value)
    fits = not path.is_absolute() and ".." not in path.parts and path.stem != ""
    return fits and not re.search(r"[:\0\ud800-\udfff]", value)


def _result(out: str) -> PurePosixPath:
    """A result's name in one spelling: "./a.png" is "a.png"."""
    return PurePosixPath(out.replace("\\", "/"))


_SHOWN = 3  # unknown keys of a row that are named
# taken as they stand in the row
_PLAIN = ("seed", "steps", "guidance", "negative_prompt", "best_of", "strength", "preserve")
_CHECKS = {
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
    "preserve": (lambda value: isinstance(value, bool), "true or false"),
    **LETTERING_VALUES,
    "out": (_is_result, f"a .png name inside the output folder, or {', '.join(LAYERED)}"),
}
