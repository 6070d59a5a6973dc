"""The grid against SimpleITK, point by point, and the grids that must be told apart."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from maskwright.core.errors import GeometryError
from maskwright.core.geometry import Geometry

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def oblique() -> Geometry:
    return Geometry.from_parts(
        (5, 6, 7), spacing_zyx_mm=(3.0, 0.5, 0.25), origin_mm=(-10.0, 20.0, -30.0), direction=OBLIQUE
    )


def sitk_image(size=(7, 6, 5)) -> sitk.Image:
    image = sitk.Image(size, sitk.sitkInt16)
    image.SetSpacing((0.25, 0.5, 3.0))
    image.SetOrigin((-10.0, 20.0, -30.0))
    image.SetDirection(tuple(OBLIQUE.ravel()))
    return image


def test_index_to_mm_is_what_simpleitk_says():
    geometry, image = Geometry.from_sitk(sitk_image()), sitk_image()
    for index in [(0, 0, 0), (6, 5, 4), (1, 2, 3)]:
        np.testing.assert_allclose(
            geometry.index_to_mm(np.array(index)), image.TransformIndexToPhysicalPoint(index), atol=1e-9
        )
    np.testing.assert_allclose(
        geometry.index_to_mm(np.array([0.5, 1.5, 2.25])),
        image.TransformContinuousIndexToPhysicalPoint((0.5, 1.5, 2.25)),
        atol=1e-9,
    )


def test_mm_to_index_goes_back_for_whole_stacks_of_points():
    xyz = np.random.default_rng(0).uniform(-3, 9, (4, 5, 3))
    np.testing.assert_allclose(oblique().mm_to_index(oblique().index_to_mm(xyz)), xyz, atol=1e-9)


def test_parts_are_what_was_put_in():
    assert oblique().spacing_zyx_mm == pytest.approx((3.0, 0.5, 0.25), abs=1e-12)
    np.testing.assert_array_equal(oblique().origin_mm, (-10.0, 20.0, -30.0))
    np.testing.assert_allclose(oblique().direction, OBLIQUE, atol=1e-12)


def test_to_sitk_and_back():
    image = sitk.Image((7, 6, 5), sitk.sitkUInt8)
    oblique().to_sitk(image)
    assert Geometry.from_sitk(image).is_close(oblique(), tolerance_mm=1e-9)
    with pytest.raises(GeometryError, match=r"size \(6, 7, 5\) does not fit a grid of \(7, 6, 5\)"):
        oblique().to_sitk(sitk.Image((6, 7, 5), sitk.sitkUInt8))


def test_a_flat_sitk_image_is_one_slice():
    image = sitk.Image((4, 3), sitk.sitkUInt8)
    image.SetSpacing((2.0, 5.0))
    geometry = Geometry.from_sitk(image)
    assert geometry.shape_zyx == (1, 3, 4)
    assert geometry.spacing_zyx_mm == (1.0, 5.0, 2.0)
    with pytest.raises(GeometryError, match="2 or 3 dimensions, not 4"):
        Geometry.from_sitk(sitk.Image((2, 2, 2, 2), sitk.sitkUInt8))


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        (np.eye(3), "LPS"),
        (np.diag([-1.0, -1.0, 1.0]), "RAS"),
        (np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]]), "PIL"),
        (OBLIQUE, "LPS"),
        (np.diag([1.0, 1.0, -1.0]), "LPI"),
    ],
)
def test_orientation_letters_agree_with_simpleitk(direction, letters):
    geometry = Geometry.from_parts((2, 2, 2), spacing_zyx_mm=(1, 1, 1), direction=direction)
    assert geometry.orientation == letters
    dicom = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(tuple(direction.ravel()))
    assert letters == dicom


def test_close_is_a_hundredth_of_a_millimetre_at_every_voxel():
    def moved(**change):
        parts = {"spacing_zyx_mm": (3.0, 0.5, 0.25), "origin_mm": (-10.0, 20.0, -30.0), "direction": OBLIQUE}
        return Geometry.from_parts((5, 6, 7), **(parts | change))

    assert oblique().is_close(moved())
    assert oblique().is_close(moved(origin_mm=(-10.009, 20.0, -30.0)))
    assert not oblique().is_close(moved(origin_mm=(-10.011, 20.0, -30.0)))
    assert oblique().is_close(moved(spacing_zyx_mm=(3.002, 0.5, 0.25)))  # 4 steps x 0.002 mm
    assert not oblique().is_close(moved(spacing_zyx_mm=(3.003, 0.5, 0.25)))  # 4 steps x 0.003 mm
    assert oblique().is_close(moved(spacing_zyx_mm=(3.0, 0.5019, 0.25)))  # 5 steps x 0.0019 mm
    assert not oblique().is_close(moved(spacing_zyx_mm=(3.0, 0.5021, 0.25)))
    assert oblique().is_close(moved(spacing_zyx_mm=(3.0, 0.5, 0.2516)))  # 6 steps x 0.0016 mm
    assert not oblique().is_close(moved(spacing_zyx_mm=(3.0, 0.5, 0.2517)))
    assert not oblique().is_close(moved(direction=OBLIQUE.T))
    assert oblique().is_close(moved(origin_mm=(-10.4, 20.0, -30.0)), tolerance_mm=0.5)


def test_other_shape_or_mirrored_axis_is_never_close():
    assert not Geometry.photo(4, 5).is_close(Geometry.photo(5, 4))
    flipped = Geometry.from_parts((1, 4, 5), spacing_zyx_mm=(1, 1, 1), direction=np.diag([1.0, 1.0, -1.0]))
    assert not Geometry.photo(4, 5).is_close(flipped)  # one slice: no corner differs, the side does


def test_a_tilted_gantry_is_sheared_and_kept_exactly():
    affine = np.eye(4)
    affine[:3, 2] = (0.0, -1.0, 3.0)
    tilted = Geometry((4, 5, 6), affine)
    assert tilted.is_sheared
    assert not oblique().is_sheared
    np.testing.assert_array_equal(tilted.index_to_mm(np.array([0, 0, 3])), (0, -3, 9))
    with pytest.raises(GeometryError, match="tilted gantry"):
        tilted.to_sitk(sitk.Image((6, 5, 4), sitk.sitkUInt8))


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((0, 4, 4), np.eye(4)),
        ((4, 4), np.eye(4)),
        ((4, 4, 4), np.eye(3)),
        ((4, 4, 4), np.diag([1.0, 1.0, np.nan, 1.0])),
        ((4, 4, 4), np.diag([1.0, 1.0, 0.0, 1.0])),
        ((4, 4, 4), np.array([[1.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]])),
        ((4, 4, 4), np.diag([1.0, 1.0, 1.0, 2.0])),
    ],
)
def test_impossible_grids_are_refused(shape, affine):
    with pytest.raises(GeometryError):
        Geometry(shape, affine)


def test_the_affine_is_a_copy_that_cannot_be_changed():
    affine = np.eye(4)
    geometry = Geometry((1, 2, 3), affine)
    affine[0, 3] = 99.0
    assert geometry.affine[0, 3] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 3] = 1.0
