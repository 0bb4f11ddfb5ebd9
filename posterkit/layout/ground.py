"""What of a canvas texts should leave free: a picture's saliency, unrest and people, with means over boxes at once."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from posterkit.layout.layout_request import LayoutRequest
from posterkit.layout.saliency import WORKING_SIZE, people, reduced, saliency
from posterkit.layout.types import Box, Obstacle, margin_of

SUBJECT = 0.4  # of the saliency map, from which a cell belongs to the subject
_KNOWN = 0.8  # the saliency of content that is given as boxes
_SHOWN = ("subject", "image")
_HARM = {
    "face": 12.0,
    "subject": 3.0,
    "lettering": 1.0,
    "graphic": 3.0,
}  # of covering a thing: a face is worse than words
_LETTERING = 0.01  # of the canvas, from which lettering counts in full


class Ground:
    """A request's canvas as planners see it.

    Args:
        request: with a picture, content, or things whose place is fixed; else the canvas is empty.

    Attributes:
        known: there is anything to see.
        seen: saliency, `(h, w)` in [0, 1].
    """

    def __init__(self, request: LayoutRequest) -> None:
        self.size = request.size
        self.obstacles = request.avoid
        picture = request.picture
        if picture is not None:
            self.seen = saliency(picture)
            light = np.asarray(reduced(picture, "L"), np.float32) / 255
            skin = people(picture)
        else:
            scale = WORKING_SIZE / max(self.size)
            shape = [max(2, round(side * scale)) for side in reversed(self.size)]
            self.seen = np.zeros(shape, np.float32)
            light = skin = np.zeros(shape, np.float32)
        fixed = [one.box for one in request.elements if one.box and one.fixed and one.role in _SHOWN]
        for box in (*request.content, *fixed):
            self._cells(self.seen, box)[...] = np.maximum(self._cells(self.seen, box), _KNOWN)
        self.known = picture is not None or bool(self.seen.any())
        subject = np.maximum(self.seen - SUBJECT, 0)
        self._total = max(1e-6, float(subject.sum()))
        self._skin = float(skin.sum()) if float(skin.sum()) > 0.01 * skin.size else 0.0
        maps = np.stack([self.seen, subject, light, light**2, skin]).astype(np.float64)
        self._sums = np.pad(maps.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))

    def under(self, boxes: np.ndarray) -> dict[str, np.ndarray]:
        """What lies under boxes in pixels, `(N, 4)`, `(N,)` each: `covered` mean saliency, `subject` and `people` the
        parts of all there is, `unrest` the standard deviation of luminance."""
        h, w = self.seen.shape
        cells = boxes * np.tile((w / self.size[0], h / self.size[1]), 2)
        x0, y0 = (np.clip(np.floor(cells[:, side]).astype(int), 0, full - 1) for side, full in ((0, w), (1, h)))
        x1 = np.clip(np.ceil(cells[:, 2]).astype(int), x0 + 1, w)
        y1 = np.clip(np.ceil(cells[:, 3]).astype(int), y0 + 1, h)
        sums = self._sums
        total = sums[:, y1, x1] - sums[:, y0, x1] - sums[:, y1, x0] + sums[:, y0, x0]
        mean = total / ((y1 - y0) * (x1 - x0))
        return {
            "covered": mean[0], "subject": total[1] / self._total,
            "unrest": np.sqrt(np.maximum(mean[3] - mean[2] ** 2, 0)),
            "people": total[4] / self._skin if self._skin else np.zeros(len(boxes)),
        }  # fmt: skip

    def hidden(self, box: Box, subject: bool = False) -> float:
        """How bad it is that a text covers what the request avoids: the parts covered, weighed.

        Args:
            subject: of the picture's subject, which texts may touch; else of all that they must not lie on.
        """
        return sum(
            box.shared(thing.box) / max(1.0, thing.box.area) * harm(thing, self.size)
            for thing in self.obstacles
            if (thing.kind == "subject") is subject
        )

    @cached_property
    def subject_box(self) -> Box | None:
        """The box of what there is to see, in pixels, without its faint outskirts; None where nothing stands out."""
        told = [thing.box for thing in self.obstacles if thing.kind == "subject"]
        if told:
            return told[0]
        mass = np.maximum(self.seen - SUBJECT, 0)
        if mass.sum() < 0.004 * mass.size:
            return None
        sides = []
        for axis in (0, 1):
            share = np.cumsum(mass.sum(axis)) / mass.sum()
            sides.append((int(np.searchsorted(share, 0.03)), int(np.searchsorted(share, 0.97)) + 1))
        (x0, x1), (y0, y1) = sides
        h, w = mass.shape
        return Box(x0, y0, x1, y1).scaled(self.size[0] / w, self.size[1] / h)

    @cached_property
    def free_areas(self) -> list[Box]:
        """The largest areas between the margins with little to see, in pixels, of which no two are nearly one."""
        margin = margin_of(*self.size)
        inner = Box(margin, margin, self.size[0] - margin, self.size[1] - margin)
        edges = [np.linspace(low, high, _LINES + 1) for low, high in ((inner.x0, inner.x1), (inner.y0, inner.y1))]
        starts, ends = np.triu_indices(_LINES + 1, 1)
        wide, high = (ends - starts >= 5), (ends - starts >= 2)
        xs, ys = (starts[wide], ends[wide]), (starts[high], ends[high])
        columns = [np.repeat(edges[0][at], len(ys[0])) for at in xs]
        rows = [np.tile(edges[1][at], len(xs[0])) for at in ys]
        boxes = np.stack([columns[0], rows[0], columns[1], rows[1]], 1)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        under = self.under(boxes)
        worth = np.sqrt(area / inner.area) - 1.5 * under["covered"] - 0.4 * under["subject"]
        found: list[Box] = []
        for at in np.argsort(-worth, kind="stable")[:400]:
            box = Box(*boxes[at])
            if all(box.shared(other) < 0.7 * min(box.area, other.area) for other in found):
                found.append(box)
            if len(found) == _AREAS:
                break
        return found

    def _cells(self, cells: np.ndarray, box: Box) -> np.ndarray:
        h, w = cells.shape
        x0, y0, x1, y1 = box.scaled(w / self.size[0], h / self.size[1]).pixels((w, h))
        return cells[min(y0, h - 1) : y1, min(x0, w - 1) : x1]


_LINES, _AREAS = 12, 6


def harm(thing: Obstacle, size: tuple[int, int]) -> float:
    """The weight of covering a thing; small lettering weighs less."""
    if thing.kind != "lettering":
        return _HARM[thing.kind]
    return float(np.clip(thing.box.area / (_LETTERING * size[0] * size[1]), 0.2, 1.0))
