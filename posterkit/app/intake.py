"""From a row that a client sends, with its uploads, to plans: the row is read as a manifest's."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from posterkit.app.limits import Limits
from posterkit.app.service_errors import ServiceError
from posterkit.batch.manifest import parse_row
from posterkit.batch.rows import BadRow
from posterkit.generate.maker import PosterMaker
from posterkit.generate.poster_plan import PosterPlan
from posterkit.image_io import SUFFIXES, read_image
from posterkit.messages import caught_warnings, one_line
from posterkit.schema import PosterRequest
from posterkit.typeset.brand_kit import BrandKit
from posterkit.typeset.exporters import LAYERED, check_export
from posterkit.typeset.fonts import shipped_face

_TYPES = {
    "svg": "image/svg+xml", "pdf": "application/pdf", "psd": "image/vnd.adobe.photoshop",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}  # fmt: skip
# what a poster is given out as, and its media type
FORMATS = {
    "png": "image/png", **{ending[1:]: _TYPES.get(ending[1:], "application/octet-stream") for ending in LAYERED},
    "jpg": "image/jpeg", "webp": "image/webp",
}  # fmt: skip
_PICTURES = ("images", "mask", "draft", "logo")
UPLOADED = (*_PICTURES, "fonts", "plan")  # keys whose uploads count without being named
_NAME = re.compile(r"[^\W_][\w .()+,@-]{0,99}")
_DATA_URL = re.compile(r"data:(?:image/([\w.+-]+))?(?:;[\w=.-]+)*;base64,", re.ASCII)


@dataclass
class Sent:
    """What a client has sent: a row, and the names of its files in a folder."""

    row: dict[str, Any]
    folder: Path
    files: set[str] = field(default_factory=set)

    def free_name(self, name: str) -> str:
        """The name, or one like it that no file has yet; ServiceError where it is no plain one."""
        name = PurePosixPath(name.replace("\\", "/")).name
        if not _NAME.fullmatch(name):
            raise ServiceError(400, f"{one_line(name, 40)!r} is no plain file name", "invalid_request")
        stem, ending = os.path.splitext(name)
        number = 1
        while name in self.files:
            number += 1
            name = f"{stem}-{number}{ending}"
        self.files.add(name)
        return name


class Intake:
    """Turns rows into plans, within limits.

    Args:
        allowed: a folder whose files rows may name; without one they name uploads alone.
    """

    def __init__(self, maker: PosterMaker, limits: Limits, allowed: Path | None = None) -> None:
        self.maker, self.limits, self.allowed = maker, limits, allowed and allowed.resolve()

    def plans(self, sent: Sent, kit: BrandKit | None = None) -> tuple[list[PosterPlan], list[str]]:
        """The plans of a row, one for each of its `seeds`, and notes on it; reads every upload.

        Args:
            kit: the brand that the poster keeps to.

        Raises:
            ServiceError, ValueError: the row or a picture is wrong, or it asks for too much.
        """
        if sent.row.get("sizes") is not None:
            raise ServiceError(400, "sizes: a request has one size; send one request for each", "invalid_request")
        self._take_pictures(sent)
        row = {key: self._resolved(sent, key, value) for key, value in sent.row.items()}
        with caught_warnings() as notes:
            request = self._request(row, sent.folder)
            request = kit.applied(request) if kit else request
            count = row.get("seeds") or 1
            if count > self.limits.posters:
                raise ServiceError(400, f"{count} posters; the limit is {self.limits.posters}", "invalid_request")
            seed = int.from_bytes(os.urandom(4), "big") % 2**31 if request.seed is None else request.seed
            requests = [replace(request, seed=seed + number) for number in range(count)]
            plans = [self.maker.plan(one) for one in requests]
        self.limits.check(plans[0].request)
        self.limits.check_steps(sum((plan.request.steps or 0) * plan.best_of for plan in plans))
        return plans, [note.replace(f"{sent.folder}/", "") for note in dict.fromkeys(notes)]

    def picture(self, sent: Sent) -> Path:
        """The file of a row's only image; ServiceError or ValueError as `plans`."""
        self._take_pictures(sent)
        (name,) = self._resolved(sent, "images", sent.row["images"])
        return sent.folder / name

    def _request(self, row: Mapping[str, Any], folder: Path) -> PosterRequest:
        request = parse_row(dict(row), "request", folder, PosterRequest(task=""))
        if isinstance(request, BadRow):
            raise ServiceError(400, request.why.replace(f"{folder}/", ""), "invalid_request")
        self.limits.check(request)
        return request

    def _take_pictures(self, sent: Sent) -> None:
        """Write base64 pictures as files, and read each uploaded one whole, so that damage is found at once."""
        for key in _PICTURES:
            value = sent.row.get(key)
            if isinstance(value, list):
                sent.row[key] = [_unpacked(sent, key, one) for one in value]
            elif value is not None:
                sent.row[key] = _unpacked(sent, key, value)
            for name in _strings(sent.row.get(key)):
                if name in sent.files:
                    with caught_warnings():  # they come again when the poster is made
                        read_image(sent.folder / name, name=name, max_pixels=self.limits.pixels)

    def _resolved(self, sent: Sent, key: str, value: Any) -> Any:
        """A row's value with its files checked; what is of another kind is left for the row's own check."""
        if key == "lora" and isinstance(value, str) and not self.allowed:
            raise ServiceError(400, "lora: requests bring none; the server may have one (--lora)", "file_refused")
        if key == "planner" and isinstance(value, str) and ":" in value:
            raise ServiceError(400, f"planner: {one_line(value, 40)} would reach a model of yours", "file_refused")
        if key not in (*UPLOADED, "lora") or (key == "draft" and value in ("auto", "none")):
            return value
        if isinstance(value, list):
            return [self._file(sent, key, one) if isinstance(one, str) else one for one in value]
        return self._file(sent, key, value) if isinstance(value, str) else value

    def _file(self, sent: Sent, key: str, name: str) -> str:
        if name in sent.files or (key == "fonts" and shipped_face(name)):
            return name
        shown = one_line(name, 60)
        if re.match(r"\w+://", name):
            raise ServiceError(400, f"{key}: {shown}: nothing is fetched from elsewhere; upload it", "file_refused")
        if self.allowed is None:
            raise ServiceError(400, f"{key}: {shown} is no upload of this request", "file_refused")
        path, _, weight = name.partition("=") if key == "lora" else (name, "", "")
        try:
            found = (self.allowed / path).resolve()
            inside = found.is_relative_to(self.allowed) and found.exists()
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside:
            raise ServiceError(400, f"{key}: {shown} is no upload and no file that may be read", "file_refused")
        return f"{found}={weight}" if weight else str(found)


def wanted_formats(values: Sequence[str], default: str = "png") -> tuple[str, ...]:
    """The endings of the files that are written of a poster; ServiceError for an unknown one."""
    endings = tuple(dict.fromkeys(value.lower().lstrip(".").replace("jpeg", "jpg") for value in values)) or (default,)
    for ending in endings:
        if ending not in FORMATS:
            known = ", ".join(FORMATS)
            raise ServiceError(400, f"format {one_line(ending, 20)!r} is unknown; use {known}", "invalid_request")
        check_export(f"poster.{ending}")
    return endings


def _unpacked(sent: Sent, key: str, value: Any) -> Any:
    """A file's name in place of a `data:` URL; other values as they are."""
    if isinstance(value, dict) and isinstance(value.get("image_url"), str):  # as OpenAI's JSON edits have it
        value = value["image_url"]
    if not isinstance(value, str) or (match := _DATA_URL.match(value)) is None:
        return value
    try:
        content = base64.b64decode(value[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise ServiceError(400, f"{key}: damaged base64", "invalid_request") from None
    ending = f".{match[1] or 'png'}".lower()
    name = sent.free_name(f"{key.removesuffix('s')}-1{ending if ending in SUFFIXES else '.png'}")
    (sent.folder / name).write_bytes(content)
    return name


def _strings(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
