"""The grid a scan lives on: array index to LPS millimetres and back, without voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from maskwright.core.errors import GeometryError

_SHEAR_TOLERANCE = 1e-4  # largest cosine between two axes of a grid that still counts as right-angled (0.006 degrees)


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Shape and placement of a regular grid.

    Parameters
    ----------
    shape_zyx
        Voxels along z, y, x; each at least 1.
    affine
        ``(4, 4)`` float64: ``affine @ (x, y, z, 1)`` is the voxel centre in LPS mm (x to the left, y to posterior,
        z to superior of the patient). Kept as a read-only copy.

    Raises
    ------
    GeometryError
        If the shape is empty, or the affine is not finite, not affine or collapses a direction.

    Notes
    -----
    The columns may be at an angle other than 90 degrees: CT with a tilted gantry is such a grid (`is_sheared`).
    """

    shape_zyx: tuple[int, int, int]
    affine: np.ndarray

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape_zyx)
        if len(shape) != 3 or min(shape) < 1:
            raise GeometryError(f"a grid needs three sizes of at least 1, not {shape}")
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or tuple(affine[3]) != (0.0, 0.0, 0.0, 1.0):
            raise GeometryError("the placement of the grid is not a finite 4 x 4 affine matrix")
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if lengths.min() <= 0.0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-6:
            raise GeometryError("the axes of the grid collapse: a voxel would have no volume")
        affine.flags.writeable = False
        object.__setattr__(self, "shape_zyx", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def photo(cls, height: int, width: int) -> Self:
        """Grid of a picture: one slice, unit pixels, no meaning in millimetres."""
        return cls((1, height, width), np.eye(4))

    @classmethod
    def from_parts(
        cls,
        shape_zyx: tuple[int, int, int],
        *,
        spacing_zyx_mm: tuple[float, float, float],
        origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
        direction: np.ndarray | None = None,
    ) -> Self:
        """Grid from spacing, position of voxel (0, 0, 0) and the ``(3, 3)`` unit columns of x, y, z in LPS."""
        affine = np.eye(4)
        axes = np.eye(3) if direction is None else np.asarray(direction, dtype=np.float64)
        affine[:3, :3] = axes * np.array(spacing_zyx_mm[::-1], dtype=np.float64)
        affine[:3, 3] = origin_mm
        return cls(shape_zyx, affine)

    @classmethod
    def from_sitk(cls, image: Any) -> Self:  # noqa: ANN401 (SimpleITK.Image; core does not import it)
        """Grid of a 2-D or 3-D SimpleITK image; a 2-D one becomes a single slice, 1 mm thick.

        Raises
        ------
        GeometryError
            If the image has another number of dimensions, or an impossible grid.
        """
        dims = image.GetDimension()
        if dims not in (2, 3):
            raise GeometryError(f"a grid has 2 or 3 dimensions, not {dims}")
        affine = np.eye(4)
        direction = np.array(image.GetDirection()).reshape(dims, dims)
        affine[:dims, :dims] = direction * np.array(image.GetSpacing())
        affine[:dims, 3] = image.GetOrigin()
        size = (*image.GetSize(), 1)[:3]
        return cls((size[2], size[1], size[0]), affine)

    def to_sitk(self, image: Any) -> None:  # noqa: ANN401
        """Place a 3-D SimpleITK image of the same size on this grid.

        Raises
        ------
        GeometryError
            If the image has another size, or the grid is sheared, which no SimpleITK format can hold.
        """
        size = tuple(image.GetSize())
        if size != self.shape_zyx[::-1]:
            raise GeometryError(f"an image of size {size} does not fit a grid of {self.shape_zyx[::-1]}")
        if self.is_sheared:
            raise GeometryError(
                "the slices of this scan are not at a right angle to their stack (tilted gantry)",
                hint="Export it in a format without a 3-D grid (COCO, PNG), or resample the scan first.",
            )
        image.SetSpacing(self.spacing_zyx_mm[::-1])
        image.SetOrigin(tuple(float(v) for v in self.origin_mm))
        image.SetDirection(tuple(float(v) for v in self.direction.ravel()))

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along z, y, x."""
        x, y, z = (math.sqrt(float(c @ c)) for c in self.affine[:3, :3].T)
        return z, y, x

    @property
    def origin_mm(self) -> np.ndarray:
        """LPS position of the centre of voxel (0, 0, 0), shape (3,)."""
        return self.affine[:3, 3]

    @property
    def direction(self) -> np.ndarray:
        """Unit columns of the x, y, z index axes in LPS, shape (3, 3)."""
        return self.affine[:3, :3] / np.array(self.spacing_zyx_mm[::-1])

    @property
    def is_sheared(self) -> bool:
        """Whether the axes are not at right angles, as with a tilted gantry."""
        cosines = self.direction.T @ self.direction - np.eye(3)
        return bool(np.abs(cosines).max() > _SHEAR_TOLERANCE)

    @property
    def orientation(self) -> str:
        """Three letters: where the x, y, z index axes lead to (``LPS`` = left, posterior, superior; the nearest)."""
        direction = self.direction.copy()
        letters = ["", "", ""]
        for _ in range(3):  # the best match first, so that oblique axes never share a letter pair
            patient, index = np.unravel_index(np.abs(direction).argmax(), (3, 3))
            letters[index] = ("LR", "PA", "SI")[patient][int(direction[patient, index] < 0)]
            direction[patient, :] = 0.0
            direction[:, index] = 0.0
        return "".join(letters)

    def index_to_mm(self, xyz: np.ndarray) -> np.ndarray:
        """LPS mm of ``(..., 3)`` indices in (x, y, z) order; fractions are allowed."""
        return np.asarray(xyz, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def mm_to_index(self, xyz_mm: np.ndarray) -> np.ndarray:
        """Fractional (x, y, z) indices of ``(..., 3)`` points in LPS mm."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        return (np.asarray(xyz_mm, dtype=np.float64) - self.affine[:3, 3]) @ inverse.T

    def is_close(self, other: Geometry, *, tolerance_mm: float = 0.01) -> bool:
        """Whether both grids have the same shape and every voxel of one lies within the tolerance of its twin.

        Two affine maps differ most at a corner of the grid, so the eight corners decide for all voxels.
        """
        if self.shape_zyx != other.shape_zyx:
            return False
        z, y, x = (n - 1 for n in self.shape_zyx)
        corners = np.array([(i, j, k) for i in (0, x) for j in (0, y) for k in (0, z)])
        apart = np.linalg.norm(self.index_to_mm(corners) - other.index_to_mm(corners), axis=1)
        # a single slice has no second corner along that axis, so its thickness and side are compared by their columns
        axes = np.abs(self.affine[:3, :3] - other.affine[:3, :3])
        return bool(apart.max() <= tolerance_mm and axes.max() <= tolerance_mm)
