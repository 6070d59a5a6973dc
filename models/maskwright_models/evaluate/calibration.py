"""Fits a monotone map of two parameters from predicted to real IoU, to be folded into a head's last linear layer.

Source: Platt, "Probabilistic Outputs for Support Vector Machines", 1999, fitted to a real overlap by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwright.core.errors import ModelError
from maskwright.core.metrics import calibration_error, reliability

EDGE = 1e-4
"""Scores are kept this far from 0 and 1, so that their logit is finite."""
LEAST_PAIRS = 20
SCALES = (0.05, 20.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The map ``sigmoid(scale * logit(score) + shift)``, ``scale`` > 0; the calibration error without and with it.

    One map for all candidates of a head: which of them has the best score does not change.
    """

    scale: float
    shift: float
    ece_before: float
    ece_after: float

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated scores, float64 of the same shape."""
        return _sigmoid(self.scale * logit(scores) + self.shift)


def logit(scores: np.ndarray) -> np.ndarray:
    """What a sigmoid made ``scores`` (0..1) of, float64."""
    kept = np.clip(np.asarray(scores, np.float64), EDGE, 1 - EDGE)
    return np.log(kept / (1 - kept))


def fit_calibration(scores: np.ndarray, real: np.ndarray) -> Calibration:
    """Fit to (N,) predicted and (N,) real IoU, so that the mean squared difference is least.

    Fit on objects that are not those the calibration error is reported on. The order of the scores is kept. Where no
    map is better than none (scale 1, shift 0), that is the answer. Raises ModelError where there are too few pairs.
    """
    from scipy.optimize import least_squares

    scores, real = np.asarray(scores, np.float64), np.asarray(real, np.float64)
    if scores.shape != real.shape or scores.ndim != 1:
        raise ValueError(f"scores and real are (N,) both, not {scores.shape} and {real.shape}")
    if len(scores) < LEAST_PAIRS:
        raise ModelError(
            f"{len(scores)} answers are too few to calibrate on",
            hint=f"Evaluate until there are {LEAST_PAIRS} or more.",
        )
    x = logit(scores)

    def residuals(p: np.ndarray) -> np.ndarray:
        return _sigmoid(np.exp(p[0]) * x + p[1]) - real

    def slopes(p: np.ndarray) -> np.ndarray:
        at = _sigmoid(np.exp(p[0]) * x + p[1])
        return (at * (1 - at))[:, None] * np.stack([np.exp(p[0]) * x, np.ones_like(x)], 1)

    low, high = np.log(SCALES)
    # Starts on both sides of "as it is": where nearly all real values are 0 or 1 the surface is flat far out.
    starts = [(0.0, 0.0), (-1.0, 0.0), (1.0, 0.0)]
    fits = [least_squares(residuals, s, jac=slopes, bounds=([low, -20.0], [high, 20.0])) for s in starts]  # pyright: ignore[reportArgumentType]
    best = min(fits, key=lambda fit: fit.cost)
    scale, shift = float(np.exp(best.x[0])), float(best.x[1])
    if best.cost >= 0.5 * float(np.sum((scores - real) ** 2)):
        scale, shift = 1.0, 0.0
    before = calibration_error(reliability(scores, real))
    after = calibration_error(reliability(_sigmoid(scale * x + shift), real))
    return Calibration(scale, shift, before, after)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
