"""Simulated users: first clicks, corrections where the model errs, boxes, strokes, and masks to start from.

Masks here are square maps at stride 2 of the encoder input; prompts are in encoder-input pixels with SAM's codes.
Sources: RITM (Sofiiuk et al., 2021) for iterative clicks, IMIS-Net (CVPR 2025) for mixed first prompts.
"""

from __future__ import annotations

import cv2
import numpy as np

STRIDE = 2
PAD, BACKGROUND, FOREGROUND, CORNER0, CORNER1 = -1.0, 0.0, 1.0, 2.0, 3.0


def depth(region: np.ndarray) -> np.ndarray:
    """Euclidean distance to the border of a (h, w) bool region, whose outside includes the frame of the map."""
    padded = np.pad(region.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def to_input(xy: np.ndarray) -> np.ndarray:
    """Map pixels -> encoder-input pixels, centres on integers."""
    return (np.asarray(xy, np.float32) + 0.5) * STRIDE - 0.5


def pick(distance: np.ndarray, rng: np.random.Generator, *, looseness: float) -> tuple[int, int]:
    """A pixel (x, y) of the region; ``looseness`` 0 takes the deepest one, 1 any at all."""
    if looseness <= 0:
        y, x = np.unravel_index(int(distance.argmax()), distance.shape)
        return int(x), int(y)
    ys, xs = np.nonzero(distance > distance.max() * (1 - looseness))
    k = int(rng.integers(len(ys)))
    return int(xs[k]), int(ys[k])


class SimulatedUser:
    """Prompts for one object. ``truth`` and ``valid`` are (h, w) bool maps."""

    def __init__(self, truth: np.ndarray, valid: np.ndarray, rng: np.random.Generator) -> None:
        self.truth = truth
        self.valid = valid
        self.rng = rng
        self.coords: list[tuple[float, float]] = []
        self.labels: list[float] = []

    def _add(self, xy: np.ndarray, label: float) -> None:
        x, y = to_input(xy)
        self.coords.append((float(x), float(y)))
        self.labels.append(label)

    def start(self) -> None:
        """First prompt: mostly a click (deepest or random), sometimes a box (tight or loose) or a stroke."""
        kind = self.rng.random()
        if kind < 0.18:
            self._box()
        elif kind < 0.24:
            self._stroke(self.truth, FOREGROUND)
        else:
            looseness = 0.0 if self.rng.random() < 0.5 else float(self.rng.uniform(0.2, 1.0))
            self._add(np.array(pick(depth(self.truth), self.rng, looseness=looseness)), FOREGROUND)

    def correct(self, prediction: np.ndarray) -> None:
        """Next click: in the deeper of the missed and the surplus region of (h, w) bool ``prediction``."""
        missed = depth(self.truth & ~prediction & self.valid)
        extra = depth(~self.truth & prediction & self.valid)
        positive = bool(missed.max() > extra.max())
        distance = missed if positive else extra
        if distance.max() == 0:
            if not self.truth.any():  # a text that names nothing here: nothing is right
                return
            positive, distance = True, depth(self.truth)
        if self.rng.random() < 0.06:
            self._stroke(distance > 0, FOREGROUND if positive else BACKGROUND)
            return
        looseness = 0.0 if self.rng.random() < 0.6 else 0.5
        self._add(np.array(pick(distance, self.rng, looseness=looseness)), FOREGROUND if positive else BACKGROUND)

    def _box(self) -> None:
        ys, xs = np.nonzero(self.truth)
        x0, y0, x1, y1 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
        spread = self.rng.choice([0.0, 0.04, 0.12])
        jitter = self.rng.uniform(-0.5, 1.0, 4) * spread * np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
        self._add(np.array([x0 - jitter[0] - 0.5, y0 - jitter[1] - 0.5]), CORNER0)
        self._add(np.array([x1 + jitter[2] - 0.5, y1 + jitter[3] - 0.5]), CORNER1)

    def _stroke(self, region: np.ndarray, label: float) -> None:
        ys, xs = np.nonzero(region)
        ends = self.rng.integers(len(ys), size=2)
        along = np.linspace(0, 1, int(self.rng.integers(3, 8)))
        for t in along:
            x = xs[ends[0]] * (1 - t) + xs[ends[1]] * t
            y = ys[ends[0]] * (1 - t) + ys[ends[1]] * t
            if region[int(round(y)), int(round(x))]:
                self._add(np.array([x, y]), label)

    def poor_mask(self) -> np.ndarray:
        """A mask near the truth, (h, w) bool: grown, shrunk, shifted, or with a part cut off."""
        mask = self.truth.astype(np.uint8)
        size = max(1, int(np.sqrt(mask.sum()) * self.rng.uniform(0.03, 0.2)))
        kind = self.rng.integers(4)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * size + 1, 2 * size + 1))
        if kind == 0:
            mask = cv2.dilate(mask, kernel)
        elif kind == 1:
            mask = cv2.erode(mask, kernel)
        elif kind == 2:
            dx, dy = (int(v) for v in self.rng.integers(-2 * size, 2 * size + 1, 2))
            move = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
            mask = cv2.warpAffine(mask, move, mask.shape[::-1], flags=cv2.INTER_NEAREST)
        else:
            ys, xs = np.nonzero(mask)
            k = int(self.rng.integers(len(ys)))
            cv2.circle(mask, (int(xs[k]), int(ys[k])), 3 * size, 0, -1)
        return mask.astype(bool)


def batch_prompts(users: list[SimulatedUser]) -> tuple[np.ndarray, np.ndarray]:
    """Prompts of all users, padded to one length: coords (B, N, 2) float32, labels (B, N) float32."""
    most = max(1, *(len(u.labels) for u in users))
    coords = np.zeros((len(users), most, 2), np.float32)
    labels = np.full((len(users), most), PAD, np.float32)
    for i, user in enumerate(users):
        if user.labels:
            coords[i, : len(user.labels)] = user.coords
            labels[i, : len(user.labels)] = user.labels
    return coords, labels
