"""Where the model is unsure of its answer: a pool of cheap head runs, how far they disagree, and the click that helps.

The idea is that of DAUGS (Yalcinkaya et al., 2024): members of a pool agree where they know and differ where they do
not. Here the members are runs of one head: clicks moved by a few pixels, with and without the mask to go on from, and
the candidates of each run that scored nearly as well as its best.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.core.metrics import iou
from maskwright.core.preprocess import SliceTransform
from maskwright.core.prompts import Box, Point, Prompt, Prompts, Scribble

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """What the pool is made of and what counts as doubt.

    Attributes
    ----------
    jitter_px
        How far clicks and edges of boxes are moved, in pixels of the model input.
    close
        Candidates within this much of the best predicted IoU of their run are members too.
    levels
        Shares of the pool that contradict the answer, for which the depth of the doubtful regions is added up.
    least_depth
        Depth, in cells of the logits and summed over the levels, below which no click is proposed.
    """

    jitter_px: float = 5.0
    close: float = 0.3
    levels: tuple[float, ...] = (0.2, 0.35, 0.5)
    least_depth: float = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """How far the pool disagrees.

    ``map`` (Y, X) float32 at the size of the slice, 0 where all members agree, 1 where half of them say object and half
    background; ``score`` 0..1 for the mask as a whole, higher for worse masks; ``next_click`` (x, y, positive) in slice
    pixels where a click would help most, None where nothing is in doubt.
    """

    map: np.ndarray
    score: float
    next_click: tuple[float, float, bool] | None


Candidates = Callable[[Prompts, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
"""One head run on the view: prompts, logits to go on from -> logits (K, h, w) and scores (K,)."""


class Asked:
    """A value that is computed when it is first asked for, and kept. Safe from any thread."""

    def __init__(self, compute: Callable[[], Uncertainty]) -> None:
        self._compute: Callable[[], Uncertainty] | None = compute
        self._value: Uncertainty | None = None
        self._lock = threading.Lock()

    def __call__(self) -> Uncertainty:
        """The value."""
        with self._lock:
            if self._value is None:
                assert self._compute is not None
                self._value, self._compute = self._compute(), None  # lets go of the features too
            return self._value


def doubt(
    run: Candidates,
    prompts: Prompts,
    logits: np.ndarray,
    score: float,
    *,
    frame: SliceTransform,
    policy: PoolPolicy,
) -> Uncertainty:
    """Uncertainty of one answer on one view: ``logits`` (h, w), its predicted IoU, and the prompts that led to it.

    At most three head runs.
    """
    members = [(logits, 1.0)]
    for varied, start in _passes(prompts, logits, frame, policy):
        candidates, scores = run(varied, start)
        best = float(scores.max())
        members += [
            (one, 1.0 - (best - float(s)) / policy.close)
            for one, s in zip(candidates, scores, strict=True)
            if best - float(s) < policy.close
        ]
    weights = np.array([w for _, w in members], np.float32)
    weights /= weights.sum()
    shares = np.stack([_probability(one) for one, _ in members])
    mean = np.tensordot(weights, shares, 1)
    spread = np.sqrt(np.maximum(np.tensordot(weights, shares**2, 1) - mean**2, 0))
    answer = logits > 0
    overlap = min(iou(one > 0, answer) for one, _ in members)
    votes = np.tensordot(weights, np.stack([(one > 0) != answer for one, _ in members]).astype(np.float32), 1)
    click = _deepest(votes, answer, prompts, frame, policy)
    return Uncertainty(
        np.clip(2 * frame.logits_to_slice(spread.astype(np.float32)), 0, 1),
        float(np.clip(1 - (score + overlap) / 2, 0, 1)),
        click,
    )


def _passes(
    prompts: Prompts, logits: np.ndarray, frame: SliceTransform, policy: PoolPolicy
) -> Iterator[tuple[Prompts, np.ndarray | None]]:
    mask = frame.logits_to_slice(logits) > 0
    moved = [_moved(prompts, mask, policy.jitter_px / frame.scale, turn) for turn in (0, 1)]
    yield moved[0], None
    yield moved[1], logits
    if moved[0] != prompts:
        yield prompts, None


def _moved(prompts: Prompts, mask: np.ndarray, far: float, turn: int) -> Prompts:
    """Prompts moved by ``far`` pixels of the slice, each in another direction, the same ones every time.

    A click that would then contradict the mask stays where it is.
    """
    out: list[Prompt] = []
    h, w = mask.shape
    for i, p in enumerate(prompts):
        angle = GOLDEN_ANGLE * (2 * i + 1) + math.pi * turn
        dx, dy = far * math.cos(angle), far * math.sin(angle)
        if isinstance(p, Point):
            x, y = min(max(p.x + dx, 0.0), w - 1.0), min(max(p.y + dy, 0.0), h - 1.0)
            fits = bool(mask[round(y), round(x)]) == p.positive
            out.append(Point(x, y, positive=p.positive) if fits else p)
        elif isinstance(p, Box):
            grow = far / 2 * (1 if turn else -1)
            x0, y0, x1, y1 = p.x0 - grow, p.y0 - grow, p.x1 + grow, p.y1 + grow
            out.append(Box(x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else p)
        elif isinstance(p, Scribble):
            out.append(Scribble(p.xy + np.array([dx / 2, dy / 2], np.float32), positive=p.positive))
        else:
            out.append(p)
    return Prompts(tuple(out))


def _deepest(
    wrong: np.ndarray, answer: np.ndarray, prompts: Prompts, frame: SliceTransform, policy: PoolPolicy
) -> tuple[float, float, bool] | None:
    """Place where the pool contradicts the answer most deeply; places that were clicked are left out."""
    inner = tuple(-(-n * low // frame.size) for n, low in zip(frame.inner_yx, wrong.shape, strict=True))
    depth = np.zeros(wrong.shape, np.float32)
    for level in policy.levels:
        for side in (answer, ~answer):
            region = np.zeros((inner[0] + 2, inner[1] + 2), np.uint8)
            region[1:-1, 1:-1] = ((wrong >= level) & side)[: inner[0], : inner[1]]
            if region.any():
                depth[: inner[0], : inner[1]] += cv2.distanceTransform(region, cv2.DIST_L2, 3)[1:-1, 1:-1]
    cells = np.array(wrong.shape[::-1]) / frame.size
    clicks = [(p.x, p.y) for p in prompts if isinstance(p, Point)]
    for x, y in ((frame.points_to_input(np.array(clicks)) + 0.5) * cells).astype(int) if clicks else ():
        depth[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = 0
    row, column = (int(v) for v in np.unravel_index(int(depth.argmax()), depth.shape))
    if depth[row, column] < policy.least_depth:
        return None
    ratio = np.array(frame.inner_yx[::-1]) / np.array(frame.shape_yx[::-1])
    x, y = ((np.array([column, row]) + 0.5) / cells / ratio - 0.5).tolist()
    h, w = frame.shape_yx
    return min(max(x, 0.0), w - 1.0), min(max(y, 0.0), h - 1.0), not bool(answer[row, column])


def _probability(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
