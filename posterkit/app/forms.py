"""Reads the body of a request: JSON, or a form of fields and uploads."""

# pyright: standard
from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from posterkit.app.intake import UPLOADED, Sent
from posterkit.app.service_errors import ServiceError
from posterkit.documents import read_json
from posterkit.messages import one_line

_LISTS = ("images", "texts", "fonts", "colors", "roles", "boxes", "formats")
_VALUES = (
    "width", "height", "seed", "seeds", "steps", "guidance", "best_of", "strength", "preserve", "regional", "boxes",
    "dpi", "n", "stream",
)  # fmt: skip
_MOST_FILES, _MOST_FIELDS, _MOST_FIELD = 16, 200, 2**20


async def read_sent(request: Request, folder: Path) -> Sent:
    """A body of JSON, or a form of fields and uploads, whose files are written into a folder.

    Raises:
        ServiceError: it is neither, damaged, or names a file in an odd way.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, folder)
    if kind not in ("application/json", "application/x-www-form-urlencoded", ""):
        raise ServiceError(415, f"{one_line(kind, 40)}: send application/json or multipart/form-data", "media_type")
    body = await request.body()
    try:
        row = read_json(body, "the body", most=max(len(body), 1))
    except ValueError as error:
        raise ServiceError(400, str(error), "invalid_json") from None
    if not isinstance(row, dict):
        raise ServiceError(400, f"the body is a JSON object, found {type(row).__name__}", "invalid_json")
    return Sent(row, folder)


async def _read_form(request: Request, folder: Path) -> Sent:
    sent = Sent({}, folder)
    try:
        form = await request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_MOST_FIELD)
    except MultiPartException as error:
        raise ServiceError(400, f"the form is damaged: {error.message}", "invalid_form") from None
    try:
        for key, value in form.multi_items():
            name = key.removesuffix("[]")
            name = "images" if name == "image" else name
            if isinstance(value, UploadFile):
                value = await _written(sent, value)
                if name not in UPLOADED:
                    continue
            elif name == "request":
                sent.row |= _json_object(value)
                continue
            elif name in _VALUES:
                value = _value(value)
            if name in _LISTS:
                sent.row.setdefault(name, []).append(value)
            else:
                sent.row[name] = value
    finally:
        await form.close()
    return sent


async def _written(sent: Sent, upload: UploadFile) -> str:
    name = sent.free_name(upload.filename or "")
    with (sent.folder / name).open("wb") as file:
        while piece := await upload.read(2**20):
            file.write(piece)
    return name


def _json_object(text: str) -> dict[str, Any]:
    try:
        row = read_json(text, "request")
    except ValueError as error:
        raise ServiceError(400, str(error), "invalid_json") from None
    if not isinstance(row, dict):
        raise ServiceError(400, "the field request is a JSON object", "invalid_json")
    return row


def _value(text: str) -> Any:
    """A number or true or false that a form has as text; what is none is left for the row's own check."""
    try:
        return read_json(text)
    except ValueError:
        return text
