"""Clicks on one image with the torch model, as the official evaluation and demo run them, zoom-in included."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright.core.preprocess import normalised
from maskwright_models.zoo.interformer import InterFormer
from maskwright_models.zoo.interformer_map import UNKNOWN, resized_logits, with_clicks, with_prediction
from maskwright_models.zoo.interformer_neck import Roi

STEP = 32
"""Sides of the network input, and edges of a region, are multiples of this, in pixels."""
CLICKS_BEFORE_ZOOM = 2
EXPANSION = 1.4


def prepared(rgb: np.ndarray) -> Tensor:
    """(Y, X, 3) uint8 RGB -> (1, 3, H, W) float32, normalised, then padded with zeros to multiples of 32."""
    h, w = rgb.shape[:2]
    x = torch.from_numpy(normalised(rgb, (h, w)))
    return F.pad(x, (0, -w % STEP, 0, -h % STEP))


def zoom_region(mask: np.ndarray, *, expansion: float = EXPANSION, least: int = STEP) -> Roi:
    """Region around what is set in (H, W) bool ``mask``, H and W multiples of 32; all of it where nothing is set.

    The bounding box is widened about its centre and its edges go out to multiples of 32.
    """
    h, w = mask.shape
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(ys):
        return 0, 0, w, h
    edges = []
    for first, last, n in ((xs[0], xs[-1], w), (ys[0], ys[-1], h)):
        centre, half = (first + last + 1) / 2, max((last + 1 - first) * expansion, least) / 2
        low = int(max(0.0, centre - half) // STEP) * STEP
        high = -int(-min(float(n), centre + half) // STEP) * STEP
        edges.append((low, high))
    (left, right), (upper, lower) = edges
    return left, upper, right, lower


class Interaction:
    """One object on one image, (Y, X, 3) uint8 RGB at its own size."""

    def __init__(self, model: InterFormer, rgb: np.ndarray, *, zoom_in: bool = False) -> None:
        self.model = model.eval()
        self.shape_yx = (rgb.shape[0], rgb.shape[1])
        self.zoom_in = zoom_in
        self.clicks = 0
        with torch.inference_mode():
            image = prepared(rgb)
            self.features = model.backbone(image)
        self.states = torch.full((1, 1, *image.shape[-2:]), UNKNOWN)
        self._predicted = torch.zeros(self.states.shape, dtype=torch.bool)

    def region(self) -> Roi | None:
        """Where the next prediction is refined; None is everywhere."""
        if not self.zoom_in or self.clicks <= CLICKS_BEFORE_ZOOM:
            return None
        definite = (self.states == 0) | (self.states == 4)
        return zoom_region((self._predicted | definite)[0, 0].numpy())

    def click(self, x: int, y: int, *, positive: bool) -> np.ndarray:
        """Mask (Y, X) bool after one more click on pixel (x, y)."""
        with torch.inference_mode():
            at, label = torch.tensor([[[x, y]]]).float(), torch.tensor([[float(positive)]])
            self.states = with_clicks(self.states, at, label, radius=self.model.config.radius)
            self.clicks += 1
            both = resized_logits(self.model.logits(self.features, self.states, self.region()))
            self._predicted = both[:, 1:] > both[:, :1]
            self.states = with_prediction(self.states, self._predicted)
        h, w = self.shape_yx
        return self._predicted[0, 0, :h, :w].numpy()
