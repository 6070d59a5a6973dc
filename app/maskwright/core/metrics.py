"""Overlap of masks, and the number-of-clicks protocol's arithmetic and click placement.

Protocol: Sofiiuk et al., "Reviving Iterative Training with Mask Guidance" (RITM), 2021, as InterFormer uses it.
"""

from __future__ import annotations

import cv2
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


def deepest_error(
    prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray, free: np.ndarray
) -> tuple[int, int, bool] | None:
    """Next click of the protocol: (x, y, positive), or None where nothing is wrong.

    The point of the missed or the surplus region that is farthest from its border (and from the frame of the image);
    the deeper of the two decides the sign, surplus on a tie. ``free`` (Y, X) float32 is 0 where a click was already.
    """

    def depth(error: np.ndarray) -> np.ndarray:
        padded = np.pad(error.astype(np.uint8), 1)
        return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] * free

    missed = depth(truth & ~prediction & valid)
    surplus = depth(~truth & prediction & valid)
    positive = bool(missed.max() > surplus.max())
    distance = missed if positive else surplus
    if distance.max() == 0:
        return None
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return int(x), int(y), positive


def clicks_to_reach(curves: np.ndarray, threshold: float) -> np.ndarray:
    """(objects, clicks) IoU curves -> (objects,) 1-based click that first reaches ``threshold``, else the last."""
    reached = curves >= threshold
    return np.where(reached.any(1), reached.argmax(1) + 1, curves.shape[1])
