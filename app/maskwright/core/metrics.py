"""Overlap of masks, and how well a predicted overlap is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def iou(prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Intersection over union of (Y, X) bool masks over ``valid`` pixels; 1 where both are empty."""
    both, either = prediction & truth, prediction | truth
    if valid is not None:
        both, either = both & valid, either & valid
    union = int(either.sum())
    return 1.0 if union == 0 else float(both.sum() / union)


def dice_of_iou(value: np.ndarray | float) -> np.ndarray | float:
    """Dice coefficient of the same pair of masks."""
    return 2 * value / (1 + value)


def dice(prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Dice coefficient of (Y, X) bool masks over ``valid`` pixels; 1 where both are empty."""
    return float(dice_of_iou(iou(prediction, truth, valid)))


CALIBRATION_BINS = 15


def reliability(
    scores: np.ndarray, real: np.ndarray, *, bins: int = CALIBRATION_BINS
) -> list[tuple[int, float, float]]:
    """Predicted and real IoU, (N,) each, by the predicted one: (count, mean score, mean real) of ``bins`` equal bins.

    Scores outside 0..1 count in the outermost bin; an empty bin has 0 for both means.
    """
    scores, real = np.asarray(scores, np.float64), np.asarray(real, np.float64)
    at = np.clip((scores * bins).astype(np.int64), 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    some = np.maximum(count, 1)
    means = (np.bincount(at, v, minlength=bins) / some for v in (scores, real))
    return [(int(n), float(s), float(r)) for n, s, r in zip(count, *means, strict=True)]


def calibration_error(table: Iterable[Sequence[float]]) -> float:
    """Expected calibration error of a table of :func:`reliability`: the mean gap, weighted by count; 0 for no answer.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017, for a real overlap instead of right or wrong.
    """
    rows = list(table)
    total = sum(row[0] for row in rows)
    return sum(n * abs(score - real) for n, score, real in rows) / total if total else 0.0


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve of ``scores`` (N,) for ``positive`` (N,) bool; 0.5 for no better than chance.

    How often a positive has the higher score, ties counted half. NaN where one of the two kinds is missing.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    high, low = scores[positive], scores[~positive]
    if high.size == 0 or low.size == 0:
        return float("nan")
    return float((high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean())


def worst(values: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Which of (N,) values are the lowest ``share``, at least one: (N,) bool. Of equal ones the first count."""
    values = np.asarray(values, np.float64)
    out = np.zeros(len(values), bool)
    out[np.argsort(values, kind="stable")[: max(1, round(share * len(values)))]] = True
    return out
