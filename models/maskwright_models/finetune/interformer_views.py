"""What InterFormer is trained on: one object in a crop of an image that was scaled, mirrored and distorted.

Source: the training configuration of InterFormer (ICCV 2023): scale 0.5 to 2, mirror one half, padding with black
before normalising, a crop in which no object takes more than three quarters, one object of all that it shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.core.preprocess import normalised
from maskwright_models.data.index import ImageEntry
from maskwright_models.data.views import read_rgb
from maskwright_models.finetune.distortion import distorted
from maskwright_models.finetune.pictures import raw_map

IGNORED = 255
SCALES = (0.5, 2.0)
MOST_OF_ONE = 0.75
CROP_TRIES = 10


@dataclass(frozen=True, slots=True, eq=False)
class ObjectView:
    """``image`` (3, S, S) float32 normalised; ``truth`` (S, S) uint8: 1 object, 0 not, 255 ignored."""

    image: np.ndarray
    truth: np.ndarray


def object_view(entry: ImageEntry, rng: np.random.Generator, *, size: int) -> ObjectView | None:
    """A crop of ``size`` pixels with one object; None where the crop shows none. Raises ScanError for damaged files."""
    rgb = read_rgb(entry.image)
    index = raw_map(entry.maps[int(rng.integers(len(entry.maps)))])
    scale = rng.uniform(*SCALES)
    width, height = (max(1, int(n * scale + 0.5)) for n in (rgb.shape[1], rgb.shape[0]))
    rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)
    index = nearest(index, (height, width))
    if rng.random() < 0.5:
        rgb, index = rgb[:, ::-1], index[:, ::-1]
    below, right = max(0, size - height), max(0, size - width)
    rgb = np.pad(rgb, ((0, below), (0, right), (0, 0)))
    index = np.pad(index, ((0, below), (0, right)))
    y, x = _corner(index, size, rng)
    index = index[y : y + size, x : x + size]
    shown = np.unique(index[index > 0])
    if not len(shown):
        return None
    part = distorted(np.ascontiguousarray(rgb[y : y + size, x : x + size]), rng)
    truth = np.where(index == rng.choice(shown), np.uint8(1), np.uint8(0))
    truth[index < 0] = IGNORED
    return ObjectView(normalised(part, (size, size))[0], truth)


def nearest(index: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """An index map at another size: every new pixel takes the number at its centre."""
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape_yx, index.shape, strict=True))
    return index[rows[:, None], columns]


def _corner(index: np.ndarray, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a crop that more than one number shares fairly, the last of ten tries where none is."""
    y = x = 0
    for _ in range(CROP_TRIES):
        y, x = (int(rng.integers(n - size + 1)) for n in index.shape)
        part = index[y : y + size, x : x + size]
        _, counts = np.unique(part[part >= 0], return_counts=True)
        if len(counts) > 1 and counts.max() / counts.sum() < MOST_OF_ONE:
            break
    return y, x
