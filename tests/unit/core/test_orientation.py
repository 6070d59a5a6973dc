from __future__ import annotations

import math

import numpy as np
import pytest

from maskwright.core.geometry import Geometry
from maskwright.core.orientation import AS_STORED, slice_orientation

AXES = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}


def grid(code: str, *, origin_mm=(-90.0, -120.0, -70.0)) -> Geometry:
    """Grid whose x, y, z index axes lead where the letters say."""
    direction = np.array([AXES[letter] for letter in code], dtype=float).T
    geometry = Geometry.from_parts((4, 5, 6), spacing_zyx_mm=(3, 1, 2), origin_mm=origin_mm, direction=direction)
    assert geometry.orientation == code
    return geometry


def turned(code: str, *, axis: tuple[float, float, float], degrees: float) -> Geometry:
    """The same grid turned about an LPS axis."""
    a = math.radians(degrees)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + math.sin(a) * k + (1 - math.cos(a)) * k @ k
    return Geometry.from_parts(
        (4, 5, 6), spacing_zyx_mm=(3, 1, 2), origin_mm=(5, 6, 7), direction=rotation @ grid(code).direction
    )


@pytest.mark.parametrize(
    ("code", "flip_x", "flip_y"),
    [("LPS", False, False), ("RAS", True, True), ("LAS", False, True), ("RPI", True, False), ("LPI", False, False)],
)
def test_axial_slices_have_the_front_on_top_and_the_right_side_on_the_left(code, flip_x, flip_y):
    found = slice_orientation(grid(code), 0)
    assert (found.flip_x, found.flip_y) == (flip_x, flip_y)
    assert found.edges == ("R", "A", "L", "P")


@pytest.mark.parametrize(
    ("code", "axis", "flips", "edges"),
    [
        ("LPS", 1, (False, True), "RSLI"),  # (z, x): coronal, head up
        ("RAS", 1, (True, True), "RSLI"),
        ("LPI", 1, (False, False), "RSLI"),
        ("LPS", 2, (False, True), "ASPI"),  # (z, y): sagittal, face to the left
        ("RAS", 2, (True, True), "ASPI"),
        ("LPI", 2, (False, False), "ASPI"),
        ("LIP", 0, (False, False), "RSLI"),  # acquired coronal, as scanners store it
        ("RSA", 0, (True, True), "RSLI"),
        ("PIR", 0, (False, False), "ASPI"),  # acquired sagittal
        ("ASL", 0, (True, True), "ASPI"),
        ("SPL", 0, (True, False), "SAIP"),  # lying on its side: mirrored, never turned
    ],
)
def test_coronal_and_sagittal_slices_have_the_head_up_and_the_face_to_the_left(code, axis, flips, edges):
    found = slice_orientation(grid(code), axis)
    assert (found.flip_x, found.flip_y) == flips
    assert "".join(found.edges) == edges


@pytest.mark.parametrize("degrees", [-35.0, 35.0])
@pytest.mark.parametrize("about", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("code", ["LPS", "RAS"])
def test_an_oblique_slice_counts_as_the_plane_it_is_closest_to(code, axis, about, degrees):
    assert slice_orientation(turned(code, axis=about, degrees=degrees), axis) == slice_orientation(grid(code), axis)


def test_two_directions_that_are_closest_to_one_axis_do_not_share_it():
    diagonal = (1 / math.sqrt(2), -1 / math.sqrt(2), 0.0)
    found = slice_orientation(turned("RAS", axis=diagonal, degrees=80), 0)
    assert len({*found.edges}) == 4
    assert {"L", "R"} < {*found.edges} or {"A", "P"} < {*found.edges}


def test_what_has_no_placement_is_shown_as_stored_and_has_no_letters():
    assert slice_orientation(Geometry.photo(30, 40), 0) == AS_STORED
    assert slice_orientation(grid("LPS", origin_mm=(0, 0, 0)), 1) == AS_STORED
    assert AS_STORED.edges == () and not AS_STORED.flip_x and not AS_STORED.flip_y
    assert slice_orientation(grid("RAS", origin_mm=(0, 0, 0)), 0).edges == ("R", "A", "L", "P")


def test_there_are_three_axes():
    with pytest.raises(ValueError, match="axis"):
        slice_orientation(grid("LPS"), 3)
