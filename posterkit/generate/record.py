"""The finished poster, and its record: what goes into it, into the file, and back to a request."""

# pyright: standard
from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

import posterkit
from posterkit.generate.checkpoint import Settings
from posterkit.generate.licences import faces_of, licences_of
from posterkit.generate.metadata import FORMAT, content_id, file_hash, from_anywhere, read_record, source_depth
from posterkit.generate.poster_plan import PosterPlan, resolved_row
from posterkit.image_io import MAX_BYTES, written_whole
from posterkit.layout import Layout
from posterkit.lettering import LETTERING_VALUES, ROLES, Lettering
from posterkit.llm.principle import Principle
from posterkit.messages import one_line
from posterkit.paper import sheet_from
from posterkit.pipelines.registry import is_here
from posterkit.prompts import quoted_texts
from posterkit.safety.provenance import alt_text, inputs_of, marks_of
from posterkit.schema import REQUEST_VALUES, Design, PosterRequest, ValueCheck, is_text, value_faults
from posterkit.sizing import Size
from posterkit.typeset.export_options import DEFAULTS, ExportOptions
from posterkit.typeset.exporters import ENDINGS, EXPORTERS, ending_of, export
from posterkit.typeset.placed_text import Composition, PictureParts, PlacedText
from posterkit.typeset.poster import TypesetPoster
from posterkit.typeset.under_texts import UNDER, under_texts
from posterkit.typeset.xmp import CHUNK, FileNotes, packet

_PHOTOGRAPHS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_XMP = "XML:com.adobe.xmp"  # where a PNG keeps its packet
_TEXT: ValueCheck = (is_text, "a text")
_FONTS: ValueCheck = (
    lambda value: isinstance(value, list) and all(isinstance(font, dict) for font in value), "a list of fonts",
)  # fmt: skip
_FILE: ValueCheck = (lambda value: isinstance(value, dict), "a file")
_MARKS: ValueCheck = (
    lambda value: isinstance(value, list) and all(
        isinstance(mark, list) and len(mark) == 2 and mark[1] in ROLES and is_text(mark[0]) for mark in value
    ), "a list of [text, role]",
)  # fmt: skip
_SWITCH: ValueCheck = (lambda value: isinstance(value, bool), "true or false")
TYPESET = "typeset"  # the task of a record whose picture is the user's
_PARTS = ("torch", "diffusers", "transformers", "peft", "pillow", "numpy", "scipy")


@dataclass(frozen=True)
class FinishedPoster:
    """A finished poster."""

    request: PosterRequest  # makes it again with the same maker: size, seed, steps and guidance are settled
    image: Image.Image  # RGB at the finished size, texts and all
    record: dict[str, Any]  # what its file says about it
    drawing: Image.Image  # what the model drew, at its own size
    seed: int  # what it was drawn from; the kept one of several
    typeset: TypesetPoster | None  # the poster with its texts, for SVG, PDF and PSD; None where none were set
    notes: list[str]  # warnings that came up
    metadata: str = "full"  # what its files say: the record (full), marks of its origin (label), nothing (none)
    parts: PictureParts | None = None  # what its picture is made of, without the texts; None where it is one piece

    def save(self, path: str | Path, dpi: int | None = None, how: ExportOptions = DEFAULTS) -> None:
        """Write a PNG, SVG, PDF or PSD with its record, by the name's ending; whole or not at all.

        A .jpg or .webp carries the marks of its origin, and no record. See `posterkit.typeset.exporters.EXPORTERS`.

        Args:
            dpi: pixels an inch of a page.
            how: everything else about the file; `dpi` takes precedence.

        Raises:
            ValueError: another ending, a package that it needs is not installed, or a profile that is none.
        """
        image = self.image
        layout = Layout(*image.size, ())
        plain = TypesetPoster(image, image, [], [], layout, "modern", image, [], self.request.sheet, self.parts)
        write_poster(self.typeset or plain, path, self.record, replace(how, dpi=dpi or how.dpi), self.metadata)


def write_poster(
    poster: TypesetPoster,
    path: str | Path,
    record: dict[str, Any],
    how: ExportOptions = DEFAULTS,
    metadata: str = "full",
    parent: Path | None = None,
) -> None:
    """Write a poster's file with what it says of itself; see `FinishedPoster.save`.

    Args:
        parent: the poster that it was edited from, for its content credentials.
    """
    path = Path(path)
    said = with_relative_paths(record, path.parent)
    if how.signing is None:
        return _write(poster, path, said, how, metadata)
    from posterkit.safety.content_credentials import sign_poster

    with written_whole(path) as temporary:
        _write(poster, temporary, said, how, metadata)
        sign_poster(temporary, record, how.signing, parent)


def _write(poster: TypesetPoster, path: Path, record: dict[str, Any], how: ExportOptions, metadata: str) -> None:
    ending = ending_of(path)
    if ending == ".png":
        return write_png(poster.image, path, record, metadata, under_texts(poster) if metadata == "full" else None)
    notes = file_notes(record, metadata)
    if ending in _PHOTOGRAPHS:
        with written_whole(path) as temporary:
            said = {"xmp": packet(replace(notes, record=""))} if notes else {}
            poster.image.save(temporary, _PHOTOGRAPHS[ending], quality=95, **said)
        return
    if ending not in EXPORTERS:
        raise ValueError(
            f"{path}: a poster is written as .png, {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}; "
            ".jpg and .webp carry no record"
        )
    content = export(poster, ending, replace(how, notes=notes))
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def file_notes(record: dict[str, Any], metadata: str = "full") -> FileNotes:
    """What a poster's file says at a level: see `FinishedPoster.metadata`.

    The label keeps the poster's id, by which a batch knows it again, and nothing of the prompt.
    """
    if metadata == "none":
        return FileNotes()
    marks = marks_of(record)
    if metadata == "label":
        marks = replace(marks, alt=alt_text("", record["row"]["texts"]))
        record = {**{name: record[name] for name in ("id", "posterkit") if name in record}, "metadata": metadata}
    # in ASCII, since a file name need not be UTF-8
    said = json.dumps({"format": FORMAT, **record})
    return FileNotes(said, marks.properties(f"posterkit {record.get('posterkit', '')}".strip()), marks.alt)


def record_of(
    plan: PosterPlan, drawn: tuple[int, int], resampler: str, made: dict[str, Any],
    boxes: Sequence[PlacedText] | None, depth: int,
) -> dict[str, Any]:  # fmt: skip
    """Everything that is needed to make a poster again, and to see why two differ; JSON-able.

    Args:
        drawn: the size that the model drew, in pixels.
        made: what the pipeline says that it used.
        boxes: of the typeset texts; None where none were set.
        depth: how many times posterkit had drawn the sources already.
    """
    settings, checkpoint = plan.settings, plan.checkpoint
    loras = settings.lora, plan.row["lora"]
    licences = licences_of(checkpoint.name, settings.transformer, loras, faces_of(boxes or ()))
    notes = {"notes": list(plan.notes)} if plan.notes else {}
    return {
        **_head(plan.id, plan.row),
        "model": {
            "name": from_anywhere(checkpoint.name), "revision": checkpoint.revision,
            "transformer": from_anywhere(settings.transformer), "lora": from_anywhere(settings.lora),
        },
        "settings": {name: getattr(settings, name) for name in ("preset", "device", "dtype", "sampler")},
        "drawn": {**_plain(made), "size": list(drawn), "words": plan.words, **notes},
        "enlarged": {"size": list(plan.finished), "resampler": resampler},
        "licences": [one.row() for one in licences],
        **_foot(boxes, depth + 1),
    }  # fmt: skip


def typeset_record(picture: Path, poster: TypesetPoster, texts: Sequence[str], lettering: Lettering) -> dict[str, Any]:
    """The record of texts on a picture of the user's, which no model has drawn; JSON-able."""
    size = Size(*poster.image.size)
    request = PosterRequest(
        task=TYPESET, texts=texts, images=[picture], size=size, lettering=lettering, sheet=poster.sheet
    )
    row = resolved_row(request, Settings(native=True), texts, drawn=False)
    head = _head(content_id(row, "", posterkit.__version__), row)
    licences = [one.row() for one in licences_of(None, None, (), faces_of(poster.boxes))]
    return head | {"licences": licences} | _foot(poster.boxes, source_depth(picture)) | graphics_of(poster)


def graphics_of(poster: Composition) -> dict[str, Any]:
    """What a record says of a poster's logo and code; nothing where there are none."""
    said = [{"role": one.role, "says": one.says, "box": list(one.box)} for one in poster.graphics]
    return {"graphics": said} if said else {}


def _head(name: str, row: dict[str, Any]) -> dict[str, Any]:
    head = {"id": name, "posterkit": posterkit.__version__, "row": row}
    inputs = inputs_of(image["path"] for image in row["images"] if image["path"] is not None)
    return head | ({"inputs": inputs} if inputs else {})  # what they say of their own origin


def _foot(boxes: object, depth: int) -> dict[str, Any]:
    return {"typeset": _plain(boxes), "source_depth": depth, "versions": _versions()}


def write_png(
    image: Image.Image,
    path: str | Path,
    record: dict[str, Any] | None = None,
    metadata: str = "full",
    under: bytes | None = None,
) -> None:
    """Write a poster with its record: to a temporary name in the same folder, then renamed.

    Args:
        image: mode RGB.
        record: JSON-able; `info` prints it and `generate --from-image` draws from it. None for what is no poster.
        metadata: what of it the file says, see `FinishedPoster.metadata`.
        under: the picture under the texts, see `posterkit.typeset.under_texts`.
    """
    path = Path(path)
    info = PngImagePlugin.PngInfo()
    if record is not None and (notes := file_notes(record, metadata)):
        info.add_itxt(CHUNK, notes.record)
        info.add_itxt(_XMP, packet(replace(notes, record="")).decode())
    if metadata != "none":
        info.add_text("Software", f"posterkit {(record or {}).get('posterkit', '')}".strip())
    if metadata == "full" and (prompt := (record or {}).get("row", {}).get("prompt")):
        info.add_itxt("Description", prompt)
    if under:
        info.add(UNDER, under, after_idat=True)
    with written_whole(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info, compress_level=6)


def with_relative_paths(record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The record with its sources named from `folder`, where the poster lies, so that both can move together."""

    def relative(file: dict[str, Any] | None) -> dict[str, Any] | None:
        if file is None or file["path"] is None:
            return file
        try:
            path = os.path.relpath(file["path"], folder)
        except ValueError:  # another drive
            path = os.path.abspath(file["path"])
        return {**file, "path": Path(path).as_posix()}

    row = record["row"]
    row = {**row, "images": [relative(image) for image in row["images"]], "mask": relative(row["mask"])}
    if isinstance(row.get("draft"), dict):
        row["draft"] = relative(row["draft"])
    if logo := row.get("lettering", {}).get("logo"):
        row["lettering"] = {**row["lettering"], "logo": relative(logo)}
    if fonts := row.get("lettering", {}).get("fonts"):
        row["lettering"] = {**row["lettering"], "fonts": [relative(font) for font in fonts]}
    return {**record, "row": row}


def request_from_poster(poster: str | Path) -> tuple[PosterRequest, Settings, dict[str, Any]]:
    """The request and the settings that made a poster, and its whole record.

    Of several candidates it is the kept one's request; what a critic suggested is taken from the record.

    Raises:
        ValueError: the file carries no record, or a picture that it was made from is gone or has changed.
    """
    poster = Path(poster)
    record = read_record(poster)
    if record.get("metadata") == "label":
        raise ValueError(f"{poster}: says only that posterkit made it (--metadata label), not from what")
    try:
        row = record["row"]
        if row["task"] == TYPESET:
            raise ValueError(f"{poster}: was typeset and drawn by no model; posterkit info says how to make it again")
        model, settings = record["model"], record["settings"]
        _check_values(poster, record)
        anchor, quoted = row["anchor"], quoted_texts(row["prompt"])
        request = PosterRequest(
            row["prompt"],
            texts=[text for text in row["texts"] if text not in quoted],  # another prompt brings other quoted ones
            images=[_source(image, poster) for image in row["images"]],
            mask=_source(row["mask"], poster) if row["mask"] else None,
            anchor=tuple(anchor) if isinstance(anchor, list) else anchor,
            size=Size(row["width"], row["height"]),
            sheet=sheet_from(row["sheet"]) if "sheet" in row else None,
            design=_design(row["design"]) if "design" in row else None,
            **{key: row[key] for key in ("task", "steps", "guidance", "negative_prompt", "lora", "expanded")},
            **{key: row.get(key) for key in ("strength", "preserve", "regional")},
            id=str(poster),
            seed=record["chosen"]["seed"] if "chosen" in record else row["seed"],
            draft=_source(row["draft"], poster) if isinstance(row.get("draft"), dict) else row.get("draft", "none"),
            lettering=_lettering(row.get("lettering") or {}, poster),
            feedback=_feedback(record),
        )
        found = Settings(
            model["name"], model["transformer"], model["lora"], settings["preset"], settings["device"],
            settings["dtype"], settings.get("sampler"), native=row["native"], draw_text=row["draw_text"],
            segmenter=row.get("segmenter"), upscaler=row.get("upscaler"),
            principle=Principle(**row["principle"]) if row.get("principle") else None,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{poster}: its record is damaged ({error!r})") from None
    return request, found, record


def check_models(poster: Path, recorded: Settings, lora: str | None, asked: Mapping[str, Any]) -> None:
    """Raise ValueError where a poster's record would fetch a model that nobody has asked for.

    Args:
        recorded: the settings of the record.
        lora: the request's own.
        asked: settings that the user named, which replace the record's.
    """
    named = {"model": recorded.model, "transformer": recorded.transformer, "lora": recorded.lora or lora}
    if recorded.segmenter != "rules":
        named["segmenter"] = recorded.segmenter
    for option, name in named.items():
        if name and option not in asked and not is_here(name):
            raise ValueError(
                f"{poster}: was made with the {option} {one_line(name, 80)}, which is not on this machine; "
                f"give --{option} to fetch it, or to take another"
            )


def _check_values(poster: Path, record: dict[str, Any]) -> None:
    """Raise ValueError where a record asks for what a manifest may not ask for."""
    row, model, settings = record["row"], record["model"], record["settings"]
    own = dict.fromkeys(("lora", "expanded", "segmenter", "upscaler"), _TEXT)
    faults = value_faults(row, {**REQUEST_VALUES, **own, "native": _SWITCH, "draw_text": _SWITCH})
    if "chosen" in record:
        faults += value_faults({"seed": record["chosen"]["seed"]})
    faults += value_faults(model, dict.fromkeys(("name", "transformer", "lora"), _TEXT))
    faults += value_faults(settings, dict.fromkeys(("preset", "device", "dtype", "sampler"), _TEXT))
    faults += value_faults(
        row.get("lettering") or {}, {**LETTERING_VALUES, "fonts": _FONTS, "marks": _MARKS, "logo": _FILE}
    )
    if faults:
        raise ValueError(f"{poster}: its record: {'; '.join(faults)}")


def _design(said: dict[str, Any]) -> Design:
    if faults := value_faults(said):
        raise ValueError(f"its design: {'; '.join(faults)}")
    return Design(Size(said["width"], said["height"]), sheet_from(said["sheet"]) if "sheet" in said else None)


def _lettering(said: dict[str, Any], poster: Path) -> Lettering:
    fonts = [font["family"] if "family" in font else str(_source(font, poster)) for font in said.get("fonts", ())]
    logo = {"logo": str(_source(said["logo"], poster))} if "logo" in said else {}
    return Lettering(**{**said, "fonts": tuple(fonts), **logo})


def _feedback(record: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """The suggestions that led from the draft to the poster that was kept."""
    rounds = record.get("refined", {}).get("rounds", ())
    kept = [(one["content"], one["style"]) for one in rounds if one["kept"]]
    said = [tuple(one) for one in (*record["row"].get("feedback", ()), *kept)]
    if not all(isinstance(text, str) for one in said for text in one):
        raise TypeError("feedback")
    return tuple(said)


def _source(file: dict[str, Any], poster: Path) -> Path:
    """The picture that a record names: from the poster's folder, else from here."""
    if file["path"] is None:
        raise ValueError(f"{poster}: was made from a picture that was no file; its maker alone can make it again")
    for path in (poster.parent / file["path"], Path(file["path"])):
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            if file_hash(path) != file["sha256"]:
                raise ValueError(f"{poster}: was made from {path}, which has changed since; put the old one back")
            return path
    raise ValueError(f"{poster}: was made from {file['path']}, which is gone; put it back there")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PARTS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _plain(value: object) -> Any:
    """Dataclasses, tuples and numbers of numpy as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return value.item() if isinstance(value, np.generic) else str(value)
