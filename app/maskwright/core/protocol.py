"""The number-of-clicks protocol: one object to measure, where the next click goes, when a curve has arrived.

Source: Sofiiuk et al., "Reviving Iterative Training with Mask Guidance" (RITM), 2021, as InterFormer uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationItem:
    """One object. ``image()`` reads (Y, X) or (Y, X, 3) RGB, ``mask()`` reads (Y, X) uint8: 255 object, 128 ignore.

    Items of the same image follow each other and share ``image_name``; ``text`` is the label, empty where unknown.
    """

    image_name: str
    mask_name: str
    image: Callable[[], np.ndarray]
    mask: Callable[[], np.ndarray]
    text: str = ""


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
