"""The score below which words have found nothing, fitted on images held back."""

from __future__ import annotations

import numpy as np

from maskwright.core.metrics import dice_of_iou

MOST = 0.5
"""No floor lies higher: a mask that is more right than wrong is shown."""


def fit_text_floor(scores: np.ndarray, overlap: np.ndarray, there: np.ndarray) -> float:
    """The floor in 0..`MOST` that is worth most, of answers to words alone.

    ``scores`` (N,) are predicted and ``overlap`` (N,) real IoU; ``there`` (N,) bool says whether the picture shows what
    was asked for. What is there is worth the Dice of a mask that is shown, what is not is worth 1 where none is shown;
    both kinds weigh the same. Of floors worth the same the middle of the lowest stretch is taken.

    Raises ValueError where one of the kinds is missing.
    """
    if there.all() or not there.any():
        raise ValueError("a floor needs words that are there and words that are not")
    floors = np.linspace(0, MOST, 101)
    shown = scores[None] >= floors[:, None]  # (101, N)
    found = (shown * dice_of_iou(overlap))[:, there].mean(1)
    rejected = ~shown[:, ~there]
    worth = found + rejected.mean(1)
    best = np.flatnonzero(worth >= worth.max() - 1e-9)
    first = best[: int(np.argmax(np.append(np.diff(best), 2) > 1)) + 1]  # neighbours
    return round(float(floors[first].mean()), 3)
