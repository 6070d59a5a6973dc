"""Overlap of masks, in exact numbers."""

from __future__ import annotations

import numpy as np

from maskwright.core.metrics import auroc, calibration_error, dice, dice_of_iou, iou, reliability, worst


def rectangle(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros((10, 10), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_overlap_of_two_rectangles() -> None:
    a, b = rectangle(0, 0, 4, 4), rectangle(2, 2, 6, 6)
    assert iou(a, b) == iou(b, a) == 4 / 28
    assert dice(a, b) == dice(b, a) == 2 * 4 / 32
    assert iou(a, a) == dice(a, a) == 1.0


def test_masks_that_share_nothing() -> None:
    none, a = rectangle(0, 0, 0, 0), rectangle(0, 0, 4, 4)
    assert iou(a, rectangle(5, 5, 9, 9)) == dice(a, rectangle(5, 5, 9, 9)) == 0.0
    assert iou(a, none) == dice(none, a) == 0.0
    assert iou(none, none) == dice(none, none) == 1.0


def test_pixels_that_do_not_count() -> None:
    a, b, valid = rectangle(0, 0, 4, 4), rectangle(2, 2, 6, 6), rectangle(0, 0, 3, 10)
    assert iou(a, b, valid) == 2 / 14
    assert dice(a, b, valid) == 2 * 2 / (12 + 4)
    assert iou(a, b, ~(a | b)) == 1.0


def test_dice_of_an_iou_is_that_of_the_masks() -> None:
    assert np.allclose(dice_of_iou(np.array([0, 1 / 3, 0.5, 1])), [0, 0.5, 2 / 3, 1])


def test_reliability_counts_answers_by_what_was_predicted() -> None:
    scores, real = np.array([0.05, 0.15, 0.55, 0.6, 0.99, 1.0, 1.2]), np.array([0.0, 0.3, 0.5, 0.9, 1.0, 0.8, 0.6])
    table = reliability(scores, real, bins=5)
    assert [row[0] for row in table] == [2, 0, 1, 1, 3]
    assert np.allclose([row[1:] for row in table], [(0.1, 0.15), (0, 0), (0.55, 0.5), (0.6, 0.9), (3.19 / 3, 0.8)])
    assert np.isclose(calibration_error(table), (2 * 0.05 + 0.05 + 0.3 + 3 * (3.19 / 3 - 0.8)) / 7)


def test_an_honest_score_has_no_calibration_error() -> None:
    real = np.linspace(0, 1, 400)
    assert calibration_error(reliability(real, real)) == 0
    assert np.isclose(calibration_error(reliability(np.full(400, 0.9), real)), 0.4)
    assert calibration_error(reliability(real[:0], real[:0])) == 0


def test_the_area_under_the_curve_counts_pairs() -> None:
    scores, bad = np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, True, False, False])
    assert auroc(scores, bad) == (1 + 1 + 0.5 + 1) / 4
    assert auroc(-scores, bad) == 1 - 3.5 / 4
    assert auroc(scores, np.array([True, False, False, False])) == 1.0
    assert np.isnan(auroc(scores, np.zeros(4, bool)))


def test_the_worst_tenth_has_at_least_one() -> None:
    values = np.arange(30)[::-1] / 30
    assert np.flatnonzero(worst(values)).tolist() == [27, 28, 29]
    assert worst(np.array([0.5, 0.2, 0.2])).tolist() == [False, True, False]
