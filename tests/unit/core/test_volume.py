"""Slices along every axis, without copies and without writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.core.geometry import Geometry
from maskwright.core.volume import View, Volume


def volume(voxels: np.ndarray, modality: str = "ct") -> Volume:
    geometry = Geometry.from_parts(voxels.shape[:3], spacing_zyx_mm=(1, 1, 1))
    return Volume(voxels, geometry, modality, Path("scan.nii"))


VOXELS = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)


def test_slices_are_views_of_the_voxels_along_each_axis():
    scan = volume(VOXELS)
    np.testing.assert_array_equal(scan.slice_at(0, 1), VOXELS[1])
    np.testing.assert_array_equal(scan.slice_at(1, 2), VOXELS[:, 2])
    np.testing.assert_array_equal(scan.slice_at(2, 3), VOXELS[:, :, 3])
    for axis in range(3):
        assert np.shares_memory(scan.slice_at(axis, 0), VOXELS)
        assert scan.slice_at(axis, 0).shape == scan.slice_shape(axis)
    assert [scan.n_slices(axis) for axis in range(3)] == [2, 3, 4]


def test_colour_slices_keep_their_last_axis():
    rgb = np.zeros((2, 3, 4, 3), np.uint8)
    scan = volume(rgb)
    assert scan.is_rgb
    assert scan.slice_at(0, 0).shape == (3, 4, 3)
    assert scan.slice_at(2, 0).shape == (2, 3, 3)
    assert scan.slice_shape(1) == (2, 4)
    assert not volume(VOXELS).is_rgb


@pytest.mark.parametrize(("axis", "index"), [(0, 2), (0, -1), (1, 3), (3, 0), (-1, 0)])
def test_slices_that_do_not_exist_are_an_error(axis, index):
    with pytest.raises(ValueError):
        volume(VOXELS).slice_at(axis, index)


def test_voxels_cannot_be_written_through_the_volume():
    mine = VOXELS.copy()
    scan = volume(mine)
    with pytest.raises(ValueError, match="read-only"):
        scan.slice_at(0, 0)[0, 0] = 1
    mine[0, 0, 0] = 7  # the array that was passed in is left as it was
    assert scan.voxels[0, 0, 0] == 7


@pytest.mark.parametrize(
    "voxels",
    [
        np.zeros((3, 4), np.int16),
        np.zeros((2, 3, 4), np.complex64),
        np.zeros((2, 3, 4), bool),
        np.zeros((2, 3, 4, 3), np.uint16),
        np.zeros((2, 3, 4, 4), np.uint8),
    ],
)
def test_voxels_of_other_kinds_are_refused(voxels):
    with pytest.raises(ValueError):
        Volume(voxels, Geometry.photo(3, 4), "", Path("x"))


def test_voxels_must_have_the_shape_of_the_geometry():
    with pytest.raises(ValueError, match="do not fit"):
        Volume(VOXELS, Geometry.photo(3, 4), "", Path("x"))


def test_a_photo_is_a_volume_of_one_slice():
    photo = Volume(np.zeros((1, 3, 4), np.uint8), Geometry.photo(3, 4), "photo", Path("x.png"))
    assert photo.is_photo
    assert photo.middle() == View(0, 0)
    assert not volume(VOXELS).is_photo


def test_the_middle_is_half_way_along_z():
    assert volume(VOXELS).middle() == View(0, 1)
    assert volume(np.zeros((5, 1, 1), np.int16)).middle() == View(0, 2)


def test_views_sort_and_serve_as_keys():
    assert sorted([View(1, 0), View(0, 5), View(0, 2)]) == [View(0, 2), View(0, 5), View(1, 0)]
    assert {View(0, 1): "a"}[View(0, 1)] == "a"
