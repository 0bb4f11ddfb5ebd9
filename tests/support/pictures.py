"""Pictures that tests work on."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def grain(width: int, height: int, seed: int = 0) -> np.ndarray:
    """`(height, width, 3)`, uint8."""
    ramp = np.linspace(60, 190, width)[None, :, None] + np.linspace(-30, 30, height)[:, None, None]
    noise = np.random.default_rng(seed).normal(0, 8, (height, width, 3))
    return (ramp + noise).clip(0, 255).astype(np.uint8)


def bomb() -> bytes:
    """A PNG that says it has 50000x50000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"")


def mixed_folder(folder: Path) -> tuple[set[str], dict[str, str]]:
    """A folder as people have them: names of the pictures that can be read, and what is wrong with each other one."""
    folder.mkdir(parents=True)
    picture = Image.fromarray(grain(320, 480))
    picture.save(folder / "plain.png")
    picture.convert("CMYK").save(folder / "print.jpg", quality=95)
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    picture.save(folder / "moving.gif", save_all=True, append_images=[picture.rotate(90)], duration=100)
    picture.save(folder / "named_wrongly.png", "JPEG", quality=95)
    see_through = picture.convert("RGBA")
    see_through.putalpha(128)
    see_through.save(folder / "see_through.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=turned, quality=95)
    good = {path.name for path in folder.iterdir()}
    whole = (folder / "plain.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "words.jpg").write_bytes(b"these are words, not a picture\n")
    (folder / "notes.txt").write_text("not a picture, and not called one")
    return good, {
        "cut.png": "damaged",
        "empty.png": "empty",
        "bomb.png": "megapixels",
        "words.jpg": "not an image",
    }
