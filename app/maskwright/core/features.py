"""Features: what the encoder made of one slice, all that a later click needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Encoder output of one slice view.

    ``arrays`` hold a leading batch axis of 1, in the order, shapes and dtypes of the model card;
    ``shape_yx`` is the size of the slice they came from, in pixels.
    """

    arrays: tuple[np.ndarray, ...]
    shape_yx: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for a in self.arrays)
