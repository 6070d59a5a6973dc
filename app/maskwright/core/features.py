"""Features: what the encoder made of one slice, all that a later click needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

CropBox = tuple[int, int, int, int]
"""(y0, x0, y1, x1), half-open, pixels of the slice."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Encoder output of one slice view.

    ``arrays`` hold a leading batch axis of 1, in the order, shapes and dtypes of the model card;
    ``shape_yx`` is the size of the slice they came from, in pixels. ``crops`` gives the features of a part of the
    slice for a closer look, or None where there are none yet; it is never stored, so features that were read from a
    store have none until somebody adds it.
    """

    arrays: tuple[np.ndarray, ...]
    shape_yx: tuple[int, int]
    crops: Callable[[CropBox], Features | None] | None = field(default=None, repr=False)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for a in self.arrays)

    def with_crops(self, crops: Callable[[CropBox], Features | None] | None) -> Features:
        """The same features with other means for a closer look."""
        return replace(self, crops=crops)
