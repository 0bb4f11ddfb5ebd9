import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from posterkit.layout.similarity import (
    LayoutScan,
    docsim,
    giou,
    iou,
    label_boxes,
    ltsim,
    ltsim_distance,
    maximum_iou,
    pair_iou,
    transport,
)

CELLS = st.integers(0, 20)


@st.composite
def layouts(draw, least=0, most=6):
    boxes = []
    for _ in range(draw(st.integers(least, most))):
        x, y = sorted(draw(CELLS) for _ in range(2)), sorted(draw(CELLS) for _ in range(2))
        boxes.append((x[0] / 20, y[0] / 20, x[1] / 20, y[1] / 20))
    return label_boxes([draw(st.sampled_from("abc")) for _ in boxes], boxes)


ONE = label_boxes(["a"], [(0, 0, 0.5, 0.5)])


def test_giou_of_two_corners_is_minus_a_half():
    # nothing in common, a union of 0.5 in a hull of 1
    assert giou(ONE.boxes, np.array([[0.5, 0.5, 1, 1]])) == pytest.approx(-0.5)
    assert iou(ONE.boxes, np.array([[0.25, 0, 0.75, 0.5]])) == pytest.approx(1 / 3)


def test_ltsim_by_hand():
    other = label_boxes(["a"], [(0.5, 0.5, 1, 1)])
    assert ltsim_distance(ONE, other) == pytest.approx(0.5 * 0.75)
    assert ltsim_distance(ONE, label_boxes(["b"], other.boxes)) == pytest.approx(0.5 * 0.75 + 0.5)
    assert ltsim(ONE, ONE) == 1
    # half of the mass has nowhere to go but to the other corner
    assert ltsim_distance(ONE, label_boxes("aa", [*ONE.boxes, *other.boxes])) == pytest.approx(0.375 / 2)


def test_an_empty_layout_is_as_far_as_can_be():
    empty = label_boxes([], [])
    assert ltsim_distance(empty, ONE) == ltsim_distance(ONE, empty) == 1
    assert ltsim_distance(empty, empty) == 0


def _by_linear_program(cost):
    n, m = cost.shape
    equal, amounts = [], []
    for i in range(n):
        row = np.zeros((n, m))
        row[i] = 1
        equal.append(row.ravel())
        amounts.append(1 / n)
    for j in range(m):
        column = np.zeros((n, m))
        column[:, j] = 1
        equal.append(column.ravel())
        amounts.append(1 / m)
    return linprog(cost.ravel(), A_eq=np.array(equal), b_eq=amounts, method="highs").fun


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_transport_is_the_linear_program(n, m, seed):
    cost = np.random.default_rng(seed).random((n, m))
    assert transport(cost) == pytest.approx(_by_linear_program(cost), abs=1e-9)


def test_long_layouts_take_the_linear_program_and_agree():
    cost = np.random.default_rng(0).random((21, 20))  # 420 rows by repetition
    repeated = cost.repeat(20, 0).repeat(21, 1)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(repeated)
    assert transport(cost) == pytest.approx(repeated[rows, columns].mean(), abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(layouts(), layouts())
def test_the_distance_is_symmetric_and_within_bounds(a, b):
    assert ltsim_distance(a, b) == pytest.approx(ltsim_distance(b, a), abs=1e-9)
    assert -1e-9 <= ltsim_distance(a, b) <= 1 + 1e-9


@settings(deadline=None, max_examples=40)
@given(st.lists(layouts(), min_size=1, max_size=20), layouts())
def test_a_scan_gives_every_single_distance_and_the_nearest(stored, query):
    scan = LayoutScan(stored)
    single = [ltsim_distance(query, one) for one in stored]
    assert scan.distances(query) == pytest.approx(single, abs=1e-9)
    nearest = scan.nearest(query, 3)
    assert [distance for _, distance in nearest] == pytest.approx(sorted(single)[:3], abs=1e-9)
    assert all(single[at] == pytest.approx(distance, abs=1e-9) for at, distance in nearest)
    left = scan.nearest(query, len(stored), left_out=[0])
    assert sorted(at for at, _ in left) == list(range(1, len(stored)))


def test_docsim_by_hand():
    # an area of 0.25 weighs 0.5; centres 0.3 apart take 2^-0.3, sides 0.1 narrower 2^-(2*0.1)
    assert docsim(ONE, ONE) == pytest.approx(0.5)
    assert docsim(ONE, label_boxes(["a"], [(0.3, 0, 0.8, 0.5)])) == pytest.approx(0.5 * 2**-0.3)
    narrow = label_boxes(["a"], [(0.05, 0, 0.45, 0.5)])
    assert docsim(ONE, narrow) == pytest.approx(math.sqrt(0.2) * 2**-0.2)
    assert docsim(ONE, label_boxes(["b"], ONE.boxes)) == 0
    assert docsim(ONE, label_boxes("aaaa", [ONE.boxes[0]] * 4)) == 0


def test_maximum_iou_by_hand():
    two = label_boxes("ab", [(0, 0, 0.5, 1), (0.5, 0, 1, 1)])
    half = label_boxes("ba", [(0.5, 0, 1, 0.5), (0, 0, 0.5, 1)])  # b has an IoU of 0.5, a of 1
    assert pair_iou(two, half) == pytest.approx(0.75)
    assert pair_iou(two, ONE) is None
    assert maximum_iou([two, ONE], [half]) == pytest.approx(0.75)
    assert maximum_iou([half, two], [two, half]) == pytest.approx(1)
    assert math.isnan(maximum_iou([ONE], [two]))


def test_labels_and_boxes_go_together():
    with pytest.raises(ValueError, match="2 labels for 1 boxes"):
        label_boxes("ab", [(0, 0, 1, 1)])
