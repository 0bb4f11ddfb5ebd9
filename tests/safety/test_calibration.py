"""Measures of detectors, against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from posterkit.safety.calibration import auroc, expected_calibration_error, recall_at, temperature_of, threshold_at


def test_auroc_of_four_scores_of_which_three_pairs_of_four_are_right():
    assert auroc([0.1, 0.4, 0.35, 0.8], [False, False, True, True]) == 0.75


def test_auroc_counts_ties_half_and_is_no_number_without_both_kinds():
    assert auroc([0.5, 0.5], [False, True]) == 0.5
    assert math.isnan(auroc([0.1, 0.2], [True, True]))


def test_the_threshold_lets_no_more_harmless_texts_through_than_the_rate():
    scores = [number / 100 for number in range(100)]
    threshold = threshold_at(scores, [False] * 100, 0.05)
    assert sum(score >= threshold for score in scores) == 5
    assert threshold_at(scores, [False] * 100, 0.0) > 0.99


def test_a_threshold_without_harmless_texts_is_refused():
    with pytest.raises(ValueError, match="harmless"):
        threshold_at([0.5], [True], 0.01)


def test_recall_is_the_share_of_harmful_texts_above_that_threshold():
    harmless, harmful = [0.1] * 99 + [0.9], [0.95, 0.5, 0.05, 0.2]
    labels = [False] * 100 + [True] * 4
    assert recall_at(harmless + harmful, labels, 0.01) == 0.75  # one harmless text may lie above


def test_calibration_error_of_two_bins_by_hand():
    # bin of 0.2: observed 0.5, half of all; bin of 0.9: observed 1, half of all
    assert expected_calibration_error([0.2, 0.2, 0.9, 0.9], [True, False, True, True]) == pytest.approx(0.2)


def test_the_temperature_undoes_logits_that_are_too_sure():
    # three of four with logit +r are harmful, one of four with -r: calibrated where r / T = ln 3
    logits, harmful = [5.0] * 4 + [-5.0] * 4, [True, True, True, False, True, False, False, False]
    assert temperature_of(logits, harmful) == pytest.approx(5 / math.log(3), rel=1e-3)
