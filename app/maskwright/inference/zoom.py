"""Where to look closer at a small object, and how its prompts lie there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np

from maskwright.core.features import CropBox
from maskwright.core.prompts import Box, Point, Prompt, Prompts, Scribble

Extent = tuple[float, float, float, float]
"""(y0, x0, y1, x1), half-open, pixels of the slice."""


@dataclass(frozen=True, slots=True)
class ZoomPolicy:
    """When to look closer, and when to believe what is seen there.

    Attributes
    ----------
    expand
        Side of the crop relative to the long side of the object and its prompts.
    doubt
        How much of that is added where the predicted IoU of what is known is 0 (and in between in proportion): a mask
        that is half wrong says little about where the object ends.
    least_score
        Predicted IoU below which a mask says too little to look anywhere; a box always says enough.
    least_gain, most_gain
        How many times larger than in the full view the crop is shown: below the first it is not worth an encode, the
        second bounds how small a crop can be.
    least_side_px
        Smallest side of a crop, in pixels of the slice.
    rim
        An object that comes nearer to the edge of the crop than this share of its side gets a new crop.
    shrink
        So does one that needs less than this share of its side.
    speck
        Parts of a mask smaller than this share of it, and without a prompt, do not count as the object.
    least_overlap
        IoU of both answers below which the crop's is believed only where its score says so.
    slack
        How much lower the crop's predicted IoU may be than the full view's.
    clear_gain
        How much higher it must be where the two do not overlap and the answer before was the full view's.
    trust
        Whether a crop that was believed answers the next click alone, as long as nothing looks wrong in it: one head
        run instead of two.
    """

    expand: float = 1.5
    doubt: float = 1.0
    least_score: float = 0.5
    least_gain: float = 1.2
    most_gain: float = 8.0
    least_side_px: int = 48
    rim: float = 0.06
    shrink: float = 0.5
    speck: float = 0.05
    least_overlap: float = 0.6
    slack: float = 0.0
    clear_gain: float = 0.1
    trust: bool = True


def policy_of_card(extra: Mapping[str, Any]) -> ZoomPolicy | None:
    """Policy of a model, from the entry ``zoom`` of its card: false for none, or what differs from the usual policy."""
    said = extra.get("zoom", True)
    if not isinstance(said, Mapping):
        return ZoomPolicy() if said else None
    usual = {one.name: one.default for one in fields(ZoomPolicy)}
    values: dict[str, Any] = {name: type(usual[name])(value) for name, value in said.items() if name in usual}
    return ZoomPolicy(**values)


def plan_zoom(
    mask: np.ndarray,
    prompts: Prompts,
    shape_yx: tuple[int, int],
    *,
    policy: ZoomPolicy,
    score: float = 1.0,
    current: CropBox | None = None,
) -> CropBox | None:
    """Part of the slice to look at more closely, None where the full view is close enough.

    ``mask`` (Y, X) bool is what is known of the object, ``score`` its predicted IoU. ``current`` is kept as long as the
    object sits well in it.
    """
    extent = _extent(mask, prompts, policy)
    known = prompts.box is not None
    if extent is None or not (known or score >= policy.least_score):
        return None
    y0, x0, y1, x1 = extent
    expand = policy.expand if known else policy.expand + policy.doubt * (1 - min(max(score, 0.0), 1.0))
    side = max(max(y1 - y0, x1 - x0) * expand, policy.least_side_px, max(shape_yx) / policy.most_gain)
    if current is not None and _inside(extent, current, shape_yx, policy.rim):
        small = side < policy.shrink * max(current[2] - current[0], current[3] - current[1])
        if not small:
            return current
    if max(shape_yx) / side < policy.least_gain:
        return None
    (top, bottom), (left, right) = (
        _placed(low, high, side, size) for low, high, size in ((y0, y1, shape_yx[0]), (x0, x1, shape_yx[1]))
    )
    return top, left, bottom, right


def misses(mask: np.ndarray, prompts: Prompts) -> int:
    """How many clicks a (Y, X) mask contradicts."""
    h, w = mask.shape
    count = 0
    for p in prompts:
        if isinstance(p, Point):
            row, column = min(max(round(p.y), 0), h - 1), min(max(round(p.x), 0), w - 1)
            count += bool(mask[row, column]) != p.positive
    return count


def size(box: CropBox) -> tuple[int, int]:
    """(Y, X) size of a crop."""
    return box[2] - box[0], box[3] - box[1]


def pasted(mask: np.ndarray, part: np.ndarray, box: CropBox) -> np.ndarray:
    """A copy of a (Y, X) mask with a crop's mask in its place."""
    out = mask.copy()
    out[box[0] : box[2], box[1] : box[3]] = part
    return out


def prompts_in(prompts: Prompts, box: CropBox) -> Prompts:
    """Prompts in the pixels of a crop; clicks and strokes outside are left out, the newest box is cut to it."""
    return Prompts(tuple(_moved(prompts, box)))


def _moved(prompts: Prompts, box: CropBox) -> Iterator[Prompt]:
    y0, x0, y1, x1 = box
    for p in prompts:
        if isinstance(p, Point):
            if within(p, box):
                yield Point(p.x - x0, p.y - y0, positive=p.positive)
        elif isinstance(p, Scribble):
            keep = (p.xy >= (x0 - 0.5, y0 - 0.5)).all(1) & (p.xy < (x1 - 0.5, y1 - 0.5)).all(1)
            if keep.any():
                yield Scribble(p.xy[keep] - np.array([x0, y0], np.float32), positive=p.positive)
        elif isinstance(p, Box):
            xs = [min(max(x, x0), x1) - x0 for x in (p.x0, p.x1)]
            ys = [min(max(y, y0), y1) - y0 for y in (p.y0, p.y1)]
            yield Box(xs[0], ys[0], xs[1], ys[1])
        else:
            yield p


def _extent(mask: np.ndarray, prompts: Prompts, policy: ZoomPolicy) -> Extent | None:
    """Half-open (y0, x0, y1, x1) round the object as far as it is known; None where nothing says how large it is."""
    spans: list[Extent] = []
    if prompts.box is not None:
        b = prompts.box
        spans.append((b.y0, b.x0, b.y1, b.x1))
    places = [p for p in prompts if isinstance(p, Point | Scribble) and p.positive]
    if prompts.box is None:
        if not places:
            return None
        spans += _parts(mask, places, policy.speck)
        if not spans:
            return None
    for p in places:
        xy = np.array([[p.x, p.y]]) if isinstance(p, Point) else p.xy
        (xa, ya), (xb, yb) = xy.min(0).tolist(), xy.max(0).tolist()
        spans.append((ya, xa, yb + 1, xb + 1))
    lows, highs = np.array(spans)[:, :2].min(0), np.array(spans)[:, 2:].max(0)
    y0, x0 = np.maximum(lows, 0).tolist()
    y1, x1 = np.minimum(highs, mask.shape).tolist()
    return None if y1 <= y0 or x1 <= x0 else (y0, x0, y1, x1)


def _parts(mask: np.ndarray, places: list[Point | Scribble], speck: float) -> list[Extent]:
    """Boxes of the parts of a mask that count as the object."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count < 2:
        return []
    clicked: set[int] = set()
    for p in places:
        xy = np.array([[p.x, p.y]]) if isinstance(p, Point) else p.xy
        columns, rows = np.rint(xy).astype(int).T
        clicked |= set(labels[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)].tolist())
    least = speck * stats[1:, cv2.CC_STAT_AREA].sum()
    spans: list[Extent] = []
    for i in range(1, count):
        x, y, w, h, area = (int(v) for v in stats[i])
        if area >= least or i in clicked:
            spans.append((y, x, y + h, x + w))
    return spans


def _inside(extent: Extent, box: CropBox, shape_yx: tuple[int, int], rim: float) -> bool:
    """Whether an extent lies in a crop, away from its edges unless they are those of the slice."""
    margin = rim * max(size(box))
    lows = all(e >= b + (margin if b > 0 else 0) for e, b in zip(extent[:2], box[:2], strict=True))
    highs = all(e <= b - (margin if b < n else 0) for e, b, n in zip(extent[2:], box[2:], shape_yx, strict=True))
    return lows and highs


def _placed(low: float, high: float, side: float, n: int) -> tuple[int, int]:
    """Whole pixels of a stretch of length ``side`` round the middle of (low, high), moved and cut to 0..n."""
    length = min(n, max(1, round(side)))
    start = min(max(round((low + high) / 2 - length / 2), 0), n - length)
    return start, start + length


def within(prompt: Prompt, box: CropBox) -> bool:
    """Whether a click, or any of a stroke, lies in a crop."""
    if isinstance(prompt, Point):
        return box[1] - 0.5 <= prompt.x < box[3] - 0.5 and box[0] - 0.5 <= prompt.y < box[2] - 0.5
    if isinstance(prompt, Scribble):
        return any(within(Point(x, y), box) for x, y in prompt.xy.tolist())
    return True
