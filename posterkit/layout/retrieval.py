"""Finds exemplars for a request, in two passes: by what is asked for, then by likeness to a draft (LTSim).

The second pass compares with a draft that a planner has made, never with the layout that an evaluation knows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence
from zlib import crc32

import numpy as np
from PIL import Image

from posterkit.layout.exemplars import Exemplar
from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.measures import covered_cells
from posterkit.layout.saliency import saliency
from posterkit.layout.similarity import LayoutScan, labelled
from posterkit.layout.types import Box, Layout

_CELLS = 16  # of a side of the thumbnails that saliency is compared by
_WORDS = 256  # slots of hashed words
_WEIGHTS = {"labels": 0.45, "shape": 0.2, "saliency": 0.2, "words": 0.15}
_WORD = re.compile(r"[^\W\d_]{2,}|[\u3400-\u9fff]")


class ExemplarIndex:
    """Exemplars, ready to be searched.

    Args:
        exemplars: at least one.
    """

    def __init__(self, exemplars: Sequence[Exemplar]) -> None:
        if not exemplars:
            raise ValueError("there are no exemplars to search")
        self.exemplars = tuple(exemplars)
        labels = sorted({one.role for exemplar in exemplars for one in exemplar.layout})
        self._slots = {label: slot for slot, label in enumerate(labels)}
        self._counts = np.array([self._count([one.role for one in exemplar.layout]) for exemplar in exemplars])
        self._shapes = np.log([exemplar.layout.width / exemplar.layout.height for exemplar in exemplars])
        self._seen = np.array([_thumbnail(exemplar.layout, exemplar.content) for exemplar in exemplars])
        words = np.array([_hashed(exemplar.caption) for exemplar in exemplars])
        self._rarity = np.log((1 + len(exemplars)) / (1 + (words > 0).sum(0))) + 1
        self._words = _unit(words * self._rarity)
        self._scan = LayoutScan([labelled(exemplar.layout) for exemplar in exemplars])

    def for_request(self, request: LayoutRequest, count: int = 10, left_out: Collection[str] = ()) -> list[Exemplar]:
        """Pass 1: by labels, shape, saliency and words; the best first.

        Args:
            left_out: sources or ids that must not be found, such as the request's own.
        """
        wanted = self._count([one.role for one in request.elements])
        total = self._counts.sum(1) + len(request.elements)
        scores = {
            "labels": 2 * np.minimum(self._counts, wanted).sum(1) / total,
            "shape": np.exp(-2 * np.abs(self._shapes - math.log(request.width / request.height))),
        }
        seen = request_thumbnail(request)
        if seen.any():
            scores["saliency"] = self._seen @ _unit(seen)
        if request.description:
            scores["words"] = self._words @ _unit(_hashed(request.description) * self._rarity)
        weight = sum(_WEIGHTS[name] for name in scores)
        score = sum(_WEIGHTS[name] * values for name, values in scores.items()) / weight
        order = np.argsort(-score, kind="stable")
        return [self.exemplars[at] for at in order if not self._is_out(at, left_out)][:count]

    def like(self, layout: Layout, count: int = 4, left_out: Collection[str] = ()) -> list[Exemplar]:
        """Pass 2: by LTSim to a draft; the most alike first."""
        out = [at for at in range(len(self.exemplars)) if self._is_out(at, left_out)] if left_out else ()
        return [self.exemplars[at] for at, _ in self._scan.nearest(labelled(layout), count, out)]

    def _is_out(self, at: int, left_out: Collection[str]) -> bool:
        return self.exemplars[at].source in left_out or self.exemplars[at].id in left_out

    def _count(self, roles: Sequence[str]) -> np.ndarray:
        found = Counter(roles)
        return np.array([found.get(label, 0) for label in self._slots], float)


def _thumbnail(layout: Layout, content: Sequence[Box]) -> np.ndarray:
    """Where there is something to see, `(256,)` of unit length: the content, else the subjects and images."""
    shown = content or [one.box for one in layout if one.role in ("subject", "image")]
    boxes = np.array([[*box] for box in shown], float).reshape(-1, 4) / (*layout.size, *layout.size)
    return _unit(covered_cells(boxes, (_CELLS, _CELLS)).astype(float).ravel())


def request_thumbnail(request: LayoutRequest) -> np.ndarray:
    """Where a request's picture has something to see, `(256,)`; all zeros where nobody knows."""
    if request.picture is not None:
        seen = Image.fromarray(saliency(request.picture))
        return np.asarray(seen.resize((_CELLS, _CELLS), Image.Resampling.BOX), float).ravel()
    boxes = [*request.content, *(one.box for one in request.elements if one.box and one.role in ("subject", "image"))]
    shares = np.array([[*box] for box in boxes], float).reshape(-1, 4) / (*request.size, *request.size)
    return covered_cells(shares, (_CELLS, _CELLS)).astype(float).ravel()


def _hashed(text: str) -> np.ndarray:
    found = np.zeros(_WORDS)
    for word in _WORD.findall(text.casefold()):
        found[crc32(word.encode()) % _WORDS] += 1
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
