"""A scan or photo in memory: voxels on a grid, and the slices that are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskwright.core.geometry import Geometry


@dataclass(frozen=True, slots=True, order=True)
class View:
    """One slice of a volume: the array axis it is cut along (0 = z, the acquired slices) and where."""

    axis: int
    index: int


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Voxels with their grid; never changed after it was read.

    Parameters
    ----------
    voxels
        ``(z, y, x)`` of an integer or float dtype, or ``(z, y, x, 3)`` uint8 RGB. Kept as a read-only view, not copied.
        CT is in Hounsfield units; other modalities in the units of their file.
    geometry
        The grid, in LPS mm. Its shape is that of the voxels.
    modality
        ``photo``, ``ct``, ``mr``, ``xray``, ``ultrasound``, ``pet``, ... or ``""`` when the file does not say.
    source
        The file or folder it was read from.
    header_window
        ``(level, width)`` that the file itself asks to be shown with, in voxel units, or ``None``.

    Raises
    ------
    ValueError
        If the voxels have another shape than the geometry or a dtype that is not numeric.
    """

    voxels: np.ndarray
    geometry: Geometry
    modality: str
    source: Path
    header_window: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        voxels = self.voxels
        rgb = voxels.ndim == 4 and voxels.shape[3] == 3 and voxels.dtype == np.uint8
        grey = voxels.ndim == 3 and voxels.dtype.kind in "iuf"
        if not (rgb or grey):
            raise ValueError(f"voxels must be (z, y, x) numbers or (z, y, x, 3) uint8: {voxels.shape} {voxels.dtype}")
        if voxels.shape[:3] != self.geometry.shape_zyx:
            raise ValueError(f"voxels {voxels.shape} do not fit the geometry {self.geometry.shape_zyx}")
        frozen = voxels.view()
        frozen.flags.writeable = False
        object.__setattr__(self, "voxels", frozen)

    @property
    def is_rgb(self) -> bool:
        """Whether a voxel is a colour."""
        return self.voxels.ndim == 4

    @property
    def is_photo(self) -> bool:
        """Whether this is a single picture without millimetres, rather than a scan."""
        return self.modality == "photo"

    def n_slices(self, axis: int = 0) -> int:
        """How many slices there are along array axis 0 (z), 1 (y) or 2 (x)."""
        return self.geometry.shape_zyx[_checked(axis)]

    def slice_shape(self, axis: int = 0) -> tuple[int, int]:
        """Rows and columns of the slices along an array axis."""
        rows_columns = [n for i, n in enumerate(self.geometry.shape_zyx) if i != _checked(axis)]
        return rows_columns[0], rows_columns[1]

    def slice_at(self, axis: int, index: int) -> np.ndarray:
        """Pixels of one slice, as a read-only view of the voxels.

        Returns
        -------
        ``(Y, X)``, or ``(Y, X, 3)`` for RGB. Axis 0 gives (y, x), axis 1 gives (z, x), axis 2 gives (z, y).

        Raises
        ------
        ValueError
            If there is no such slice. Negative indices do not count from the end.
        """
        if not 0 <= index < self.n_slices(axis):
            raise ValueError(f"slice {index} of axis {axis} is outside 0..{self.n_slices(axis) - 1}")
        return self.voxels[(slice(None),) * axis + (index,)]

    def middle(self) -> View:
        """The slice to show first: half way along z."""
        return View(0, self.n_slices() // 2)


def _checked(axis: int) -> int:
    if axis not in (0, 1, 2):
        raise ValueError(f"axis must be 0, 1 or 2, not {axis}")
    return axis
