"""Photometric distortion as InterFormer trains with it: brightness, contrast, saturation and hue, each by chance.

The steps and their ranges are those of mmsegmentation's pipeline (after Liu et al., "SSD", 2016).
"""

from __future__ import annotations

import cv2
import numpy as np

BRIGHTNESS, CONTRAST, SATURATION, HUE = 32, (0.5, 1.5), (0.5, 1.5), 18
"""Greys up or down; factors; degrees of half a turn, as OpenCV counts hue."""


def distorted(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(Y, X, 3) uint8 -> the same scene otherwise, a new array. Each of the four changes has a chance of one half.

    Contrast comes before the colours or after them.
    """
    out = rgb
    if rng.random() < 0.5:
        out = _linear(out, beta=rng.uniform(-BRIGHTNESS, BRIGHTNESS))
    contrast = rng.uniform(*CONTRAST) if rng.random() < 0.5 else 1.0
    first = rng.random() < 0.5
    if first:
        out = _linear(out, alpha=contrast)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(out, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = _linear(hsv[..., 1], alpha=rng.uniform(*SATURATION))
        out = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if rng.random() < 0.5:
        hsv = cv2.cvtColor(out, cv2.COLOR_RGB2HSV)
        turned = hsv[..., 0].astype(np.int32) + int(rng.integers(-HUE, HUE))
        hsv[..., 0] = turned % 180
        out = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return _linear(out, alpha=1.0 if first else contrast)


def _linear(values: np.ndarray, *, alpha: float = 1.0, beta: float = 0.0) -> np.ndarray:
    return np.clip(values.astype(np.float32) * alpha + beta, 0, 255).astype(np.uint8)
