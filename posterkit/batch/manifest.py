"""Requests from a manifest or a folder, every fault named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from glob import has_magic
from pathlib import Path
from typing import Any

from posterkit.batch.csv_rows import read_csv
from posterkit.batch.folder import FolderRow, read_folder, read_pattern
from posterkit.batch.index import RowIndex
from posterkit.batch.row_keys import PLAIN_KEYS, result_name, row_faults
from posterkit.batch.rows import BadRow, checked
from posterkit.batch.templates import Template, with_filled
from posterkit.batch.variants import ONE, Variants, stem_of
from posterkit.batch.xlsx_rows import read_xlsx
from posterkit.documents import read_json, read_lines
from posterkit.generate.plan_files import read_plan
from posterkit.image_io import SUFFIXES
from posterkit.layout.json_form import layout_to_json
from posterkit.lettering import Lettering
from posterkit.paper import Sheet, parse_length, sized
from posterkit.pipelines.registry import resolve
from posterkit.schema import Design, PosterRequest, check_task, sides
from posterkit.sizing import Size
from posterkit.tasks import TEXT, parse_anchor
from posterkit.typeset.brand_kit import BrandKit


def read_requests(
    source: Path,
    common: PosterRequest,
    skip: Path | None = None,
    variants: Variants = ONE,
    kit: BrandKit | None = None,
) -> RowIndex:
    """Rows of a folder, of a pattern's images or of a manifest, in order, each with its result's name.

    Bad ones stand at their place.

    Args:
        common: what holds for rows that do not say it themselves; its task is "" where none is given.
        skip: the output folder; it is no row when it lies in the folder.
        variants: what each row is made in.
        kit: the brand that all rows keep to.

    Raises:
        ValueError: the source as a whole is unusable: missing, empty, or a folder without a task; or the common task
            is unknown.
    """
    if common.task:
        check_task(common.task)
    if source.is_dir():
        rows, base = read_folder(source, common, skip), source
    elif source.is_file() and source.suffix.lower() in SUFFIXES:
        raise ValueError(f"{source}: is one image; take posterkit transform, or give a folder, a pattern, a manifest")
    elif source.is_file():
        rows, base = _manifest_rows(source), source.parent
    elif has_magic(str(source)):
        rows, base = read_pattern(source, common)
    else:
        raise ValueError(f"{source}: there is no such folder or manifest")

    def parse(raw: Any, name: str) -> PosterRequest | BadRow:
        shared = with_filled(common, raw["common"])
        request = parse_row(raw["row"], name, base, shared)
        if isinstance(request, BadRow):
            return request
        try:
            request = kit.applied(request) if kit else request
            if "design" not in raw:
                return request
            size, sheet = _sized(raw["row"] | {"size": raw["design"]}, None)
        except ValueError as error:
            return BadRow(name, str(error))
        return checked(replace(request, design=Design(Size(*size), sheet)), shared)

    index = RowIndex(_variants_of(rows, common, variants), parse)
    if not len(index):
        raise ValueError(f"{source}: the manifest has no rows")
    return index


def _variants_of(
    rows: Iterable[tuple[str, Any]], common: PosterRequest, variants: Variants
) -> Iterator[tuple[str, Any, str]]:
    """Each row's variants with their templates filled in, and the names of their results without endings."""
    for number, (name, row) in enumerate(rows):
        stem = stem_of(row, name, number)
        if not isinstance(row, dict):
            yield name, row if isinstance(row, BadRow) else {"row": row, "common": {}}, stem
            continue
        template = Template(row, {"name": Path(stem).name, "number": number + 1})
        try:
            own, shared = template.filled_row(), template.filled_common(common)
        except ValueError as error:
            yield name, BadRow(name, str(error)), stem
            continue
        stem = stem_of(own, name, number)
        own |= template.unknown()
        if faults := row_faults(own, columns=True):
            yield name, BadRow(name, "; ".join(faults)), stem
            continue
        sources = row.sources if isinstance(row, FolderRow) else {}
        for keys, behind in variants.of(own, stem):
            raw = {"row": own | keys, "common": shared, "sources": sources, "number": number}
            if sizes := own.get("sizes") or variants.sizes:
                raw["design"] = sizes[0]
            yield name + behind.replace("-", " ", 1), raw, stem + behind


def parse_row(row: Any, name: str, base: Path, common: PosterRequest) -> PosterRequest | BadRow:
    """One manifest row; every fault in it is named in one line."""
    if not isinstance(row, dict):
        return BadRow(name, f"a row must be a JSON object, found {type(row).__name__}")
    if faults := row_faults(row):
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
        out=str(result_name(given["out"])) if "out" in given else None,
        id=name,
        **{key: given[key] for key in PLAIN_KEYS if key in given},
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
    reader = {".csv": read_csv, ".tsv": read_csv, ".xlsx": read_xlsx, ".xlsm": read_xlsx}
    return reader.get(path.suffix.lower(), _json_rows)(path)


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    for position, (number, line) in enumerate(read_lines(path)):
        name = f"{path.name}:{number}"
        try:
            yield name, read_json(line, name)
        except ValueError as error:
            if not position and "not UTF-8" in str(error):
                raise ValueError(f"{path}: not a JSONL manifest (it is not UTF-8 text)") from None
            yield name, BadRow(name, str(error).removeprefix(f"{name}: "))


def _lora(value: str | None, base: Path) -> str | None:
    """A LoRA's file counts from the manifest's folder, a hub id from nowhere; `=0.8` behind it is its weight."""
    if value is None:
        return None
    name = value.rpartition("=")[0] or value
    return resolve(base / value if (base / value).exists() or (base / name).exists() else value)


def _lettering(row: dict[str, Any], base: Path) -> Lettering:
    """How a row's texts are set; its font files count from the manifest's folder."""
    fonts = [str(base / font) if (base / font).is_file() else font for font in row.get("fonts", ())]
    names = (
        "style", "colors", "roles", "align", "layout", "boxes", "planner", "logo_at", "qr", "qr_at", "logo_clear",
        "visible_mark",
    )  # fmt: skip
    given = {name: row[name] for name in names if name in row}
    if "margin" in row:
        given["margin"] = str(row["margin"])
    if "logo" in row:
        given["logo"] = str(base / row["logo"])
    if "plan" in row:  # a file that counts from the manifest's folder, kept as what it says
        path = base / row["plan"]
        if not path.is_file():
            raise ValueError(f"{path}: there is no such plan")
        given["plan"] = layout_to_json(read_plan(path))
    return Lettering(fonts=tuple(fonts), **given)
