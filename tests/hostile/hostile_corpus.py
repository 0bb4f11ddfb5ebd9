"""Builds files that others might send to do harm: python tests/hostile/hostile_corpus.py FOLDER

Each kind is a folder of inputs, each input a file or a folder of its own. Everything is made here, from a seed.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hostile_models import folders, loras, weights
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo
from poster_records import RECORD

Content = bytes | str | Callable[[Path], None]
Cases = Iterator[tuple[str, Content]]


class Payload:
    """Unpickling it writes a file, which the tests look for."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def build(folder: Path, kinds: Collection[str] = ()) -> dict[str, int]:
    """Write the corpus, or some kinds of it; returns how many inputs there are of each kind."""
    counts = {}
    for kind in kinds or KINDS:
        for number, (name, content) in enumerate(KINDS[kind]()):
            path = folder / kind / f"{number:03d}-{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
            counts[kind] = number + 1
    return counts


def grain(width: int = 48, height: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes], bits: int = 8, color: int = 2) -> bytes:
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (header, *chunks, (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def tiff(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    fields = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + struct.pack("<I", following)


def images() -> Cases:
    rng = random.Random(1)
    formats = [
        ("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif"), ("PPM", "ppm"),
        ("TGA", "tga"),
    ]  # fmt: skip
    formats += [(k, s) for k, s, f in (("WEBP", "webp", "webp"), ("AVIF", "avif", "avif"),
    ("JPEG2000", "jp2", "jpg_2000"))
                if features.check(f)]  # fmt: skip
    for kind, suffix in formats:
        whole = encoded(grain(), kind)
        for share in (0.1, 0.5, 0.9):
            yield f"cut-{share}.{suffix}", whole[: int(len(whole) * share)]
        for flip in range(4):
            changed = bytearray(whole)
            for _ in range(2 + 6 * flip):
                changed[rng.randrange(len(changed) if flip > 1 else min(64, len(changed)))] = rng.randrange(256)
            yield f"changed-{flip}.{suffix}", bytes(changed)
        yield f"long.{suffix}", whole + bytes(2**20)
    yield "bomb.png", png(65_500, 65_500, (b"IDAT", b""))
    yield "wide.png", png(2**31 - 1, 1, (b"IDAT", b""))
    yield "nothing.png", png(0, 0, (b"IDAT", b""))
    yield "text.png", png(9, 9, (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**28), 9)), (b"IDAT", b""))
    yield "profile.png", png(9, 9, (b"iCCP", b"a\0\0" + zlib.compress(bytes(2**28), 9)), (b"IDAT", b""))
    yield "frames.png", png(9, 9, (b"acTL", struct.pack(">II", 2**31 - 1, 0)), (b"IDAT", zlib.compress(bytes(252))))
    yield "icc.jpg", encoded(grain(), "JPEG", icc_profile=b"\xff" * 4096)
    yield "exif.jpg", encoded(grain(), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 400)
    yield "size.jpg", encoded(grain(), "JPEG").replace(struct.pack(">HH", 32, 48), b"\xff\xff\xff\xff")
    flat = encoded(Image.new("P", (8, 8)), "GIF")
    body = flat.index(b",")
    yield "frames.gif", flat[:-1] + flat[body:-1] * 150_000 + b";"
    yield "bomb.gif", flat[:6] + b"\xff\xff\xff\xff" + flat[10:]
    for name, width, height in (("bomb", 2**31 - 1, 2**31 - 1), ("upward", 64, -(2**31)), ("none", 0, 64)):
        yield (
            f"{name}.bmp",
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0),
        )
    yield (
        "runs.bmp",
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, 9999, 9999, 1, 8, 1, 0, 0, 0, 0, 0)
        + b"\0\2\0\0" * 99,
    )
    for name, head in (("bomb", "P6 999999999 999999999 255\n"), ("none", "P6 4 4 0\n"),
    ("words", "P3 4 4 255\n" + "9" * 10**6),
                       ("minus", "P6 -4 -4 255\n"), ("comment", "P6 #" + "x" * 10**6)):  # fmt: skip
        yield f"{name}.ppm", head
    yield "tiles.tif", tiff(*((t, 4, 1, v) for t, v in (
        (256, 64), (257, 64), (258, 8), (259, 8), (262, 1), (277, 1), (322, 2**31 - 16), (323, 2**31 - 16), (324, 8),
        (325, 9),
    )))  # fmt: skip
    yield (
        "strips.tif",
        tiff((256, 4, 1, 64), (257, 4, 1, 2**31), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 2**31, 8)),
    )
    yield (
        "loop.tif",
        tiff((256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), following=8),
    )
    yield (
        "samples.tif",
        tiff((256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (262, 3, 1, 2), (277, 3, 1, 65535), (273, 4, 1, 8)),
    )
    yield "count.tif", tiff(*((256 + n, 12, 2**32 - 1, 2**32 - 1) for n in range(200)))
    yield "size.webp", b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + b"\xff\xff\xff" * 2
    yield (
        "size.jp2",
        b"\xff\x4f\xff\x51"
        + struct.pack(">HHIIIIIIIIH", 47, 0, 2**31, 2**31, 0, 0, 2**31, 2**31, 0, 0, 3)
        + b"\7\1\1" * 3,
    )
    postscript = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    postscript += "(executed) (w) file dup (x) writestring closefile\nshowpage\n"
    for name in ("program.eps", "program.png", "program.jpg"):
        yield name, postscript
    for name, content in (
        ("empty.png", b""), ("page.png", b"<html><script>alert(1)</script>"), ("archive.png", b"PK\3\4" + bytes(99)),
        ("program.tif", b"\x7fELF" + bytes(99)), ("document.jpg", b"%PDF-1.7\n1 0 obj<</S/JavaScript>>"),
        ("pickle.png", pickle.dumps(Payload())), ("layers.png", b"8BPS\0\1" + bytes(99)),
        ("icon.png", b"\0\0\1\0" + bytes(99)),
        ("bits.png", b"#define a_width 99999\n#define a_height 99999\nstatic char a_bits[] = {"),
        ("vector.png", b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'),
        ("photo.heic", b"\0\0\0\x18ftypheic" + bytes(99)),
        ("flash.fli", struct.pack("<IHHHHHH", 99, 0xAF12, 9, 65535, 65535, 8, 3)),
    ):  # fmt: skip
        yield name, content
    yield "name-\x1b[2J.png", b"no picture"
    yield "link.png", lambda path: path.symlink_to("/etc/passwd")
    yield "endless.png", lambda path: path.symlink_to("/dev/zero")
    yield "circle.png", lambda path: path.symlink_to(path)
    yield "folder.png", lambda path: path.mkdir()
    yield "pipe.png", lambda path: os.mkfifo(path)
    yield "sparse.png", sparse


def large() -> Cases:
    """Pictures within the limit on pixels that take seconds and hundreds of megabytes, or would take minutes."""
    yield "zeros.png", png(10_000, 10_000, (b"IDAT", zlib.compress(bytes(30_010_000 * 10), 1)))
    yield "deep.png", png(8000, 8000, (b"IDAT", zlib.compress(bytes(16_001 * 8000), 1)), bits=16, color=0)
    yield "glass.png", png(8000, 8000, (b"IDAT", zlib.compress(bytes(32_001 * 8000), 1)), color=6)
    scans = encoded(Image.new("L", (4096, 4096), 90), "JPEG", progressive=True)
    last, end = scans.rindex(b"\xff\xda"), scans.rindex(b"\xff\xd9")
    yield "scans.jpg", scans[:end] + scans[last:end] * 60_000 + scans[end:]


def sparse(path: Path) -> None:
    path.write_bytes(encoded(grain()))
    os.truncate(path, 2**40)


def a_row(number: int = 0, **changed: Any) -> dict[str, Any]:
    row = {
        "id": f"p{number}",
        "task": "text",
        "target": "p.png",
        "caption": "a",
        "references": [],
        "regions": [],
        "texts": [],
    }
    return row | changed


def a_set(*lines: bytes | str | dict[str, Any], files: dict[str, bytes] | None = None) -> Callable[[Path], None]:
    """A set whose index has these lines, and a good one behind them."""

    def write(folder: Path) -> None:
        folder.mkdir()
        for name, content in {"p.png": encoded(grain()), **(files or {})}.items():
            (folder / name).write_bytes(content)
        texts = [json.dumps(line) if isinstance(line, dict) else line for line in (*lines, a_row(99))]
        (folder / "samples.jsonl").write_bytes(b"\n".join(t.encode() if isinstance(t, str) else t for t in texts))

    return write


def sets() -> Cases:
    for name, line in DOCUMENTS:
        yield name, a_set(line)
    for key, value in (
        ("target", "/etc/passwd"), ("target", "../../../../etc/passwd"), ("target", 3), ("target", None),
        ("target", ["p.png"]),
        ("target", "\0"), ("target", "a" * 5000), ("target", "."), ("references", "p.png"), ("references", [1, {}]),
        ("mask", []),
        ("regions", [{"box": "all"}]), ("regions", {"a": 1}), ("texts", [None]),
        ("texts", [{"text": 1, "box": [1e9] * 4}]),
        ("id", "../../escape"), ("id", {"a": []}), ("id", "\x1b[2J"), ("task", []), ("caption", "x" * 10**6),
        ("split", {}),
        ("palette", [1]), ("judged", 7), ("shows", "x"), ("shard", "../a.tar"), ("shard", 7),
        ("placed", [0, 0, -1, 10**40]),
    ):  # fmt: skip
        yield f"{key}-{type(value).__name__}", a_set(a_row(**{key: value}))
    yield (
        "program",
        a_set(a_row(target="x.png"), files={"x.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage"}),
    )
    yield "bomb", a_set(a_row(target="x.png"), files={"x.png": png(65_500, 65_500, (b"IDAT", b""))})
    yield "thumbnail", a_set(files={"dropped.jsonl": b'{"reason": "a", "id": 1, "thumbnail": "/etc/passwd"}'})
    yield "funnel", a_set(files={"funnel.json": b'{"a": {"in": [], "dropped": 7}}'})
    yield "deep-funnel", a_set(files={"funnel.json": b"[" * 200_000})


def shards() -> Cases:
    def holding(content: bytes) -> Callable[[Path], None]:
        return a_set(a_row(shard="a.tar"), files={"a.tar": content})

    def member(**changed: Any) -> tarfile.TarInfo:
        info = tarfile.TarInfo("p.png")
        for key, value in changed.items():
            setattr(info, key, value)
        return info

    good = encoded(grain())
    whole = member(size=len(good)).tobuf() + good.ljust(-(-len(good) // 512) * 512, b"\0") + bytes(1024)
    yield "good", holding(whole)
    for share in (0.05, 0.5, 0.9):
        yield f"cut-{share}", holding(whole[: int(len(whole) * share)])
    for size in (2**33, 2**40, 2**62, 2**80):
        yield f"size-{size}", holding(member(size=size).tobuf() + good)
    for size in (-1, -512, -(2**40)):
        header = bytearray(member(size=0).tobuf())
        header[124:136] = size.to_bytes(12, "big", signed=True)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        yield f"size{size}", holding(bytes(header) + good)
    for kind in (b"L", b"K", b"x", b"g", b"S", b"V", b"1", b"2", b"3", b"6"):
        yield f"kind-{kind.decode()}", holding(member(type=kind, size=2**35, linkname="/etc/passwd").tobuf() + good)
        yield f"chain-{kind.decode()}", holding((member(type=kind, size=512).tobuf() + b"1" * 512) * 3000)
    for name, content in (
        ("gzip", b"\x1f\x8b" + bytes(600)),
        ("words", b"no tar" * 200),
        ("empty", b""),
        ("zeros", bytes(10_240)),
    ):
        yield name, holding(content)
    rng = random.Random(2)
    for number in range(6):
        changed = bytearray(whole)
        for _ in range(8):
            changed[rng.randrange(512)] = rng.randrange(256)
        yield f"changed-{number}", holding(bytes(changed))


# one line each, of an index or a manifest
DOCUMENTS: tuple[tuple[str, bytes], ...] = (
    ("deep", b"[" * 200_000), ("deep-keys", b'{"a":' * 200_000), ("closed", b"[" * 9000 + b"]" * 9000),
    ("digits", b"1" * 6000), ("digits-in", b'{"seed": ' + b"9" * 5000 + b"}"), ("nan", b'{"steps": NaN}'),
    ("infinite", b'{"guidance": -Infinity}'), ("power", b'{"guidance": 1e999999}'),
    ("latin", b'{"prompt": "K\xe4se"}'),
    ("wide", '{"prompt": "a"}'.encode("utf-16")), ("surrogate", b'{"prompt": "\\ud800"}'),
    ("zero", b'{"prompt": "\\u0000"}'),
    ("bytes", bytes(range(1, 10)) * 50), ("list", b"[1, 2]"), ("word", b"yes"), ("null", b"null"),
    ("twice", b'{"id": 1, "id": 2}'),
    ("long", b'{"prompt": "' + b"x" * (17 * 2**20) + b'"}'),
    ("keys", b"{" + b",".join(b'"k%d": 0' % n for n in range(50_000)) + b"}"),
    ("half", b'{"prompt": "a'), ("comma", b'{"prompt": "a",}'), ("slashes", b'"' + b"\\" * 99_999),
    ("html", b"<html>"),
)  # fmt: skip


def manifests() -> Cases:
    def lines(line: bytes | dict[str, Any]) -> bytes:
        return (line if isinstance(line, bytes) else json.dumps(line).encode()) + b'\n{"prompt": "a good row"}\n'

    for name, line in DOCUMENTS:
        yield f"{name}.jsonl", lines(line)
    for key, value in (
        ("steps", 10**9), ("steps", "1000"), ("steps", [1]), ("steps", {}), ("steps", True), ("seed", -1),
        ("seed", 2**64),
        ("width", 10**9), ("height", 0), ("guidance", "much"), ("guidance", 10**30), ("texts", "x"), ("texts", [1]),
        ("texts", [""]),
        ("images", ["/dev/zero"]), ("images", ["\0"]), ("images", ["."]), ("images", ["x" * 9000]), ("images", 5),
        ("mask", "/dev/zero"),
        ("out", "../x.png"), ("out", "/tmp/x.png"), ("out", "x.svg"), ("out", "C:\\x.png"), ("out", "a\0.png"),
        ("task", "\x1b[2J"),
        ("task", 4), ("prompt", {}), ("prompt", "x\x1b]0;y\x07"), ("anchor", [1]), ("anchor", "{}"),
        ("best_of", 10**9), ("strength", -1),
        ("draft", "/dev/zero"), ("draft", []), ("lora", 7), ("__class__", "x"), ("constructor", {}),
        ("negative_prompt", []),
    ):  # fmt: skip
        yield f"{key}-{type(value).__name__}.jsonl", lines({"prompt": "a", key: value})


def a_poster(**changed: Any) -> bytes:
    record = {"format": 1, **json.loads(json.dumps(RECORD))}
    for path, value in changed.items():
        *parents, leaf = path.split("__")
        inner = record
        for parent in parents:
            inner = inner[parent]
        inner[leaf] = value
    return with_record(json.dumps(record))


def with_record(text: str) -> bytes:
    info = PngInfo()
    info.add_itxt("posterkit", text, zip=len(text) > 10**5)
    return encoded(Image.new("RGB", (8, 8)), pnginfo=info)


def records() -> Cases:
    for name, line in DOCUMENTS:
        if name not in ("long", "bytes"):
            yield f"{name}.png", with_record(line.decode("utf-8", "replace"))
    for key, value in (
        ("row__steps", 10**9), ("row__steps", "1000"), ("row__steps", [1]), ("row__steps", {}),
        ("row__guidance", "x"), ("row__seed", []),
        ("row__width", 10**9), ("row__height", -1), ("row__texts", 3), ("row__texts", [3]), ("row__prompt", None),
        ("row__prompt", []),
        ("row__prompt", "a \x1b[2J\x9b31m\u202e"), ("row__images", [{"path": "/dev/zero", "sha256": "x"}]),
        ("row__images", [1]),
        ("row__images", [{"path": "/proc/kcore", "sha256": "x"}]), ("row__mask", {"path": None}), ("row__mask", 5),
        ("row__draft", {}),
        ("row__draft", 7), ("row__anchor", {"a": 1}), ("row__lora", "nobody/nothing"), ("row__feedback", 7),
        ("row__expanded", []),
        ("row__strength", "x"), ("row__task", "paint"), ("row__task", 9), ("row__native", "no"),
        ("model__name", "nobody/nothing"),
        ("model__name", "../../../etc"), ("model__name", 7), ("model__transformer", "nobody/nothing"),
        ("model__lora", "nobody/nothing"),
        ("model", []), ("settings", None), ("settings__device", "rm -rf"), ("settings__preset", {}), ("chosen", {}),
        ("chosen", {"seed": "x"}),
        ("refined", 7), ("refined", {"rounds": [{}]}), ("format", 9), ("format", None), ("row", None),
        ("versions", 7), ("source_depth", "x"),
    ):  # fmt: skip
        yield f"{key}-{type(value).__name__}.png", a_poster(**{key: value})


YAMLS = (
    ("aliases", "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}]\n"
                                          for p, n in zip("abcdefgh", "bcdefghi", strict=True))),
    ("tag", "weights: !!python/object/apply:os.system ['touch executed']"),
    ("new", "a: !!python/object/new:os.system [touch executed]"),
    ("deep", "[" * 5000), ("deep-maps", "\n".join(" " * n + "a:" for n in range(2000))), ("list", "[1, 2]"),
    ("word", "yes"),
    ("number", "weights: " + "9" * 10_000), ("nan", "weights: {text: {text: .nan}}"),
    ("infinite", "weights: {text: {text: .inf}}"),
    ("merge", "<<: {a: 1}\nweights: {}"), ("unknown", "wieghts: {}"), ("minus", "weights: {text: {text: -1}}"),
    ("half", "a: ["),
    ("zero", "\0"), ("words", "weights: text"), ("part", "weights: {text: {nothing: 1}}"),
    ("gates", "weights: {}\ngates: 7"),
    ("spaces", " " * 10**6 + "a: b"), ("date", "weights: 2020-01-01"), ("keys", "? [1]\n: 2"),
    ("many", "---\na: 1\n---\nb: 2"),
)  # fmt: skip


def rewards() -> Cases:
    for name, text in YAMLS:
        yield f"{name}.yaml", text
    yield "latin.yaml", b"weights: {K\xe4se: 1}"
    for name, content in (
        ("list", "[]"),
        ("deep", "[" * 10**5),
        ("labels", '{"num_labels": 1, "id2label": 7}'),
        ("none", "{}"),
    ):

        def folder(path: Path, content: str = content) -> None:
            path.mkdir()
            (path / "config.json").write_text(content)

        yield name, folder


def configs() -> Cases:
    for name, text in YAMLS:
        yield f"{name}.yaml", text
    for key, value in (("max_steps", "x"), ("max_steps", "-1"), ("learning_rate", ".nan"), ("learning_rate", ".inf"),
    ("betas", "7"),
                       ("run_dir", "[]"), ("seed", "1e99"), ("clip", "{}"), ("skip", "[[]]"),
                       ("optimizer", "rm")):  # fmt: skip
        yield f"{key}-{value.strip('.[]{}')}.yaml", f"{key}: {value}"


def fonts() -> Cases:
    shipped = sorted((Path(__file__).parents[2] / "posterkit" / "typeset" / "fonts").rglob("*.ttf"))[0].read_bytes()
    rng = random.Random(3)
    yield "empty.ttf", b""
    yield "words.ttf", b"no font"
    for share in (0.01, 0.3, 0.9):
        yield f"cut-{share}.ttf", shipped[: int(len(shipped) * share)]
    for number in range(6):
        changed = bytearray(shipped)
        for _ in range(20):
            changed[rng.randrange(600 if number < 3 else len(changed))] = rng.randrange(256)
        yield f"changed-{number}.ttf", bytes(changed)
    yield "endless.ttf", lambda path: path.symlink_to("/dev/zero")
    yield "folder.ttf", lambda path: path.mkdir()


def sidecars() -> Cases:
    def beside(*files: tuple[str, bytes | Path]) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            folder.mkdir()
            (folder / "a.png").write_bytes(encoded(grain()))
            for name, content in files:
                if isinstance(content, Path):
                    (folder / name).symlink_to(content)
                else:
                    (folder / name).write_bytes(content)

        return write

    yield "good", beside(("a.txt", b"a lake"))
    yield "link", beside(("a.txt", Path("/etc/passwd")))
    yield "up", beside(("a.txt", Path("../../outside.txt")))
    yield "endless", beside(("a.txt", Path("/dev/zero")))
    yield "circle", beside(("a.txt", Path("a.txt")))
    yield "long", beside(("a.txt", b"x" * 10**7))
    yield "latin", beside(("a.txt", b"K\xe4se"))
    yield "zeros", beside(("a.txt", bytes(1000)))
    yield "controls", beside(("a.txt", b"a \x1b[2J lake"))
    yield "wide", beside(("a.txt", "a lake".encode("utf-16")))
    yield "mask", beside(("a.mask.png", png(65_500, 65_500, (b"IDAT", b""))))
    yield "mask-link", beside(("a.mask.png", Path("/dev/zero")))
    yield "stray", beside(("notes.txt", b"x"), ("thumbs.db", b"x"), (".hidden", b"x"))


def servers() -> Cases:
    """What a server sends: `head` once, then `piece` so many times with pauses; seconds."""
    ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    for name, head, piece, times, pause in (
        ("endless", ok + "\r\n", "x" * 65536, 10**6, 0), ("slow", ok + "\r\n{", " ", 1000, 0.05),
        ("slow-head", "HTTP/1.1 200 OK\r\nX: ", "x", 1000, 0.05), ("long-head", "HTTP/1.1 200 OK\r\nX: ",
        "x" * 65536, 10**4, 0),
        ("many-heads", "HTTP/1.1 200 OK\r\n", "X: y\r\n", 10**6, 0), ("words", "no HTTP at all\r\n\r\n", "", 0, 0),
        ("nothing", "", "", 0, 0), ("silent", "", " ", 1, 9),
        ("length", ok + "Content-Length: 99999999999\r\n\r\n{}", "", 0, 0),
        ("minus", ok + "Content-Length: -1\r\n\r\n{}", "", 0, 0),
        ("chunk", ok + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n", "x", 9, 0),
        ("bomb", ok + "Content-Encoding: gzip\r\n\r\n", zipped(), 1, 0), ("deep", ok + "\r\n" + "[" * 200_000,
        "", 0, 0),
        ("number", ok + "\r\n" + "9" * 6000, "", 0, 0), ("latin", ok + "\r\n\xff\xfe", "", 0, 0),
        ("elsewhere", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "", 0, 0),
        ("later", "HTTP/1.1 429 Later\r\nRetry-After: 99999999\r\n\r\n", "", 0, 0),
        ("refused", "HTTP/1.1 400 No\r\n\r\n\x1b[2J\x1b]0;x\x07", "", 0, 0), ("continue",
        "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n", 10**5, 0),
        ("value", ok + '\r\n{"results": [{"value": 1e9, "parts": {}, "why": ""}]}', "", 0, 0),
        ("parts", ok + '\r\n{"results": [{"value": 1, "parts": {"a": "x"}, "why": {}}]}', "", 0, 0),
        ("choices", ok + '\r\n{"choices": [{"message": {"content": [[]]}}]}', "", 0, 0),
        ("choices-none", ok + '\r\n{"choices": []}', "", 0, 0),
        ("good", ok + '\r\n{"choices": [{"message": {"content": "a"}}]}', "", 0, 0),
    ):  # fmt: skip
        yield f"{name}.json", json.dumps({"head": head, "piece": piece, "times": times, "pause": pause})


def zipped() -> str:
    return (b"\x1f\x8b\x08\0\0\0\0\0\0\3" + zlib.compress(bytes(2**26), 9)[2:]).decode("latin-1")


KINDS: dict[str, Callable[[], Cases]] = {
    "images": images, "large": large, "sets": sets, "shards": shards, "manifests": manifests, "records": records,
    "rewards": rewards,
    "configs": configs, "fonts": fonts, "sidecars": sidecars, "servers": servers, "loras": loras, "weights": weights,
    "folders": folders,
}  # fmt: skip

if __name__ == "__main__":
    for kind, count in build(Path(sys.argv[1])).items():
        print(f"{kind:10} {count}")
