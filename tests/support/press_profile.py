"""An ICC profile of an imagined offset press: Neugebauer's equations over the solids of ISO 12647-2."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

PAPER = (95.0, 0.0, -2.0)
_SOLIDS = {  # CIELAB by which of cyan, magenta and yellow are printed; the last without any ink is the paper
    "": PAPER, "c": (55, -37, -50), "m": (48, 74, -3), "y": (89, -5, 93), "cm": (24, 22, -46), "cy": (50, -65, 27),
    "my": (47, 68, 48), "cmy": (23, 0, 0),
}  # fmt: skip
_BLACK = 0.021  # of a colour's light that is left under full black
_WHITE = np.array([0.9642, 1.0, 0.8249])  # D50
_GAIN = 0.72  # a dot prints as if its area were raised to this power


def write_press_profile(path: Path, name: str = "Test press, coated") -> Path:
    """Write the profile: class prtr, CMYK to Lab and back, all intents alike."""
    forward, backward = _to_lab(), _to_inks()
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + b"\0" + bytes(12 + 67)
    text = b"text\0\0\0\0No rights reserved\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in _xyz(np.array(PAPER, float))))
    parts = {b"desc": description, b"cprt": text, b"wtpt": white, b"A2B0": forward, b"B2A0": backward}
    shared = {b"A2B1": b"A2B0", b"A2B2": b"A2B0", b"B2A1": b"B2A0", b"B2A2": b"B2A0"}
    offset, table, body = 128 + 4 + 12 * (len(parts) + len(shared)), {}, b""
    for tag, data in parts.items():
        table[tag] = offset + len(body), len(data)
        body += data + bytes(-len(data) % 4)
    table |= {tag: table[like] for tag, like in shared.items()}
    tags = b"".join(tag + struct.pack(">II", *where) for tag, where in table.items())
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(4 + 4 + 4 + 4 + 8 + 4)
    head += struct.pack(">3i", *(round(65536 * value) for value in _WHITE)) + bytes(48)
    assert len(head) == 128
    path.write_bytes(head + struct.pack(">I", len(table)) + tags + body)
    return path


def _xyz(lab: np.ndarray) -> np.ndarray:
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    return _WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))


def _lab(xyz: np.ndarray) -> np.ndarray:
    ratio = np.maximum(xyz / _WHITE, 0)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def _printed(inks: np.ndarray) -> np.ndarray:
    """CIELAB relative to the paper of CMYK in [0, 1], `(..., 4)`."""
    area = np.clip(inks, 0, 1) ** _GAIN
    light = np.zeros((*inks.shape[:-1], 3))
    for printed, lab in _SOLIDS.items():
        share = np.prod([area[..., i] if ink in printed else 1 - area[..., i] for i, ink in enumerate("cmy")], axis=0)
        light += share[..., None] * np.sqrt(_xyz(np.array(lab, float)))  # Yule and Nielsen with n = 2
    light = light * (1 - area[..., 3:] * (1 - np.sqrt(_BLACK)))
    return _lab(light**2 / _xyz(np.array(PAPER, float)) * _WHITE)


def _coded(lab: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(np.stack([652.8 * lab[..., 0], 256 * (lab[..., 1] + 128), 256 * (lab[..., 2] + 128)], -1)),
                   0, 65535)  # fmt: skip


def _lut(inputs: int, outputs: int, grid: int, values: np.ndarray) -> bytes:
    straight = struct.pack(">2H", 0, 65535)
    unit = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    head = b"mft2\0\0\0\0" + bytes([inputs, outputs, grid, 0]) + unit + struct.pack(">2H", 2, 2)
    return head + inputs * straight + values.astype(">u2").tobytes() + outputs * straight


def _to_lab(grid: int = 9) -> bytes:
    steps = np.linspace(0, 1, grid)
    inks = np.stack(np.meshgrid(steps, steps, steps, steps, indexing="ij"), -1)
    return _lut(4, 3, grid, _coded(_printed(inks)))


def _to_inks(grid: int = 17) -> bytes:
    """By Gauss and Newton: black from the lightness, then the three colours that come nearest."""
    code = np.linspace(0, 65535, grid)
    lab = np.stack(np.meshgrid(code / 652.8, code / 256 - 128, code / 256 - 128, indexing="ij"), -1).reshape(-1, 3)
    black = np.clip(1 - lab[:, :1] / 55, 0, 1) ** 1.2
    inks = np.concatenate([np.full((len(lab), 3), 0.5), black], 1)
    for _ in range(40):
        off = lab - _printed(inks)
        slope = np.stack([(_printed(inks + 1e-3 * np.eye(4)[i]) - _printed(inks)) / 1e-3 for i in range(3)], -1)
        damped = np.swapaxes(slope, 1, 2) @ slope + 30 * np.eye(3)
        step = np.linalg.solve(damped, np.swapaxes(slope, 1, 2) @ off[..., None])[..., 0]
        inks[:, :3] = np.clip(inks[:, :3] + 0.7 * step, 0, 0.999)
    return _lut(3, 4, grid, np.rint(65535 * np.clip(inks, 0, 1)).reshape(-1, 4))
