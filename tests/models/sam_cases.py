"""Small variants of the SAM families and the prompts that the reference outputs in `tests/data` were made with.

The references come from the official classes (segment-anything 1.0, MobileSAM, SAM-Med2D, SAM 2.1) with the weights of
:func:`tests.models.weights.named_weights`, on :func:`image`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskwright_models.zoo import sam, sam2
from maskwright_models.zoo.hiera import HieraConfig
from maskwright_models.zoo.sam import SamConfig
from maskwright_models.zoo.sam2 import Sam2Config
from maskwright_models.zoo.sam_vit import SamViTConfig
from maskwright_models.zoo.tiny_vit import TinyViTConfig

SMALL_VIT = SamViTConfig(width=48, depth=3, heads=3, global_blocks=(1,), size=128, window=3, out=32)
SMALL_MED2D = SamViTConfig(width=48, depth=3, heads=3, global_blocks=(1,), size=64, window=3, out=32, adapters=True)
# The official TinyViT has 64 x 64 features and a neck of 256 channels written into its code.
SMALL_TINY = TinyViTConfig(widths=(16, 24, 32, 320), depths=(1, 1, 1, 1), heads=(2, 2, 2, 4), labels=10)
SMALL_HIERA = HieraConfig(
    width=16, stages=(1, 2, 2, 1), global_blocks=(4,), windows=(8, 4, 6, 3), positions=3, size=128, out=32
)

SMALL = {
    "sam": SamConfig(SMALL_VIT, heads=4, hidden=64),
    "mobile_sam": SamConfig(SMALL_TINY, heads=8, hidden=64),
    "sam_med2d": SamConfig(SMALL_MED2D, masks="alternatives", fit="stretch-nearest", heads=4, hidden=64),
    "sam2": Sam2Config(SMALL_HIERA),
}

CASES: dict[str, list[tuple[float, float, float]]] = {
    "point": [(0.4, 0.6, 1)],
    "points": [(0.4, 0.6, 1), (0.1, 0.2, 0), (0.8, 0.7, 1)],
    "box": [(0.2, 0.25, 2), (0.7, 0.8, 3)],
    "box and point": [(0.2, 0.25, 2), (0.7, 0.8, 3), (0.5, 0.55, 1)],
    "point and mask": [(0.4, 0.6, 1)],
}
"""Points as (x, y, code), x and y in parts of the input's side; the last case goes on with :func:`mask`."""


def image(size: int) -> np.ndarray:
    """Normalised image, (1, 3, size, size) float32."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    rows = [np.sin(9 * x + 4 * y), np.cos(7 * y - 3 * x), np.sin(20 * x * y)]
    return np.stack(rows)[None].astype(np.float32)


def mask(side: int) -> np.ndarray:
    """Logits to go on from, (1, 1, side, side) float32."""
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    return (8 * (0.3 - np.hypot(x - 0.45, y - 0.6)))[None, None].astype(np.float32)


def add_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the small variants known to the families, as ``small``."""
    tables = {"sam": sam.SAM, "mobile_sam": sam.MOBILE_SAM, "sam_med2d": sam.SAM_MED2D, "sam2": sam2.SAM2}
    for name, table in tables.items():
        monkeypatch.setitem(table, "small", SMALL[name])
    medsam = replace(sam.MEDSAM["vit_b"], encoder=SMALL_VIT, heads=4, hidden=64)
    monkeypatch.setitem(sam.MEDSAM, "small", medsam)
