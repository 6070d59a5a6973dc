"""What grey a value is shown in: level and width, presets by modality, and the table to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from maskwright.core.volume import Volume

_SAMPLE = 200_000  # voxels looked at for percentiles: enough for the tails, a few milliseconds
_TAILS_PERCENT = (0.5, 99.5)
_USED_GREYS = 0.25


@dataclass(frozen=True, slots=True)
class Window:
    """The values between black and white: `width` of them around `level`, in voxel units.

    Raises
    ------
    ValueError
        If the width is not positive or a number is not finite.
    """

    level: float
    width: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.level) and np.isfinite(self.width) and self.width > 0):
            raise ValueError(f"a window needs a finite level and a positive width: {self.level}, {self.width}")

    @property
    def low(self) -> float:
        """The value that is shown black; everything below is black too."""
        return self.level - self.width / 2

    @property
    def high(self) -> float:
        """The value that is shown white; everything above is white too."""
        return self.level + self.width / 2

    @classmethod
    def between(cls, low: float, high: float) -> Window:
        """Window from the black to the white value; a width of 1 where they coincide."""
        return cls((low + high) / 2, high - low if high > low else 1.0)


AS_STORED = Window.between(0, 255)
"""Shows 8-bit pixels exactly as they are."""

PRESETS: Mapping[str, Mapping[str, Window]] = MappingProxyType(
    {
        "ct": MappingProxyType(
            {
                "Abdomen": Window(50, 400),
                "Liver": Window(60, 160),
                "Mediastinum": Window(50, 350),
                "Lung": Window(-600, 1500),
                "Bone": Window(400, 1800),
                "Brain": Window(40, 80),
                "Subdural": Window(75, 215),
                "Stroke": Window(40, 40),
                "Vessels": Window(300, 600),
            }
        ),
    }
)
"""Named windows by modality, in display order; CT in Hounsfield units. Other modalities have no absolute scale."""


def default_window(volume: Volume) -> Window:
    """Return the window to show a volume with at first.

    In this order: colour and 8-bit photos as they are; the window that the file asks for, if the values use at least a
    quarter of its greys (headers are not always cared for); for CT the abdomen preset, on the same condition; else the
    0.5th to 99.5th percentile.
    """
    voxels = volume.voxels
    if volume.is_rgb or (volume.is_photo and voxels.dtype == np.uint8):
        return AS_STORED
    low, high = percentile_range(voxels)
    wanted = [Window(*volume.header_window)] if volume.header_window and volume.header_window[1] >= 1 else []
    if volume.modality == "ct":
        wanted.append(PRESETS["ct"]["Abdomen"])
    useful = (w for w in wanted if min(high, w.high) - max(low, w.low) >= _USED_GREYS * w.width)
    return next(useful, Window.between(low, high))


def percentile_range(voxels: np.ndarray) -> tuple[float, float]:
    """Return the 0.5th and 99.5th percentile of an evenly spread sample of the voxels."""
    step = max(1, round((voxels.size / _SAMPLE) ** (1 / 3)))
    steps = [min(step, max(1, n // 8)) for n in voxels.shape]
    low, high = np.percentile(voxels[tuple(slice(s // 2, None, s) for s in steps)], _TAILS_PERCENT)
    return float(low), float(high)


def to_uint8(slice_yx: np.ndarray, window: Window) -> np.ndarray:
    """Map values to 0 (at or below `window.low`) ... 255 (at or above `window.high`), linearly, rounded half up.

    Parameters
    ----------
    slice_yx
        ``(Y, X)`` or ``(Y, X, 3)`` of any integer or float dtype. 8- and 16-bit integers go through a table
        of 256 or 65,536 entries. NaN is black.
    window
        In the units of the slice.

    Returns
    -------
    uint8, same shape.
    """
    dtype = slice_yx.dtype
    if dtype == np.uint8 and window == AS_STORED:
        return slice_yx
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        codes = slice_yx.view(np.dtype(f"{dtype.byteorder}u{dtype.itemsize}"))
        return _table(window, dtype.newbyteorder("=").str)[codes]
    return _levels(slice_yx.astype(np.float32 if dtype.itemsize <= 4 else np.float64, copy=False), window)


@lru_cache(maxsize=16)
def _table(window: Window, dtype: str) -> np.ndarray:
    """Grey of every value of an 8- or 16-bit integer type, in the order of its bit pattern read as unsigned."""
    bits = np.dtype(dtype).itemsize
    table = _levels(np.arange(256**bits, dtype=f"u{bits}").view(dtype).astype(np.float64), window)
    table.flags.writeable = False
    return table


def _levels(values: np.ndarray, window: Window) -> np.ndarray:
    number = values.dtype.type
    scaled = (values - number(window.low)) * number(255)
    scaled /= number(window.width)
    scaled += number(0.5)
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)
