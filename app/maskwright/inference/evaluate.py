"""Runs the number-of-clicks protocol of :mod:`maskwright.core.protocol` with a segmenter."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.features import Features
from maskwright.core.metrics import dice_of_iou, iou
from maskwright.core.prompts import Box, Point, Prompts, Text
from maskwright.core.protocol import EvaluationItem, clicks_to_reach, deepest_error
from maskwright.inference.segmenter import Segmenter

THRESHOLDS = (0.80, 0.85, 0.90)
PROMPTS = ("click", "box", "text")
ENOUGH_CLICKS = 5
"""A curve that has reached the last threshold is followed to this click, and then taken as level."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Curves (objects, clicks) of IoU with the mask file names, and the timings in milliseconds."""

    folder: str
    model: str
    prompt: str
    names: tuple[str, ...]
    curves: np.ndarray
    encode_ms: tuple[float, ...]
    click_ms: tuple[float, ...]

    def summary(self) -> dict[str, Any]:
        """The figures of the protocol, rounded as papers do."""
        clicks = self.curves.shape[1]
        at = {k: self.curves[:, k - 1] for k in (1, 2, 3, 5) if k <= clicks}
        return {
            "folder": self.folder,
            "model": self.model,
            "prompt": self.prompt,
            "objects": len(self.curves),
            "images": len(self.encode_ms),
            **{f"noc@{_percent(t)}": round(float(np.mean(clicks_to_reach(self.curves, t))), 3) for t in THRESHOLDS},
            **{f"nof@{_percent(t)}": int((self.curves.max(1) < t).sum()) for t in THRESHOLDS},
            **{f"iou@{k}": round(float(v.mean()), 4) for k, v in at.items()},
            **{f"dice@{k}": round(float(np.mean(dice_of_iou(v))), 4) for k, v in at.items() if k != 2},
            "encode_ms_median": round(statistics.median(self.encode_ms), 1),
            "click_ms_median": round(statistics.median(self.click_ms), 2),
            "click_ms_p95": round(float(np.percentile(self.click_ms, 95)), 2),
        }


def evaluate(
    items: Sequence[EvaluationItem],
    *,
    segmenter: Segmenter,
    name: str,
    prompt: str = "click",
    clicks: int = 20,
    on_object: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run the protocol over ``items`` of the set ``name``. ``on_object(done, total)`` reports progress.

    Raises ScanError where nothing is to be measured.
    """
    if prompt not in PROMPTS:
        raise ValueError(f"prompt is one of {PROMPTS}, not {prompt!r}")
    names: list[str] = []
    curves: list[list[float]] = []
    encode_ms: list[float] = []
    click_ms: list[float] = []
    last: tuple[str, Features] | None = None
    for done, item in enumerate(items):
        if last is None or last[0] != item.image_name:
            image = item.image()
            start = time.perf_counter()
            last = item.image_name, segmenter.encode(image)
            encode_ms.append(1e3 * (time.perf_counter() - start))
        raw = item.mask()
        if (raw == 255).any() and (prompt != "text" or item.text):
            first = _first_prompt(prompt, raw == 255, item.text)
            curve = _curve(segmenter, last[1], raw, first=first, clicks=clicks, click_ms=click_ms)
            names.append(item.mask_name)
            curves.append(curve + [curve[-1]] * (clicks - len(curve)))
        if on_object is not None:
            on_object(done + 1, len(items))
    if not curves:
        what = "no object with a label" if prompt == "text" else "no object to measure"
        raise ScanError(what, path=name, hint="Masks are PNG files with 255 where the object is.")
    model = segmenter.card.id
    return Evaluation(name, model, prompt, tuple(names), np.array(curves), tuple(encode_ms), tuple(click_ms))


def _curve(
    segmenter: Segmenter, features: Features, raw: np.ndarray, *, first: Prompts, clicks: int, click_ms: list[float]
) -> list[float]:
    truth, valid = raw == 255, raw != 128
    prediction, free = np.zeros_like(truth), np.ones(truth.shape, np.float32)
    prompts, previous, curve = first, None, []
    for k in range(clicks):
        if k or not first:
            click = deepest_error(prediction, truth, valid, free)
            if click is None:
                break
            x, y, positive = click
            free[y, x] = 0
            prompts = prompts.add(Point(float(x), float(y), positive=positive))
        start = time.perf_counter()
        previous = segmenter.segment(features, prompts, previous=previous)
        click_ms.append(1e3 * (time.perf_counter() - start))
        prediction = np.asarray(previous.mask, bool)
        curve.append(iou(prediction, truth, valid))
        if curve[-1] >= THRESHOLDS[-1] and len(curve) >= ENOUGH_CLICKS:
            break
    return curve


def _first_prompt(kind: str, truth: np.ndarray, text: str) -> Prompts:
    if kind == "box":
        ys, xs = np.nonzero(truth)
        return Prompts().add(Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)))
    return Prompts().add(Text(text)) if kind == "text" else Prompts()


def _percent(threshold: float) -> int:
    return int(threshold * 100)
