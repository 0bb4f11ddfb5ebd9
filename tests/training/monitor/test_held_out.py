"""How far scores can be trusted: values worked out by hand, the odds that scores were drawn with, the chart."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from posterkit.training.monitor.held_out import chance_of_chosen, draw_reliability, reliability


def test_calibration_error_is_the_distance_of_confidence_and_frequency_weighed_by_counts():
    three = math.log(3)  # a confidence of 3/4
    found = reliability([three, three, three, -three, 10.0, 10.0], bins=5)
    assert [(one.count, one.observed) for one in found.bins] == [(4, 0.75), (2, 1.0)]
    assert found.ece == pytest.approx((4 * 0 + 2 * (1 - expit(10))) / 6, abs=1e-9)
    assert reliability([-three] * 4).ece == pytest.approx(0.75)
    assert reliability([0.0, 0.0]).bins[0] == (0.5, 0.5, 2)


def test_a_bin_that_is_chosen_more_often_stands_higher_in_the_chart():
    def height(differences: list[float]) -> float:
        draw_reliability(reliability(differences), "a run").savefig(file := BytesIO(), format="png")
        chart = np.asarray(Image.open(file).convert("RGB")).astype(int)
        return float(np.flatnonzero((chart[..., 2] - chart[..., 0] > 100).any(1)).mean())

    three = math.log(3)  # a confidence of 3/4
    often, seldom = height([three] * 4), height([three, three, three, -three])
    assert seldom - often > 50  # pixels down


def test_the_chance_of_being_chosen_finds_the_odds_that_scores_were_drawn_with():
    rng = np.random.default_rng(0)
    scores = rng.normal(2.0, 1.5, 40000)
    is_chosen = rng.random(40000) < expit(1.7 * scores - 3.0)
    scale, offset = chance_of_chosen(scores[is_chosen].tolist(), scores[~is_chosen].tolist())
    assert (scale, offset) == pytest.approx((1.7, -3.0), rel=0.04)


def test_scores_that_tell_all_apart_or_the_wrong_way_round_get_a_sane_scale():
    scale, offset = chance_of_chosen([1.0, 2.0], [-1.0, -2.0])
    assert 0 < scale < 20 and expit(offset) == pytest.approx(0.5, abs=1e-3)
    assert chance_of_chosen([-1.0, -2.0], [1.0, 2.0])[0] == 0
    assert chance_of_chosen([0.0], [0.0])[0] == pytest.approx(0, abs=1e-6)
