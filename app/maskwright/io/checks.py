"""Refusals that all readers share: too large to hold, no value in a voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maskwright.core.errors import ScanError

MAX_PIXELS = 16_384 * 16_384
"""Largest picture that is opened: 268 million pixels, 0.8 GB in colour."""

MAX_VOXELS = 2**31
"""Largest volume that is opened: 1024 x 1024 x 2048 voxels, 4 GB in 16 bits."""

COPY_AGAIN = "Copy it again from where it came from."


def refuse_large(shape: tuple[int, ...], *, path: Path) -> None:
    """Raise ScanError, before anything is allocated, if a header announces more than can be held.

    `shape` is ``(slices, rows, columns)``.
    """
    slices, rows, columns = (int(n) for n in shape)
    if rows * columns > MAX_PIXELS:
        raise ScanError(
            f"the picture is too large: {columns:,} x {rows:,} pixels, the limit is {MAX_PIXELS // 10**6} million",
            path=path,
            hint="Crop it or scale it down, and open the smaller copy.",
        )
    if slices * rows * columns > MAX_VOXELS:
        raise ScanError(
            f"the volume is too large: {columns:,} x {rows:,} x {slices:,} voxels, "
            f"the limit is {MAX_VOXELS // 10**6:,} million",
            path=path,
            hint="Crop it or resample it, and open the smaller copy.",
        )


def refuse_missing_values(voxels: np.ndarray, *, path: Path) -> None:
    """Raise ScanError if voxels are NaN or infinite: no window, model or export has an answer for them.

    They are counted, not replaced: whether they stand for background or for damage is the user's to say.
    """
    if voxels.dtype.kind == "f":
        missing = sum(int(slice_yx.size - np.count_nonzero(np.isfinite(slice_yx))) for slice_yx in voxels)
        refuse_missing(missing, voxels.size, path=path)


def refuse_missing(missing: int, total: int, *, path: Path) -> None:
    """Raise ScanError if `missing` of `total` voxels have no value."""
    if missing:
        raise ScanError(
            f"{missing:,} of {total:,} voxels have no value (NaN or infinite)",
            path=path,
            hint="Replace them with a number (0 where they are background) and open the file again.",
        )
