"""Reads the predictions that PKU PosterLayout's published evaluation scores: `boxes` and `clses`, .pt or .npy."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from posterkit.layout.measures import LOGO, TEXT, UNDERLAY
from posterkit.layout.similarity import LabelledBoxes
from posterkit.messages import error_line

_LABELS = np.array(["", TEXT, LOGO, UNDERLAY])
_MOST_BYTES = 2**30


def read_predictions(folder: str | Path) -> list[LabelledBoxes]:
    """The layouts in a folder of `boxes.pt` and `clses.pt` (or .npy), in their order.

    Only numbers are read: of the files' pickles nothing but arrays and tensors is taken, everything else refused.

    Raises:
        ValueError: a file is missing, holds something else, or the two do not fit together.
    """
    boxes, classes = (_array(Path(folder), name) for name in ("boxes", "clses"))
    if boxes.ndim != 3 or boxes.shape[2] != 4 or not np.isfinite(boxes).all():
        raise ValueError(f"{folder}: boxes have the shape {boxes.shape}; (layouts, elements, 4) of numbers is read")
    if classes.reshape(-1).shape != (boxes.shape[0] * boxes.shape[1],):
        raise ValueError(f"{folder}: clses have the shape {classes.shape}; one class per box is read")
    classes = classes.reshape(boxes.shape[:2]).astype(int)
    if classes.min() < 0 or classes.max() >= len(_LABELS):
        raise ValueError(f"{folder}: clses hold {classes.min()} to {classes.max()}; 0 to 3 are known")
    return [
        LabelledBoxes(_LABELS[kinds[kinds > 0]], some[kinds > 0]) for kinds, some in zip(classes, boxes, strict=True)
    ]


def _array(folder: Path, name: str) -> np.ndarray:
    for path, read in ((folder / f"{name}.npy", _read_numpy), (folder / f"{name}.pt", _read_torch)):
        if path.is_file():
            if path.stat().st_size > _MOST_BYTES:
                raise ValueError(f"{path}: larger than {_MOST_BYTES} bytes")
            try:
                found = np.asarray(read(path))
            except Exception as error:  # whatever a foreign file provokes
                raise ValueError(
                    f"{path}: not an array alone ({error_line(error)}); save it with numpy.save, allow_pickle=False"
                ) from None
            if found.dtype.kind not in "fiu":
                raise ValueError(f"{path}: holds {found.dtype}, not numbers")
            return found
    raise ValueError(f"{folder}: has no {name}.pt and no {name}.npy")


def _read_numpy(path: Path) -> Any:
    return np.load(path, allow_pickle=False)  # noqa: TID251 - without pickles


def _read_torch(path: Path) -> Any:
    """A tensor or an array; the published files hold arrays of NumPy 1, pickled into PyTorch's format."""
    import _codecs

    import torch

    multiarray = importlib.import_module("numpy._core.multiarray")
    kinds = {
        type(np.dtype(name)) for name in ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64")
    }
    arrays = [
        (multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),
        (multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),
        np.ndarray, np.dtype, _codecs.encode, *kinds,
    ]  # fmt: skip
    with torch.serialization.safe_globals(arrays):
        return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - numbers alone, see above
