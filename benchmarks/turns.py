"""Two pieces of work in turns, so that a ratio is of two times under the same load; and the clicks they answer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from maskwright.assets import sample_photo
from maskwright.core.prompts import Box, Point, Prompts

SIDE = 1024
"""Side of the photo in pixels."""

CLICKS = ((500.0, 400.0, True), (440.0, 560.0, True), (80.0, 80.0, False))
"""(x, y, positive) of the clicks on the photo; the last one is measured."""

PAUSE_S = 0.01
"""Rest before each piece of work, as between clicks of a user: threads that still wait awake would slow the next."""


def photo() -> np.ndarray:
    """The bundled photo, (1024, 1024, 3) uint8 RGB."""
    image = cv2.imdecode(np.fromfile(sample_photo(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.resize(np.ascontiguousarray(image[..., ::-1]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def click_of(segmenter: Any, features: Any) -> Callable[[], object]:
    """The third click of an object, or the box of a model that takes boxes alone."""
    clicks = tuple(Point(x, y, positive=positive) for x, y, positive in CLICKS)
    items = clicks if "point" in segmenter.card.prompts else (Box(200, 200, 800, 800),)
    previous = None
    for count in range(1, len(items)):
        previous = segmenter.segment(features, Prompts(items[:count]), previous=previous)
    return lambda: segmenter.segment(features, Prompts(items), previous=previous)


def in_turns(
    first: Callable[[], object], second: Callable[[], object], *, seconds: float, most: int
) -> tuple[float, float]:
    """Median milliseconds of each of two pieces of work that take turns, at least twice."""
    first()
    second()
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while len(times[0]) < most and (len(times[0]) < 2 or time.perf_counter() < end):
        for work, taken in zip((first, second), times, strict=True):
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            work()
            taken.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[0]), statistics.median(times[1])
