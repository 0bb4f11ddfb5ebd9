"""Finished posters opened again for other words, by the file's ending."""

# pyright: standard
from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

import posterkit
from posterkit.documents import read_json
from posterkit.generate.metadata import content_id, read_record
from posterkit.generate.record import write_poster
from posterkit.generate.safety_checks import note_on
from posterkit.image_io import MAX_BYTES, open_image, written_whole
from posterkit.layout import Box, Layout
from posterkit.lettering import unmarked
from posterkit.messages import error_line
from posterkit.paper import Sheet, sheet_from
from posterkit.safety.decision import GateDecision, Refused
from posterkit.safety.gate import SafetyGate
from posterkit.typeset.editing import FoundText, chosen_texts, found_text, reset
from posterkit.typeset.export_options import DEFAULTS, ExportOptions
from posterkit.typeset.exporters import ending_of
from posterkit.typeset.fonts import FACES, Face, load_face
from posterkit.typeset.placed_text import PlacedLine, PlacedText
from posterkit.typeset.poster import TypesetPoster
from posterkit.typeset.raster import draw
from posterkit.typeset.shaping import shape
from posterkit.typeset.under_texts import UNDER, without_texts


@dataclass(frozen=True)
class Editor:
    """One form: the function that edits it as MODULE:NAME, and the module and the package that it needs."""

    edit: str
    needs: tuple[str, str]


EDITORS: dict[str, Editor] = {
    ".svg": Editor("posterkit.typeset.edit_svg:edit_svg", ("lxml", "lxml")),
    ".psd": Editor("posterkit.typeset.edit_psd:edit_psd", ("psd_tools", "psd-tools")),
    ".pptx": Editor("posterkit.typeset.edit_pptx:edit_pptx", ("pptx", "python-pptx")),
}
PNG = ".png"


@dataclass(frozen=True)
class EditedPoster:
    """A poster with other words."""

    id: str  # of its record; another than that of the poster it was
    found: Sequence[FoundText]  # the texts that it had
    save: Callable[[Path], Any]  # writes a file; of a form that is edited in place the very form, of a PNG any
    notes: Sequence[str] = ()  # what the safety gate found in the words
    image: Image.Image | None = None  # its picture, RGB; None for a form that is edited in place


def edit_poster(
    path: Path, texts: Sequence[str] | None, fonts: Sequence[str | Path] = (), how: ExportOptions = DEFAULTS,
    gate: SafetyGate | None = None,
) -> EditedPoster:  # fmt: skip
    """Open a finished poster and give it other words; what stands where stays.

    Args:
        texts: see `posterkit.typeset.editing.chosen_texts`; None changes nothing.
        fonts: the user's own, for posters that are set in them.
        how: the files that a PNG becomes are written.
        gate: looks at the words; the poster's record says what it decided.

    Raises:
        Refused: the gate blocks the words (a ValueError too).
        ValueError: one line with the file's name: another form, damaged, a package that it needs is not installed,
            or the words do not fit.
    """
    ending = ending_of(path)
    if ending not in (*EDITORS, PNG):
        raise ValueError(f"{path}: cannot be edited; {', '.join((PNG, *EDITORS))} can")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    extra = tuple(load_face(font) for font in fonts)
    try:
        if ending == PNG:
            return open_png(path).edited(texts, how, gate)
        texts, decisions = _checked(texts, gate)
        edited = _edit_in_place(path, EDITORS[ending], texts, extra, how, decisions)
    except Refused:
        raise
    except ValueError as error:
        said = str(error)
        raise ValueError(said if said.startswith(str(path)) else f"{path}: {said}") from None
    return replace(edited, notes=_notes(decisions))


def _checked(texts: Sequence[str] | None, gate: SafetyGate | None) -> tuple[Sequence[str] | None, list[GateDecision]]:
    """New words as they may be set, with their roles' marks, and what was decided about them."""
    if gate is None or texts is None:
        return texts, []
    plain, _ = unmarked(texts)
    decisions = [gate.check(words, "copy") for words in plain]
    if any(one.action == "block" for one in decisions):
        raise Refused(decisions)
    allowed = [
        text if one.text == words else text.rstrip().removesuffix(words) + one.text
        for text, words, one in zip(texts, plain, decisions, strict=True)
    ]
    return allowed, decisions


def _notes(decisions: Sequence[GateDecision]) -> list[str]:
    return [note for one in decisions if (note := note_on(one))]


def _edit_in_place(
    path: Path, editor: Editor, texts: Sequence[str] | None, extra: Sequence[Face], how: ExportOptions,
    decisions: Sequence[GateDecision],
) -> EditedPoster:  # fmt: skip
    module, package = editor.needs
    if find_spec(module) is None:
        raise ValueError(f"editing it needs {package}; pip install posterkit[print]")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES >> 20} MB")
    seen: list[FoundText] = []
    records: list[dict[str, Any]] = []

    def choose(found: Sequence[FoundText]) -> list[str | None]:
        if not found:
            raise ValueError("has no texts that can be edited")
        seen.extend(found)
        return [None] * len(found) if texts is None else chosen_texts(texts, found)

    def revise(said: str) -> str:
        record = _revised(read_json(said), texts or (), decisions)
        records.append(record)
        return json.dumps(record)

    where, _, name = editor.edit.partition(":")
    edit = getattr(import_module(where), name)
    try:
        content: bytes = edit(path.read_bytes(), choose, revise, extra)
    except (ValueError, OSError, MemoryError):
        raise
    except Exception as error:  # whatever the form's own library meets in a damaged file
        raise ValueError(f"cannot be edited, it is damaged ({error_line(error)})") from None

    def save(target: Path) -> None:
        with written_whole(target) as temporary:
            temporary.write_bytes(content)
            if how.signing and records:
                from posterkit.safety.content_credentials import sign_poster

                sign_poster(temporary, records[0], how.signing, path)

    return EditedPoster(records[0]["id"] if records else "", seen, save)


@dataclass(frozen=True)
class OpenedPng:
    """A finished PNG, read: its ground, and where its texts stand."""

    path: Path
    record: dict[str, Any]
    placed: Sequence[PlacedText]
    ground: Image.Image
    style: str
    sheet: Sheet | None

    def edited(
        self, texts: Sequence[str] | None, how: ExportOptions = DEFAULTS, gate: SafetyGate | None = None
    ) -> EditedPoster:
        """The poster with other words; ValueError as `edit_poster`."""
        texts, decisions = _checked(texts, gate)
        return replace(self._reset(texts, how, decisions), notes=_notes(decisions))

    def _reset(
        self, texts: Sequence[str] | None, how: ExportOptions, decisions: Sequence[GateDecision]
    ) -> EditedPoster:
        record, ground = self.record, self.ground
        found = [found_text(one) for one in self.placed]
        taken = [*(one.box for one in found), *(Box(*map(float, one["box"])) for one in record.get("graphics", ()))]
        boxes = []
        chosen = [None] * len(found) if texts is None else chosen_texts(texts, found)
        for one, was, new in zip(self.placed, found, chosen, strict=True):
            if new is not None:
                made = reset(was, new, taken, ground.size)
                one = replace(made, button=one.button, button_color=one.button_color, contrast=one.contrast)
            boxes.append(one)
        canvas = ground.copy()
        for one in boxes:
            draw(canvas, one)
        layout = Layout(*ground.size, (), archetype="edited")
        poster = TypesetPoster(canvas, ground, boxes, [], layout, self.style, ground, [], self.sheet)
        if texts is not None:
            record = _revised(record, [one.text for one in boxes], decisions) | {
                "typeset": json.loads(json.dumps(boxes, default=_plain))
            }
        save = partial(write_poster, poster, record=record, how=how, parent=self.path)
        return EditedPoster(record["id"], found, save, image=canvas)


def open_png(path: Path) -> OpenedPng:
    """A finished PNG that keeps what lies under its texts; ValueError where it is none."""
    record = read_record(path)
    with open_image(path, formats=("PNG",)) as image:
        image.load()
        under = next((data for name, data, *_ in getattr(image, "private_chunks", ()) if name == UNDER), None)
        picture = image.convert("RGB")
    if under is None:
        raise ValueError("does not keep what lies under its texts; a PNG of posterkit with its whole record does")
    try:
        placed = [_placed(said) for said in record["typeset"]]
        style = record["row"].get("lettering", {}).get("style") or "modern"
        sheet = sheet_from(record["row"]["sheet"]) if "sheet" in record["row"] else None
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"its record is damaged ({error!r})") from None
    return OpenedPng(path, record, placed, without_texts(picture, under, str(path)), style, sheet)


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else str(value)


def _revised(record: dict[str, Any], texts: Sequence[str], decisions: Sequence[GateDecision]) -> dict[str, Any]:
    """A record that says what a poster was edited from; it still makes that one again."""
    was = record.get("id", "")
    said: dict[str, Any] = {"from": was, "texts": list(texts)}
    name = content_id({"edited": said}, was, posterkit.__version__)
    return {**record, "id": name, "edited": said | ({"safety": [one.row() for one in decisions]} if decisions else {})}


def _placed(said: dict[str, Any]) -> PlacedText:
    """A text as a record has it."""
    size = float(said["size"])
    lines = []
    for at in said["placed_lines"]:
        runs = at["line"]["runs"]
        faces = tuple(dict.fromkeys(_face(run["face"]) for run in sorted(runs, key=lambda run: run["start"])))
        tracking = max((float(run["tracking"]) for run in runs), default=0.0)
        lines.append(
            PlacedLine(shape(str(at["line"]["text"]), faces, tracking), float(at["x"]), float(at["baseline"]))
        )
    button = Box(*map(float, said["button"])) if said.get("button") else None
    return PlacedText(
        str(said["text"]), said["role"], Box(*map(float, said["box"])), str(said["font"]), size, tuple(said["color"]),
        tuple(said["lines"]), float(said["contrast"]), tuple(lines), button,
        tuple(said.get("button_color", (0, 0, 0))), align=said.get("align", "center"),
    )  # fmt: skip


def _face(said: dict[str, Any]) -> Face:
    """A shipped face by its file's name, else the user's own where it lay."""
    name = Path(said["path"]).stem
    return next((face for face in FACES if face.name == name), None) or load_face(said["path"])
