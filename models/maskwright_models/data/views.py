"""Views of a training image: the whole image first, then zoomed crops, some mirrored, each with features of its own.

A view is fixed by (set, image, round) alone, so that features computed once stay valid however training runs.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.preprocess import SliceTransform
from maskwright_models.data.index import Dataset

ROUNDS = 8
"""Most views an image can have; round 0 is the whole image as it is."""


@dataclass(frozen=True, slots=True)
class Crop:
    """Half-open pixel rectangle of the image, then an optional left-right mirror."""

    y0: int
    x0: int
    y1: int
    x1: int
    mirrored: bool

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Cut (and mirror) an image or an index map, (Y, X[, C])."""
        part = image[self.y0 : self.y1, self.x0 : self.x1]
        return np.ascontiguousarray(part[:, ::-1] if self.mirrored else part)


def crop_of(dataset: Dataset, number: int, round_: int, shape_yx: tuple[int, int]) -> Crop:
    """The crop of view ``round_`` of image ``number``: side 35 to 85 % of the image, anywhere in it."""
    h, w = shape_yx
    if round_ == 0:
        return Crop(0, 0, h, w, mirrored=False)
    rng = np.random.default_rng([zlib.crc32(dataset.name.encode()), number, round_])
    side = rng.uniform(0.35, 0.85)
    ch, cw = max(32, round(h * side)), max(32, round(w * side))
    ch, cw = min(ch, h), min(cw, w)
    y0, x0 = int(rng.integers(0, h - ch + 1)), int(rng.integers(0, w - cw + 1))
    return Crop(y0, x0, y0 + ch, x0 + cw, mirrored=bool(rng.random() < 0.5))


def read_rgb(path: Path) -> np.ndarray:
    """(Y, X, 3) uint8 RGB of an image file. Raises ScanError where it cannot be decoded."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ScanError("not a readable image", path=path, hint="Replace the file or take it out of the set.")
    return np.ascontiguousarray(image[..., ::-1])


def view_index(dataset: Dataset, number: int, round_: int) -> int:
    """Index of a view along axis 0 of the set's feature store."""
    return round_ * len(dataset.images) + number


def input_of(dataset: Dataset, number: int, round_: int, size: int) -> tuple[np.ndarray, Crop, SliceTransform]:
    """The (size, size, 3) uint8 model input of one view, its crop and its letterbox."""
    rgb = read_rgb(dataset.images[number].image)
    crop = crop_of(dataset, number, round_, rgb.shape[:2])
    part = crop.apply(rgb)
    transform = SliceTransform((part.shape[0], part.shape[1]), size)
    return transform.image_to_input(part), crop, transform
