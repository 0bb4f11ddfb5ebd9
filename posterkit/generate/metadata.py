"""Reading what a poster file says about itself, and the hashes that name it."""

# pyright: standard
from __future__ import annotations

import base64
import hashlib
import json
import mmap
import os
import re
from pathlib import Path
from typing import Any
from xml.sax.saxutils import unescape

from PIL import Image

from posterkit.documents import read_json
from posterkit.image_io import open_image, read_image
from posterkit.pipelines.revision import each_source, path_and_weight
from posterkit.typeset.exporters import LAYERED
from posterkit.typeset.xmp import CHUNK

FORMAT = 1
_OURS = re.compile(rb"(iTXtposterkit\0|tEXtSoftware\0posterkit)")
_MANIFEST = b"caBX"  # the chunk of a PNG that content credentials (C2PA) stand in
_IN_SVG = re.compile(rb'<metadata id="posterkit">(.*?)</metadata>', re.DOTALL)
_IN_XMP = re.compile(rb"<posterkit:record>(.*?)</posterkit:record>", re.DOTALL)
_PREVIEW = re.compile(rb'<(?:metadata id="|posterkit:)preview"?>([^<]*)<')
_ENDS = {".svg": b"</svg>", ".pdf": b"%%EOF", ".pptx": b"PK\5\6"}
_MOST = 2**30  # bytes of an SVG, PDF or PSD poster
_HEAD = 2**16  # bytes; what we write of ourselves stands before the pixels
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SMALLEST = 67  # bytes of a PNG of one pixel


def is_foreign(path: str | Path) -> bool:
    """Whether something lies there that posterkit did not make; what was cut off before its mark holds no picture."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return False
    except OSError:  # a folder, or a file that we may not read
        return True
    if Path(path).suffix.lower() in LAYERED and head:
        return _layered_record(Path(path)) is None
    if _MANIFEST in head:  # content credentials stand before what we write of ourselves, and can be long
        return _found_in(Path(path), _OURS) is None
    cut_off = len(head) < _SMALLEST and _SIGNATURE.startswith(head[: len(_SIGNATURE)])
    return not (cut_off or _OURS.search(head))


def read_record(path: str | Path) -> dict[str, Any]:
    """The record of a poster.

    Raises:
        ValueError: no such file, not a PNG, too large, no posterkit record in it, or one of a later format.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    if path.suffix.lower() in LAYERED:
        text = _layered_record(path)
    elif not _begins_as_png(path):
        raise ValueError(f"{path}: not a PNG; PNG, SVG, PDF, PSD and PPTX posters carry their record")
    else:
        with open_image(path, formats=("PNG",)) as image:
            text = getattr(image, "text", {}).get(CHUNK)
    if text is None:
        raise ValueError(f"{path}: carries no posterkit record (made by something else, or a program removed it)")
    try:
        record = read_json(text)
    except ValueError:
        raise ValueError(f"{path}: its posterkit record is damaged") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"{path}: its record has format {found}, this posterkit reads format {FORMAT}")
    return record


def record_id(path: str | Path) -> str | None:
    """The row id that a finished poster carries; None where there is no such file or it is not a finished poster."""
    try:
        record = read_record(path)
        # a poster cut off by a full disk has its record but not its pixels
        if end := _ENDS.get(Path(path).suffix.lower()):
            with open(path, "rb") as file:
                file.seek(-min(64, os.path.getsize(path)), os.SEEK_END)
                return record.get("id") if end in file.read() else None
        with open_image(path, formats=("PNG", "PSD"), max_bytes=_MOST) as image:
            image.load()
    except (ValueError, OSError, SyntaxError):
        return None
    return record.get("id")


def _begins_as_png(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False


def _layered_record(path: Path) -> str | None:
    """The record in an SVG, PDF or PSD as it stands there; None where there is none."""
    found = _found_in(path, _IN_SVG if path.suffix.lower() == ".svg" else _IN_XMP)
    return None if found is None else unescape(found.decode("utf-8", "replace"))


def _found_in(path: Path, pattern: re.Pattern[bytes]) -> bytes | None:
    """The first group of what a file has of a pattern."""
    if not 0 < path.stat().st_size <= _MOST:
        return None
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        match = pattern.search(content)
        return None if match is None else match[1]


def read_poster(path: Path) -> Image.Image:
    """A poster's picture, mode RGB; of an SVG, PDF or PSD the small one that it carries.

    Raises:
        ValueError: it cannot be read, or carries none.
    """
    if path.suffix.lower() not in LAYERED:
        return read_image(path)
    try:
        found = _found_in(path, _PREVIEW)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if found is None:
        raise ValueError(f"{path}: carries no picture that can be shown")
    return read_image(base64.b64decode(found), name=str(path))


def source_depth(path: str | Path) -> int:
    """How many times posterkit has redrawn this image already: 0 for a photograph."""
    try:
        return int(read_record(path).get("source_depth", 0))
    except (ValueError, TypeError):
        return 0


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; ValueError where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def picture_hash(image: Image.Image) -> str:
    """SHA-256 of a picture's mode, size and pixels, hexadecimal."""
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).hexdigest()


def from_anywhere(source: str | None) -> str | None:
    """A model, transformer or LoRA by a name that holds in every folder; a hub id stays as it is."""
    if source is None:
        return None
    if len(several := each_source(source)) > 1:
        return "; ".join(str(from_anywhere(one)) for one in several)
    path, weight = path_and_weight(source)
    return os.path.abspath(path) + weight if Path(path).exists() else source


def content_id(row: dict[str, Any], revision: str, version: str) -> str:
    """Row id: a hash of the resolved row, the model's revision and posterkit's version, 16 hexadecimal digits.

    Paths do not count, what lies in the files does: a moved folder stays done.
    """
    plain = json.dumps(_without_paths(row), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(f"{plain}\n{revision}\n{version}".encode()).hexdigest()[:16]


def _without_paths(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items() if key != "path"}
    if isinstance(value, (list, tuple)):
        return [_without_paths(item) for item in value]
    return value
