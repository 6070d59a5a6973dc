"""Keeps an answer as it was where the newest click did not ask for a change.

The idea is the progressive merge of FocalClick (Chen et al., 2022): a correction is meant for what touches it. There a
change elsewhere is dropped; here the earlier answer is only weighed against the new one, so that a head that is sure
may still change it.
"""

from __future__ import annotations

import cv2
import numpy as np

NEAR_CELLS = 6
"""Cells of the logits within this distance of the newest click count as touched by it."""
SURE = 12.0
"""Logits are taken to be no larger than this before two answers are weighed against each other."""


def steadied(logits: np.ndarray, before: np.ndarray, at_xy: np.ndarray, *, kept: float) -> np.ndarray:
    """``logits`` where what changed touches the newest click, elsewhere weighed with those ``before``.

    ``logits`` and ``before`` (h, w) float32, ``at_xy`` (N, 2) the cells (column, row) of the newest click or stroke,
    ``kept`` the weight of the earlier answer elsewhere, 0..1. Returns (h, w) float32.
    """
    touched = ((logits > 0) != (before > 0)).astype(np.uint8)
    centres = np.clip(np.floor(at_xy), 0, np.array(logits.shape[::-1]) - 1).astype(int)
    for column, row in centres.tolist():
        cv2.circle(touched, (column, row), NEAR_CELLS, 1, -1)
    count, parts = cv2.connectedComponents(touched)
    chosen = np.zeros(count, bool)
    chosen[parts[centres[:, 1], centres[:, 0]]] = True
    new, old = (np.clip(a, -SURE, SURE) for a in (logits, before))
    return np.where(chosen[parts], logits, (1 - kept) * new + kept * old).astype(np.float32, copy=False)
