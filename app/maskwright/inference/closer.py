"""A closer look at a small object: the same head on a crop round it, and one answer from both views.

The idea is the zoom-in of RITM (Sofiiuk et al., 2021) and FocalClick (Chen et al., 2022); what differs is that the full
view is asked too and the crop's answer has to hold its own against it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from maskwright.core.features import CropBox, Features
from maskwright.core.metrics import iou
from maskwright.core.preprocess import SliceTransform
from maskwright.core.prompts import Prompts
from maskwright.inference.segmentation import Segmentation, Zoomed
from maskwright.inference.zoom import ZoomPolicy, misses, pasted, plan_zoom, prompts_in, size, within

KEPT_CROPS = 8
"""Crops of one slice whose features are kept: more than objects are worked on at once."""


class CropEncoder:
    """Features of crops of one slice, encoded when they are asked for; the last few are kept. Safe from any thread."""

    def __init__(self, encode: Callable[[CropBox], Features], *, kept: int = KEPT_CROPS) -> None:
        self._encode = encode
        self._kept = kept
        self._lock = threading.Lock()
        self._known: OrderedDict[CropBox, Features] = OrderedDict()

    def __call__(self, box: CropBox) -> Features:
        """Features of a crop. Raises ModelError where the encoder cannot run."""
        with self._lock:
            found = self._known.get(box)
            if found is None:
                found = self._known[box] = self._encode(box)
            self._known.move_to_end(box)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
            return found


Look = Callable[[Features, Prompts, np.ndarray | None], Segmentation]
"""One head run on one view: its features, prompts in its pixels, logits to go on from."""


def look_closer(
    look: Look,
    features: Features,
    prompts: Prompts,
    previous: Segmentation | None,
    *,
    frame: Callable[[tuple[int, int]], SliceTransform],
    policy: ZoomPolicy,
) -> Segmentation:
    """Answer from the full view and, for a small object, from a crop round it as well.

    ``frame`` gives the transform of a slice of a size. Head runs: one where there is nothing to look closer at, or
    where a crop that was believed before still is; else one for each view. The crop's features are asked of
    ``features.crops``: where that gives none, the answer is the full view's and says which crop it wants.
    """
    before = None if previous is None else previous.zoom
    views = _Views(look, features, prompts, previous, frame, policy)
    again = None if before is None or before.logits is None else views.again(before)
    if again is not None and previous is not None and views.trusted(again, before):
        return views.merged(previous, again)
    full = look(features, prompts, None if previous is None else previous.logits)
    found = again or views.closer(full, None if before is None else before.box)
    if found is None:
        return full
    if found.answer is None:
        return replace(full, zoom=Zoomed(found.box))
    merged = views.merged(full, found)
    goes_on = before is not None and before.used
    if _believed(full, found.answer, merged.mask, prompts, found.box, policy, goes_on=goes_on):
        return merged
    return replace(full, zoom=Zoomed(found.box, found.answer.logits, found.answer.score, used=False))


@dataclass(frozen=True, slots=True, eq=False)
class _Crop:
    """A crop and what the head says there, None without its features."""

    box: CropBox
    answer: Segmentation | None


@dataclass(frozen=True, slots=True, eq=False)
class _Views:
    """The two views of one call."""

    look: Look
    features: Features
    prompts: Prompts
    previous: Segmentation | None
    frame: Callable[[tuple[int, int]], SliceTransform]
    policy: ZoomPolicy

    def again(self, before: Zoomed) -> _Crop | None:
        """The head's answer on the crop of the last call, None where that no longer fits.

        It goes on from the answer that was given: where the crop was not believed, from the full view's.
        """
        if before.logits is None or self.previous is None:
            return None
        crop = self._on(before.box, before.logits if before.used else self._start(self.previous, before.box))
        fits = crop.answer is not None and self._plan(crop, np.zeros(self.features.shape_yx, bool)) == before.box
        return crop if fits else None

    def trusted(self, again: _Crop, before: Zoomed | None) -> bool:
        """Whether that answer needs no second opinion of the full view."""
        answer, newest = again.answer, self.prompts.items[-1:]
        if not self.policy.trust or answer is None or before is None or not before.used:
            return False
        sure = answer.score >= before.score - self.policy.slack and all(within(p, again.box) for p in newest)
        return sure and not misses(answer.mask, prompts_in(self.prompts, again.box))

    def closer(self, full: Segmentation, current: CropBox | None) -> _Crop | None:
        """The head's answer on a crop round what the full view shows, None where that is close enough."""
        shape = self.features.shape_yx
        box = plan_zoom(full.mask, self.prompts, shape, policy=self.policy, score=full.score, current=current)
        if box is None:
            return None
        source = full if self.previous is None else self.previous
        crop = self._on(box, self._start(source, box))
        wider = self._plan(crop, full.mask)  # the crop may show that the object goes on outside
        if wider is None or wider == box:
            return crop
        return self._on(wider, self._start(source, wider))

    def merged(self, outside: Segmentation, crop: _Crop) -> Segmentation:
        """The crop's answer inside, another one's outside."""
        answer, box = crop.answer, crop.box
        assert answer is not None
        logits = merged_logits(
            outside.logits, answer.logits, box, full=self.frame(self.features.shape_yx), crop=self.frame(size(box))
        )
        zoom = Zoomed(box, answer.logits, answer.score, used=True)
        return Segmentation(pasted(outside.mask, answer.mask, box), logits, answer.score, label=answer.label, zoom=zoom)

    def _on(self, box: CropBox, start: np.ndarray) -> _Crop:
        part = None if self.features.crops is None else self.features.crops(box)
        return _Crop(box, None if part is None else self.look(part, prompts_in(self.prompts, box), start))

    def _start(self, source: Segmentation, box: CropBox) -> np.ndarray:
        return crop_logits(source.logits, box, full=self.frame(self.features.shape_yx), crop=self.frame(size(box)))

    def _plan(self, crop: _Crop, mask: np.ndarray) -> CropBox | None:
        """Where to look, given what a crop shows beside a mask."""
        if crop.answer is None:
            return crop.box
        both = mask | pasted(np.zeros(mask.shape, bool), crop.answer.mask, crop.box)
        score = crop.answer.score
        return plan_zoom(both, self.prompts, mask.shape, policy=self.policy, score=score, current=crop.box)


def _believed(
    full: Segmentation,
    closer: Segmentation,
    merged: np.ndarray,
    prompts: Prompts,
    box: CropBox,
    policy: ZoomPolicy,
    *,
    goes_on: bool,
) -> bool:
    """Whether the crop's answer counts; ``goes_on`` where a crop's was the answer before, which makes it the usual."""
    if misses(merged, prompts) > misses(full.mask, prompts) or not closer.mask.any():
        return False
    y0, x0, y1, x1 = box
    before = full.mask[y0:y1, x0:x1]
    usual = goes_on or iou(closer.mask, before) >= policy.least_overlap
    need = full.score - policy.slack if usual else full.score + policy.clear_gain
    return closer.score >= need


def crop_logits(logits: np.ndarray, box: CropBox, *, full: SliceTransform, crop: SliceTransform) -> np.ndarray:
    """Logits over the full view -> logits of the same shape over a crop (bilinear)."""
    return _resampled(logits, _between(crop, full, logits.shape, box[:2], to_crop=False), logits.shape)


def merged_logits(
    logits: np.ndarray, closer: np.ndarray, box: CropBox, *, full: SliceTransform, crop: SliceTransform
) -> np.ndarray:
    """A copy of the full view's logits with a crop's, made coarser, in their place."""
    matrix = _between(full, crop, logits.shape, box[:2], to_crop=True)
    steps = [2 * (round(float(matrix[axis, axis])) // 2) + 1 for axis in (0, 1)]  # odd: an even filter moves by half
    smooth = closer if steps == [1, 1] else cv2.blur(closer, (steps[0], steps[1]), borderType=cv2.BORDER_REPLICATE)
    return np.where(_cells_in(full, logits.shape, box), _resampled(smooth, matrix, logits.shape), logits)


def _cells_in(view: SliceTransform, shape_hw: tuple[int, ...], box: CropBox) -> np.ndarray:
    """Which cells of a logit grid over a view have their centre in a crop, (h, w) bool."""
    rows, columns = (
        (np.arange(n) + 0.5) / (inner / full * n / view.size)
        for n, inner, full in zip(shape_hw, view.inner_yx, view.shape_yx, strict=True)
    )
    return ((rows >= box[0]) & (rows < box[2]))[:, None] & ((columns >= box[1]) & (columns < box[3]))


def _between(
    target: SliceTransform,
    source: SliceTransform,
    shape_hw: tuple[int, ...],
    corner_yx: tuple[int, int],
    *,
    to_crop: bool,
) -> np.ndarray:
    """2 x 3 matrix from the logit cells of one view to the other's; one is a crop with this corner."""
    matrix = np.zeros((2, 3))
    for axis, yx in ((0, 1), (1, 0)):
        n = shape_hw[yx]
        of, to = (v.inner_yx[yx] / v.shape_yx[yx] * n / v.size for v in (target, source))
        corner = -corner_yx[yx] if to_crop else corner_yx[yx]
        matrix[axis, axis] = to / of
        matrix[axis, 2] = (0.5 / of + corner) * to - 0.5
    return matrix


def _resampled(logits: np.ndarray, matrix: np.ndarray, shape_hw: tuple[int, ...]) -> np.ndarray:
    return cv2.warpAffine(
        np.ascontiguousarray(logits, np.float32),
        matrix,
        (shape_hw[1], shape_hw[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
