"""How alike two layouts are: LTSim, DocSim, maximum IoU; and scans of many layouts by LTSim."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment, linprog

from posterkit.layout.types import Layout

_LARGEST = 400  # rows of an assignment problem; beyond it the linear program is quicker
_FAR = 3  # elements more or fewer, from which DocSim is 0


class LabelledBoxes(NamedTuple):
    """Boxes with labels: what similarities and measures read of a layout."""

    labels: np.ndarray  # `(N,)` of str
    boxes: np.ndarray  # `(N, 4)` float64, x0, y0, x1, y1 as shares of the canvas

    def __len__(self) -> int:
        return len(self.labels)


def labelled(layout: Layout, things: bool = True) -> LabelledBoxes:
    """A layout's roles and boxes; its texts alone without `things`."""
    elements = layout.elements if things else layout.texts
    return label_boxes([one.role for one in elements], [one.box for one in elements], layout.size)


def label_boxes(
    labels: Sequence[str], boxes: Sequence[Sequence[float]], size: tuple[float, float] = (1, 1)
) -> LabelledBoxes:
    """Boxes on a canvas of `size`; ValueError where there is not one label per box."""
    if len(labels) != len(boxes):
        raise ValueError(f"{len(labels)} labels for {len(boxes)} boxes")
    shares = np.asarray(boxes, float).reshape(-1, 4) / (*size, *size)
    return LabelledBoxes(np.array(list(labels), str), shares)


def areas(boxes: np.ndarray) -> np.ndarray:
    """`(..., 4)` -> `(...)`."""
    return np.clip(boxes[..., 2] - boxes[..., 0], 0, None) * np.clip(boxes[..., 3] - boxes[..., 1], 0, None)


def intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Common areas, `(..., N, 4)` and `(..., M, 4)` -> `(..., N, M)`."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    wide = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    high = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    return np.clip(wide, 0, None) * np.clip(high, 0, None)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union, `(..., N, M)` in [0, 1]; of two boxes without area, 1 where they are one."""
    common = intersections(a, b)
    union = areas(a)[..., :, None] + areas(b)[..., None, :] - common
    same = (a[..., :, None, :] == b[..., None, :, :]).all(-1)
    return np.where(union > 0, common / np.where(union > 0, union, 1), same)


def giou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Generalised IoU (Rezatofighi et al., CVPR 2019), `(..., N, M)` in (-1, 1]."""
    first, second = a[..., :, None, :], b[..., None, :, :]
    wide = np.maximum(first[..., 2], second[..., 2]) - np.minimum(first[..., 0], second[..., 0])
    high = np.maximum(first[..., 3], second[..., 3]) - np.minimum(first[..., 1], second[..., 1])
    hull = wide * high
    union = areas(a)[..., :, None] + areas(b)[..., None, :] - intersections(a, b)
    return iou(a, b) - np.where(hull > 0, (hull - union) / np.where(hull > 0, hull, 1), 0)


def transport(cost: np.ndarray) -> float:
    """The least cost of moving mass between uniform marginals, 1/N on each row and 1/M on each column.

    Exact: with uniform marginals an optimum is an assignment between rows repeated lcm(N, M)/N times and columns
    repeated lcm(N, M)/M times.

    Args:
        cost: `(N, M)`.
    """
    n, m = cost.shape
    if min(n, m) == 1:
        return float(cost.mean())
    size = math.lcm(n, m)
    if size > _LARGEST:
        return _linear_program(cost)
    if n != m:
        cost = cost.repeat(size // n, axis=0).repeat(size // m, axis=1)
    rows, columns = linear_sum_assignment(cost)
    return float(cost[rows, columns].mean())


def _linear_program(cost: np.ndarray) -> float:
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    marginals = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return float(linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=marginals, method="highs").fun)


def ltsim_distance(a: LabelledBoxes, b: LabelledBoxes) -> float:
    """D of LTSim (Otani et al., arXiv 2407.12356), in [0, 1]; 0 for two empty layouts, 1 where one is empty."""
    if not len(a) or not len(b):
        return 0.0 if len(a) == len(b) else 1.0
    return transport(_ltsim_cost(a.labels, a.boxes, b.labels, b.boxes))


def ltsim(a: LabelledBoxes, b: LabelledBoxes) -> float:
    """exp(-D), in [0.368, 1]."""
    return math.exp(-ltsim_distance(a, b))


def _ltsim_cost(labels: np.ndarray, boxes: np.ndarray, others: np.ndarray, other_boxes: np.ndarray) -> np.ndarray:
    """Half for the place, half for the label: `(..., N, M)` in [0, 1]."""
    place = (1 - giou(boxes, other_boxes)) / 2
    return 0.5 * place + 0.5 * (labels[..., :, None] != others[..., None, :])


class LayoutScan:
    """Many layouts, packed so that one layout is compared with all of them at once.

    Args:
        layouts: kept in their order.
    """

    def __init__(self, layouts: Sequence[LabelledBoxes]) -> None:
        self.count = len(layouts)
        self._known = {
            label: number for number, label in enumerate(sorted({str(x) for one in layouts for x in one.labels}))
        }
        by_length: dict[int, list[int]] = defaultdict(list)
        for position, one in enumerate(layouts):
            by_length[len(one)].append(position)
        self._groups = [
            (np.array(at), np.stack([self._numbers(layouts[i].labels) for i in at]),
             np.stack([layouts[i].boxes for i in at]))
            for at in by_length.values()
        ]  # fmt: skip

    def _numbers(self, labels: np.ndarray) -> np.ndarray:
        return np.array([self._known.get(str(label), -1) for label in labels], int)

    def distances(self, query: LabelledBoxes) -> np.ndarray:
        """D of LTSim to each layout, `(count,)`."""
        found = np.ones(self.count)
        for at, costs in self._costs(query):
            found[at] = costs if costs.ndim == 1 else [transport(cost) for cost in costs]
        return found

    def nearest(self, query: LabelledBoxes, count: int, left_out: Sequence[int] = ()) -> list[tuple[int, float]]:
        """The positions of the layouts that are most alike, with their D; exact, the nearest first.

        Only layouts that a bound from below (a feasible solution of the dual program) leaves in the race are
        compared in full.

        Args:
            left_out: positions that do not count.
        """
        bound, lookup = np.ones(self.count), {}
        for at, costs in self._costs(query):
            bound[at] = costs if costs.ndim == 1 else _bound(costs)
            lookup |= dict(zip(at.tolist(), costs, strict=True))
        bound[list(left_out)] = np.inf
        kept: list[tuple[float, int]] = []
        for position in np.argsort(bound, kind="stable"):
            if not np.isfinite(bound[position]) or (len(kept) == count and bound[position] > kept[-1][0]):
                break
            cost = lookup[int(position)]
            kept.append((transport(cost) if cost.ndim else float(cost), int(position)))
            kept = sorted(kept)[:count]
        return [(position, distance) for distance, position in kept]

    def _costs(self, query: LabelledBoxes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions of layouts of one length, and their `(G, N, M)` costs; `(G,)` distances where one is empty."""
        labels = self._numbers(query.labels)
        for at, others, boxes in self._groups:
            if len(query) and others.shape[1]:
                yield at, _ltsim_cost(labels[None], query.boxes[None], others, boxes)
            else:
                yield at, np.full(len(at), float(len(query) != others.shape[1]))


def _bound(costs: np.ndarray) -> np.ndarray:
    """A bound of `transport` from below for each of `(G, N, M)` costs: rows reduced, then columns, and the reverse."""
    rows = costs.min(2)
    columns = costs.min(1)
    by_rows = rows.mean(1) + (costs - rows[:, :, None]).min(1).mean(1)
    by_columns = columns.mean(1) + (costs - columns[:, None, :]).min(2).mean(1)
    return np.maximum(by_rows, by_columns) - 1e-12


def docsim(a: LabelledBoxes, b: LabelledBoxes) -> float:
    """DocSim (Patil et al., CVPRW 2020): the mean weight of the best matching; 0 at three elements more or fewer."""
    if abs(len(a) - len(b)) >= _FAR or not len(a) or not len(b):
        return 0.0
    centers = [(one.boxes[:, :2] + one.boxes[:, 2:]) / 2 for one in (a, b)]
    sides = [one.boxes[:, 2:] - one.boxes[:, :2] for one in (a, b)]
    apart = np.linalg.norm(centers[0][:, None] - centers[1][None], axis=-1)
    unlike = np.abs(sides[0][:, None] - sides[1][None]).sum(-1)
    area = np.minimum(areas(a.boxes)[:, None], areas(b.boxes)[None])
    weights = np.sqrt(area) * 2.0 ** (-apart - 2 * unlike) * (a.labels[:, None] == b.labels[None])
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return float(weights[rows, columns].mean())


def pair_iou(a: LabelledBoxes, b: LabelledBoxes) -> float | None:
    """The mean IoU of the best matching of two layouts with the same labels; None where those differ."""
    if not len(a) or sorted(a.labels) != sorted(b.labels):
        return None
    total = 0.0
    for label in np.unique(a.labels):
        found = iou(a.boxes[a.labels == label], b.boxes[b.labels == label])
        rows, columns = linear_sum_assignment(found, maximize=True)
        total += float(found[rows, columns].sum())
    return total / len(a)


def maximum_iou(first: Sequence[LabelledBoxes], second: Sequence[LabelledBoxes]) -> float:
    """Maximum IoU of two sets (Kikuchi et al., ACM MM 2021): the mean over matched layouts with the same labels.

    NaN where no two layouts have the same labels.
    """
    groups: tuple[dict[tuple, list[LabelledBoxes]], ...] = defaultdict(list), defaultdict(list)
    for group, layouts in zip(groups, (first, second), strict=True):
        for one in layouts:
            group[tuple(sorted(one.labels))].append(one)
    scores: list[float] = []
    for labels in groups[0].keys() & groups[1].keys():
        if labels:
            pairs = np.array([[pair_iou(a, b) for b in groups[1][labels]] for a in groups[0][labels]], float)
            rows, columns = linear_sum_assignment(pairs, maximize=True)
            scores += pairs[rows, columns].tolist()
    return float(np.mean(scores)) if scores else math.nan
