"""Encode one view, and one click (head, upsampling to a 1024 x 1024 mask), without the window."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.unit import median_ms
from maskwright.assets import sample_photo
from maskwright.core.prompts import Point, Prompts
from maskwright.inference import load_segmenter

SIDE = 1024


def measure(*, model: str = "default", threads: int = 2, repeat: int = 15) -> dict[str, float]:
    """Medians in milliseconds on the bundled photo at 1024 x 1024."""
    image = cv2.imdecode(np.fromfile(sample_photo(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    image = cv2.resize(np.ascontiguousarray(image[..., ::-1]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    segmenter = load_segmenter(model, threads=threads, zoom=False)  # as the window answers a click: from one view
    features = segmenter.encode(image)
    clicks = [Point(x, y, positive=p) for x, y, p in ((500, 400, True), (440, 560, True), (80, 80, False))]
    prompts = Prompts()
    previous = None
    for click in clicks:
        prompts = prompts.add(click)
        previous = segmenter.segment(features, prompts, previous=previous)
    assert previous is not None and previous.mask.shape == (SIDE, SIDE)
    return {
        "encode_ms": round(median_ms(lambda: segmenter.encode(image), repeat=7), 1),
        "click_ms": round(
            median_ms(lambda: segmenter.segment(features, prompts, previous=previous), repeat=4 * repeat, warm_up=5), 2
        ),
        "features_bytes": float(features.nbytes),
    }
