"""The number-of-clicks protocol: one object to measure, where a click or a stroke goes, when a curve has arrived.

Source: Sofiiuk et al., "Reviving Iterative Training with Mask Guidance" (RITM), 2021, as InterFormer uses it;
the random points are those of IMIS-Net's test script (CVPR 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

SIZE_CLASSES = (("<1 %", 0.01), ("1-5 %", 0.05), ("5-20 %", 0.20), (">20 %", 1.0))
"""Name of a class of object sizes -> share of the image that its objects stay below."""

CLOSE = 1e-5
"""Depths that differ by less than this share are told apart by the transform of the whole image: its last digit depends
on where a pixel lies in the array, and the protocol goes by it. All other depths come from the box round the error,
which takes a tenth of the time."""

SLABS = 9
"""Pieces along its longest axis that an object is cut into to draw a stroke through its middle."""

CENTRAL_SHARE = 0.5
"""IMIS-Net's first point is one of this share of the object's pixels, those nearest to its centroid."""


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationItem:
    """One object. ``image()`` reads (Y, X) or (Y, X, 3) RGB, ``mask()`` reads (Y, X) uint8: 255 object, 128 ignore.

    Items of the same image follow each other and share ``image_name``; ``text`` is the label, empty where unknown;
    ``modality`` is what the set was taken with, or ``photo``.
    """

    image_name: str
    mask_name: str
    image: Callable[[], np.ndarray]
    mask: Callable[[], np.ndarray]
    text: str = ""
    modality: str = "photo"


def deepest_error(
    prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray, free: np.ndarray
) -> tuple[int, int, bool] | None:
    """Next click of the protocol: (x, y, positive), or None where nothing is wrong.

    The point of the missed or the surplus region that is farthest from its border (and from the frame of the image);
    the deeper of the two decides the sign, surplus on a tie. ``free`` (Y, X) float32 is 0 where a click was already.
    """
    missed, surplus = truth & ~prediction & valid, ~truth & prediction & valid
    part_m, part_s = _tight(missed), _tight(surplus)
    deep_m, deep_s = _depth(missed[part_m], free[part_m]), _depth(surplus[part_s], free[part_s])
    most_m, most_s = float(deep_m.max(initial=0)), float(deep_s.max(initial=0))
    most = max(most_m, most_s)
    if most == 0:
        return None
    if abs(most_m - most_s) < CLOSE * most:
        most_m, most_s = float(_depth(missed, free).max()), float(_depth(surplus, free).max())
    positive = most_m > most_s
    error, part, deep = (missed, part_m, deep_m) if positive else (surplus, part_s, deep_s)
    if np.count_nonzero(deep > deep.max() * (1 - CLOSE)) > 1:
        part, deep = (slice(0, None), slice(0, None)), _depth(error, free)
    y, x = np.unravel_index(int(deep.argmax()), deep.shape)
    return int(x) + part[1].start, int(y) + part[0].start, positive


def _tight(error: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the box round the error; what lies beyond is at least as far from it as the box's rim."""
    ys, xs = np.flatnonzero(error.any(1)), np.flatnonzero(error.any(0))
    if ys.size == 0:
        return slice(0, 0), slice(0, 0)
    return slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)


def _depth(error: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Distance to the border of the error, (Y, X) float32, which the frame of the array belongs to."""
    if error.size == 0:
        return np.zeros(error.shape, np.float32)
    padded = np.pad(error.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] * free


def random_error(
    prediction: np.ndarray, truth: np.ndarray, valid: np.ndarray, rng: np.random.Generator
) -> tuple[int, int, bool] | None:
    """Next click of IMIS-Net's protocol: any wrong pixel, as (x, y, positive); None where nothing is wrong."""
    at = np.flatnonzero((prediction ^ truth) & valid)
    if at.size == 0:
        return None
    y, x = np.unravel_index(int(rng.choice(at)), truth.shape)
    return int(x), int(y), bool(truth[y, x])


def central_point(truth: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """First point of IMIS-Net's protocol, (x, y): any of the half of the object's pixels nearest to its centroid."""
    ys, xs = np.nonzero(truth)
    squared = (ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2
    near = np.argsort(squared, kind="stable")[: max(1, int(len(ys) * CENTRAL_SHARE))]
    k = int(rng.choice(near))
    return int(xs[k]), int(ys[k])


def middle_stroke(truth: np.ndarray) -> np.ndarray:
    """A stroke down the middle of the largest part of the (Y, X) bool ``truth``: vertices (N, 2) float32, x before y.

    The deepest pixel of each of :data:`SLABS` pieces along the longest axis but the first and the last, from the
    deepest one on as long as the way to the next stays inside. N is 1 for what is too small or too curved.
    """
    _, parts, stats, _ = cv2.connectedComponentsWithStats(truth.astype(np.uint8))
    part = parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    ys, xs = np.nonzero(part)
    xy = np.stack([xs, ys], 1)
    _, _, axes = np.linalg.svd(xy[:: max(1, len(xy) // 10_000)] - xy.mean(0), full_matrices=False)
    along = (xy - xy.mean(0)) @ axes[0]
    slab = np.minimum(((along - along.min()) / max(np.ptp(along), 1.0) * SLABS).astype(int), SLABS - 1)
    depth = _depth(part, np.ones(part.shape, np.float32))[ys, xs]
    inner = [np.flatnonzero(slab == k) for k in range(1, SLABS - 1)]
    places = [int(own[depth[own].argmax()]) for own in inner if own.size] or [int(depth.argmax())]
    first = int(depth[places].argmax())
    stroke = [xy[places[first]]]
    for place in places[first + 1 :]:
        if not _is_inside(part, stroke[-1], xy[place]):
            break
        stroke.append(xy[place])
    for place in reversed(places[:first]):
        if not _is_inside(part, stroke[0], xy[place]):
            break
        stroke.insert(0, xy[place])
    return np.array(stroke, np.float32)


def _is_inside(part: np.ndarray, start: np.ndarray, end: np.ndarray) -> bool:
    steps = int(np.abs(end - start).max()) + 1
    x, y = np.linspace(start, end, steps).round().astype(int).T
    return bool(part[y, x].all())


def size_class(share: float) -> str:
    """Name of the class of an object that takes ``share`` (0..1) of its image."""
    return next((name for name, below in SIZE_CLASSES if share < below), SIZE_CLASSES[-1][0])


def clicks_to_reach(curves: np.ndarray, threshold: float) -> np.ndarray:
    """(objects, clicks) IoU curves -> (objects,) 1-based click that first reaches ``threshold``, else the last."""
    reached = curves >= threshold
    return np.where(reached.any(1), reached.argmax(1) + 1, curves.shape[1])


def largest_drop(curve: np.ndarray, *, clicks: int = 10) -> tuple[float, int]:
    """How far a mean curve (clicks,) falls below its best so far within ``clicks``, and at which 1-based click.

    (0, 0) where it never falls.
    """
    head = np.asarray(curve, np.float64)[:clicks]
    falls = np.maximum.accumulate(head) - head
    k = int(falls.argmax())
    return float(falls[k]), k + 1 if falls[k] > 0 else 0
