"""The page's form as a row that the server reads, and a poster's record as what the form says."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from posterkit.app.intake import Sent
from posterkit.image_io import read_size
from posterkit.lettering import ROLES
from posterkit.prompts import quoted_texts
from posterkit.tasks import TASKS, TEXT

TITLES = {
    TEXT: "From words", "extending": "Extend a photo", "filling": "Fill a part", "rescaling": "Another shape",
    "id_driven": "Feature a subject", "layout_driven": "Follow a layout", "style_driven": "Follow a style",
}  # fmt: skip
FORMATS = ("832x1216", "1024x1024", "1216x832", "a4", "a3", "a2", "instagram-square", "instagram-portrait",
           "instagram-story", "facebook-event", "full-hd")  # fmt: skip
TEXTS = ROLES  # one field each
_MANY = "\n\n"  # a blank line parts texts of one role
# fields that are a row's key as they stand, where they say anything
_PLAIN = ("prompt", "size", "seed", "seeds", "steps", "guidance", "negative_prompt", "style", "align", "layout", "qr",
          "bleed", "safe")  # fmt: skip
_NUMBERS = {"seed": int, "seeds": int, "steps": int, "guidance": float}
# what the form has, in its order, and what it says at first
START: dict[str, Any] = {
    "task": TEXT, "prompt": "", "title": "", "subtitle": "", "body": "", "cta": "", "files": None, "mask": None,
    "mask_file": None, "anchor": "center", "size": FORMATS[0], "bleed": "", "safe": "", "seed": None, "seeds": 1,
    "steps": None, "guidance": None, "negative_prompt": "", "style": "", "align": "", "layout": "",
    "colors": "", "logo": None, "qr": "",
}  # fmt: skip
FIELDS = tuple(START)


def texts_of(form: Mapping[str, Any]) -> list[str]:
    """The form's texts with their roles' marks."""
    return [
        f"@{role}:{part.strip()}"
        for role in TEXTS
        for part in str(form[role] or "").split(_MANY)
        if part.strip()
    ]  # fmt: skip


def number(words: object, kind: Callable[[str], Any] = int) -> Any:
    """The number in a field; its words where it is none, so that the row's check names them."""
    try:
        return kind(str(words))
    except ValueError:
        return words


def sent_from(form: Mapping[str, Any], folder: Path) -> Sent:
    """The form as a row, its uploads copied into a folder; ServiceError, ValueError or OSError for odd files."""
    sent = Sent({"task": form["task"]}, folder)
    row = sent.row
    for key in _PLAIN:
        if (value := form[key]) not in (None, ""):
            row[key] = number(value, _NUMBERS[key]) if key in _NUMBERS else value
    row["texts"] = texts_of(form)
    if colors := [color.strip() for color in str(form["colors"] or "").split(",") if color.strip()]:
        row["colors"] = colors
    if form["logo"]:
        row["logo"] = _copied(form["logo"], sent)
    if form["task"] == TEXT:
        return sent
    row["images"] = [_copied(path, sent) for path in form["files"] or ()]
    if form["task"] == "extending":
        row["anchor"] = form["anchor"]
    if form["task"] == "filling":
        row.pop("size", None)  # it keeps the picture's
        if form["mask_file"]:
            row["mask"] = _copied(form["mask_file"], sent)
        elif row["images"] and (brushed := brushed_mask(form["mask"])) is not None:
            name = sent.free_name("brushed.png")
            brushed.resize(read_size(folder / row["images"][0])).save(folder / name)
            row["mask"] = name
    return sent


def brushed_mask(editor: Mapping[str, Any] | None) -> Image.Image | None:
    """What was painted in the mask editor, mode L, 255 where it was; None where nothing was."""
    mask: Image.Image | None = None
    for layer in (editor or {}).get("layers") or ():
        painted = layer.convert("RGBA").getchannel("A").point([0] + [255] * 255)
        if mask is None:
            mask = Image.new("L", painted.size)
        mask.paste(255, mask=painted.resize(mask.size))
    return mask if mask is not None and mask.getbbox() else None


def _copied(path: str, sent: Sent) -> str:
    name = sent.free_name(Path(path).name)
    shutil.copyfile(path, sent.folder / name)
    return name


def form_from(record: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What the form says of a poster's record, and notes on what has to be added by hand.

    Raises:
        ValueError: the record says too little, or is damaged.
    """
    if record.get("metadata") == "label":
        raise ValueError("the poster says only that posterkit made it (--metadata label), not from what")
    try:
        row, lettering = record["row"], record["row"].get("lettering") or {}
        form = START | {
            "task": row["task"] if row["task"] in TITLES else TEXT,
            "prompt": row["prompt"] or "",
            "size": f"{row['width']}x{row['height']}",
            "seed": (record.get("chosen") or row).get("seed"),
            "colors": ", ".join(lettering.get("colors") or ()),
            "qr": lettering.get("qr") or "",
        }
        form |= {key: row.get(key) for key in ("steps", "guidance")}
        form |= {key: lettering.get(key) or "" for key in ("style", "align", "layout")}
        form["negative_prompt"] = row.get("negative_prompt") or ""
        if isinstance(row.get("anchor"), str):
            form["anchor"] = row["anchor"]
        if sheet := row.get("sheet"):
            form |= {"bleed": str(sheet.get("bleed") or ""), "safe": str(sheet.get("safe") or "")}
        form |= fields_of_texts(record)
        needed = [str(image["path"] or "a picture") for image in row["images"]]
        needed += [str(row["mask"]["path"])] if row.get("mask") else []
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the poster's record is damaged ({error!r})") from None
    notes = [f"add {' and '.join(needed)} again: a poster's record names its pictures"] if needed else []
    if form["task"] in TASKS and not needed:
        notes = ["add its picture again: a poster's record names it"]
    return form, notes


def fields_of_texts(record: Mapping[str, Any]) -> dict[str, str]:
    """A poster's texts in the fields of their roles; what its prompt quotes stays there."""
    placed: Sequence[Mapping[str, Any]] = record.get("typeset") or [
        {"text": text, "role": TEXTS[min(number, 2)]} for number, text in enumerate(record["row"]["texts"])
    ]
    quoted = quoted_texts(record["row"]["prompt"] or "")
    fields: dict[str, list[str]] = {role: [] for role in TEXTS}
    for one in placed:
        if one["text"] not in quoted:
            fields[one["role"] if one["role"] in fields else "body"].append(one["text"])
    return {role: _MANY.join(texts) for role, texts in fields.items()}
