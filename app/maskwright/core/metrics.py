"""Overlap of masks."""

from __future__ import annotations

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
