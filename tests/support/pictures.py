"""Pictures that tests work on."""

from __future__ import annotations

import struct
import zlib

import numpy as np


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
