"""Which way round a slice is shown: the mirrors of the radiological convention, and the letters of its sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskwright.core.geometry import Geometry

_TOWARDS = ("LR", "PA", "SI")  # of the LPS axes: where plus and where minus leads
_RIGHT_AND_DOWN = "LPI"  # what lies to the viewer's right and at the bottom: the side on the left, the front and top up


@dataclass(frozen=True, slots=True)
class SliceOrientation:
    """Mirrors of a slice on the screen, and what of the patient lies at its edges; the data keep their order.

    `edges` holds one letter each for left, top, right and bottom as shown, or is empty where the sides are unknown.
    """

    flip_x: bool = False
    flip_y: bool = False
    edges: tuple[str, ...] = ()


AS_STORED = SliceOrientation()


def slice_orientation(geometry: Geometry, axis: int) -> SliceOrientation:
    """How to show the slices along array axis 0 (z), 1 (y) or 2 (x).

    To the right and downwards lead patient left, posterior and inferior: an axial slice has its front on top and the
    patient's right on the viewer's left. Rows and columns are never swapped. An oblique direction counts as the LPS
    axis it is closest to, and the two directions of a slice never as the same one.

    A grid at the origin with untilted axes is what photos and files without a placement have. It is shown as stored and
    without letters: nobody said where the patient's sides are.

    Raises
    ------
    ValueError
        If there is no such axis.
    """
    if axis not in (0, 1, 2):
        raise ValueError(f"axis must be 0, 1 or 2, not {axis}")
    if _is_unplaced(geometry):
        return AS_STORED
    row_axis, column_axis = (n for n in (0, 1, 2) if n != axis)
    (right, left), (down, up) = _leads(geometry.direction[:, [2 - column_axis, 2 - row_axis]])
    flip_x, flip_y = right not in _RIGHT_AND_DOWN, down not in _RIGHT_AND_DOWN
    if flip_x:
        left, right = right, left
    if flip_y:
        up, down = down, up
    return SliceOrientation(flip_x, flip_y, (left, up, right, down))


def _is_unplaced(geometry: Geometry) -> bool:
    return bool(np.array_equal(geometry.direction, np.eye(3)) and not geometry.origin_mm.any())


def _leads(directions: np.ndarray) -> list[tuple[str, str]]:
    """(ahead, behind) letters of each unit column of a (3, 2) array in LPS, the clearest column first to choose."""
    left_over = np.abs(directions)
    letters = [("", ""), ("", "")]
    for _ in letters:
        patient, column = (int(i) for i in np.unravel_index(left_over.argmax(), left_over.shape))
        plus, minus = _TOWARDS[patient]
        letters[column] = (plus, minus) if directions[patient, column] > 0 else (minus, plus)
        left_over[patient, :] = left_over[:, column] = -1.0
    return letters
