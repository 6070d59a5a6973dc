"""Views of a training image: the whole of it, then by turns crops around objects and nearly the whole of it again.

All but the first are changed in intensity, some are mirrored.

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
from maskwright_models.data.index import Dataset, read_map
from maskwright_models.data.intensity import augment

ROUNDS = 8
"""Most views an image can have; round 0 is the whole image as it is."""
VIEWS_VERSION = 2
"""Part of what stored features are signed with: to be raised when the same round shows something else."""
LEAST_SHOWN = 0.75
"""Smallest share of an image's sides in the views that show nearly all of it."""


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


def view_rng(dataset: Dataset, number: int, round_: int) -> np.random.Generator:
    """Random numbers of one view, the same in every run."""
    return np.random.default_rng([zlib.crc32(dataset.name.encode()), number, round_])


def crop_of(dataset: Dataset, number: int, round_: int, shape_yx: tuple[int, int]) -> Crop:
    """The crop of view ``round_`` of image ``number``: round 0 is all of it, odd ones lie around one of its objects.

    Sides of these are 1.2 to 3 times the object's, at least a fifth of the image's, with the object anywhere in it.
    Rounds 2, 4 and 6 show three quarters of its sides or more, 2 and 6 mirrored.
    """
    h, w = shape_yx
    if round_ == 0:
        return Crop(0, 0, h, w, mirrored=False)
    rng = view_rng(dataset, number, round_)
    if round_ % 2 == 0:
        share = rng.uniform(LEAST_SHOWN, 1.0)
        ch, cw = round(share * h), round(share * w)
        y0, x0 = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
        return Crop(y0, x0, y0 + ch, x0 + cw, mirrored=round_ % 4 == 2)
    maps = dataset.images[number].maps
    index = read_map(maps[int(rng.integers(len(maps)))])
    counts = np.bincount(index.reshape(-1))
    counts[0] = 0
    ids = np.flatnonzero(counts >= 0.0005 * h * w)
    spans = [(0, h), (0, w)]
    if len(ids):
        found = index == int(rng.choice(ids))
        spans = [(int(along[0]), int(along[-1]) + 1) for along in (np.flatnonzero(found.any(axis)) for axis in (1, 0))]
    zoom = rng.uniform(1.2, 3.0)
    side = max(zoom * max(b - a for a, b in spans), 0.2 * max(h, w), 48)
    corners = []
    for (a, b), n in zip(spans, (h, w), strict=True):
        length = min(n, round(side))
        low, high = max(0, b - length), min(a, n - length)
        corners.append((int(rng.integers(min(low, high), max(low, high) + 1)), length))
    (y0, ch), (x0, cw) = corners
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


def place_of(dataset: Dataset, number: int, round_: int, size: int) -> tuple[Crop, SliceTransform]:
    """The crop of one view and its letterbox, from the index map's size alone."""
    shape = read_map(dataset.images[number].maps[0]).shape
    crop = crop_of(dataset, number, round_, (shape[0], shape[1]))
    return crop, SliceTransform((crop.y1 - crop.y0, crop.x1 - crop.x0), size)


def input_of(dataset: Dataset, number: int, round_: int, size: int) -> tuple[np.ndarray, Crop, SliceTransform]:
    """The (size, size, 3) uint8 model input of one view, its crop and its letterbox.

    Views after round 0 differ in intensity as well, as scanners and cameras do.
    """
    rgb = read_rgb(dataset.images[number].image)
    crop = crop_of(dataset, number, round_, rgb.shape[:2])
    part = crop.apply(rgb)
    if round_:
        part = augment(part, dataset.modality, np.random.default_rng([1, view_index(dataset, number, round_)]))
    transform = SliceTransform((part.shape[0], part.shape[1]), size)
    return transform.image_to_input(part), crop, transform
