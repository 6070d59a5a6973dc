"""Masks: crops, set algebra, storage, outlines and run lengths, each exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maskwright.core.errors import AnnotationError
from maskwright.core.mask import Mask, components, fill_holes, from_polygons, from_rle, holes, polygons, rle
from maskwright.core.outline import signed_area


def mask_of(*rows: str) -> Mask:
    return Mask.from_array(np.array([[c == "#" for c in row] for row in rows]))


def random_arrays(count: int, largest: int = 14) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    shapes = rng.integers(1, largest, (count, 2))
    return [rng.random((h, w)) < rng.random() for h, w in shapes]


def all_arrays(height: int, width: int) -> list[np.ndarray]:
    """Every mask there is of a small size: a proof for all local patterns rather than a sample."""
    bits = np.array(list(itertools.product([False, True], repeat=height * width)))
    return list(bits.reshape(-1, height, width))


def test_from_array_keeps_a_tight_crop_of_its_own() -> None:
    array = np.zeros((6, 8), np.uint8)
    array[2:4, 3:7] = 255
    mask = Mask.from_array(array)
    array[:] = 0
    assert (mask.shape_yx, mask.box, mask.area) == ((6, 8), (2, 3, 4, 7), 8)
    assert mask.bits.shape == (2, 4)
    assert mask.bits.all()


@pytest.mark.parametrize("array", random_arrays(40))
def test_to_array_gives_back_every_pixel(array: np.ndarray) -> None:
    assert np.array_equal(Mask.from_array(array).to_array(), array)


def test_empty_mask() -> None:
    mask = Mask.from_array(np.zeros((5, 4), np.bool_))
    assert mask == Mask.empty((5, 4))
    assert mask.is_empty
    assert mask.area == 0
    assert mask.box == (0, 0, 0, 0)
    assert mask.to_array().shape == (5, 4)
    assert polygons(mask) == []
    assert components(mask) == []
    assert fill_holes(mask) == mask


def test_bits_cannot_be_changed_and_the_given_array_still_can() -> None:
    bits = np.ones((2, 2), np.bool_)
    mask = Mask((4, 4), (1, 1, 3, 3), bits)
    with pytest.raises(ValueError, match="read-only"):
        mask.bits[0, 0] = False
    bits[0, 0] = True


@pytest.mark.parametrize(
    ("box", "bits"),
    [
        ((0, 0, 5, 2), np.ones((5, 2), np.bool_)),  # leaves the slice
        ((0, 0, 2, 2), np.ones((2, 3), np.bool_)),  # bits of another size
        ((0, 0, 2, 2), np.ones((2, 2), np.uint8)),  # not bool
    ],
)
def test_a_mask_that_contradicts_itself_is_refused(box: tuple[int, int, int, int], bits: np.ndarray) -> None:
    with pytest.raises(ValueError, match="box|bits"):
        Mask((4, 4), box, bits)


def test_from_array_refuses_other_than_two_axes() -> None:
    with pytest.raises(ValueError, match=r"\(Y, X\)"):
        Mask.from_array(np.zeros((2, 3, 4)))


def test_equality_is_by_value_and_sees_one_pixel_and_the_size() -> None:
    mask = mask_of(".#.", "###")
    assert mask == mask_of(".#.", "###")
    assert mask != mask_of(".#.", "##.")
    assert mask != mask_of("##.", "###")
    assert mask != mask_of(".#..", "###.")
    assert mask != "mask"
    with pytest.raises(TypeError):
        hash(mask)


@pytest.mark.parametrize("seed", range(30))
def test_set_algebra_agrees_with_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 10, 2))
    a, b = (rng.random(shape) < rng.choice([0.0, 0.1, 0.6]) for _ in range(2))
    left, right = Mask.from_array(a), Mask.from_array(b)
    assert np.array_equal((left | right).to_array(), a | b)
    assert np.array_equal((left & right).to_array(), a & b)
    assert np.array_equal((left - right).to_array(), a & ~b)
    assert np.array_equal((left ^ right).to_array(), a ^ b)


def test_set_algebra_refuses_masks_of_different_slices() -> None:
    small, large = mask_of("#"), mask_of("##")
    for combine in (Mask.__or__, Mask.__and__, Mask.__sub__, Mask.__xor__):
        with pytest.raises(ValueError, match="different slices"):
            combine(small, large)
        with pytest.raises(ValueError, match="different slices"):
            combine(small, Mask.empty((1, 2)))


def test_contains_takes_the_pixel_whose_area_holds_the_point() -> None:
    mask = mask_of("...", ".#.")
    assert mask.contains(1, 1)
    assert mask.contains(0.5, 0.5)
    assert mask.contains(1.49, 1.49)
    assert not mask.contains(1.5, 1)
    assert not mask.contains(0.49, 1)
    assert not mask.contains(-7, 90)


def test_crop_reaches_outside_the_foreground_with_zeros() -> None:
    mask = mask_of("....", ".##.", "....")
    assert mask.crop((0, 2, 3, 4)).tolist() == [[False, False], [True, False], [False, False]]
    assert not mask.crop((2, 0, 3, 4)).any()


@pytest.mark.parametrize("array", random_arrays(30))
def test_bytes_bring_the_same_mask_back(array: np.ndarray) -> None:
    mask = Mask.from_array(array)
    assert Mask.from_bytes(mask.to_bytes()) == mask


def test_bytes_of_a_disk_are_small() -> None:
    y, x = np.mgrid[:1024, :1024]
    disk = Mask.from_array((y - 500) ** 2 + (x - 500) ** 2 < 200**2)
    assert len(disk.to_bytes()) < 2_500  # 125,000 pixels
    assert disk.nbytes == 399 * 399


def test_damaged_bytes_are_told_from_good_ones() -> None:
    good = mask_of("##.", ".##").to_bytes()
    altered = bytearray(good)
    altered[-1] ^= 1
    other_version = b"\x09" + good[1:]
    wrong_box = good[:9] + b"\x00\x00\x00\x01" + good[13:]
    for bad in (b"", good[:10], good[:-3], bytes(altered), wrong_box):
        with pytest.raises(AnnotationError, match="damaged"):
            Mask.from_bytes(bad)
    with pytest.raises(AnnotationError, match="unknown version 9"):
        Mask.from_bytes(other_version)


@pytest.mark.parametrize("arrays", [all_arrays(3, 3), all_arrays(2, 5), random_arrays(200)], ids=["3x3", "2x5", "any"])
def test_polygons_round_trip_exactly(arrays: list[np.ndarray]) -> None:
    for array in arrays:
        mask = Mask.from_array(array)
        rings = polygons(mask)
        assert from_polygons(mask.shape_yx, rings) == mask
        assert sum(signed_area(ring) for ring in rings) == mask.area
        for ring in rings:
            steps = np.diff(np.vstack([ring, ring[:1]]), axis=0)
            assert ((steps != 0).sum(axis=1) == 1).all()  # along the pixel grid, and every point is a corner


def test_polygon_of_one_pixel_runs_round_it() -> None:
    (ring,) = polygons(mask_of("...", "..#"))
    assert ring.tolist() == [[1.5, 0.5], [2.5, 0.5], [2.5, 1.5], [1.5, 1.5]]


def test_polygons_of_a_ring_have_a_hole_of_negative_area() -> None:
    rings = polygons(mask_of("####", "#..#", "####"))
    assert [signed_area(ring) for ring in rings] == [12.0, -2.0]


def test_tips_that_touch_at_a_corner_close_no_hole() -> None:
    mask = mask_of("###", "#.#", "##.")  # the middle is open to the outside at the lower right
    (ring,) = polygons(mask)
    assert signed_area(ring) == 7.0


def test_pixels_touching_at_a_corner_get_rings_of_their_own() -> None:
    assert [signed_area(ring) for ring in polygons(mask_of("#.", ".#"))] == [1.0, 1.0]
    assert [signed_area(ring) for ring in polygons(mask_of(".#", "#."))] == [1.0, 1.0]


def test_from_polygons_takes_pixel_centres_inside() -> None:
    triangle = np.array([[0.0, -0.5], [4.2, -0.5], [0.0, 3.7]])
    mask = from_polygons((5, 6), [triangle])
    # row y reaches x = 4.2 * (3.7 - y) / 4.2: 3.7, 2.7, 1.7, 0.7
    assert mask.to_array().sum(axis=1).tolist() == [4, 3, 2, 1, 0]


def test_from_polygons_cuts_off_what_leaves_the_slice_and_ignores_lines() -> None:
    around = np.array([[-10, -10], [90, -10], [90, 90], [-10, 90]])
    assert from_polygons((3, 4), [around]).area == 12
    assert from_polygons((3, 4), [around + 200]).is_empty
    assert from_polygons((3, 4), [around - 200]).is_empty
    assert from_polygons((3, 4), [np.array([[0, 0], [2, 2]])]).is_empty
    assert from_polygons((3, 4), [np.array([[0.0, 1.0], [2.0, 1.0], [3.0, 1.0]])]).is_empty
    assert from_polygons((3, 4), []).is_empty


@pytest.mark.parametrize("arrays", [all_arrays(3, 3), random_arrays(200)], ids=["3x3", "any"])
def test_run_lengths_are_those_of_pycocotools(arrays: list[np.ndarray]) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    for array in arrays:
        mask = Mask.from_array(array)
        counts = rle(mask)
        size = [int(n) for n in array.shape]
        theirs = coco.encode(np.asfortranarray(array.astype(np.uint8)))
        assert coco.frPyObjects({"size": size, "counts": counts}, *size)["counts"] == theirs["counts"]
        assert from_rle(mask.shape_yx, counts) == mask


def test_run_lengths_count_down_the_columns() -> None:
    assert rle(mask_of(".#", "##")) == [1, 3]
    assert rle(mask_of("##", "#.")) == [0, 3, 1]
    assert rle(mask_of("..", "..")) == [4]


@pytest.mark.parametrize("counts", [[3], [1, 2, 2], [5, -1], []])
def test_run_lengths_that_do_not_fit_are_refused(counts: list[int]) -> None:
    with pytest.raises(AnnotationError, match="2 x 2 = 4"):
        from_rle((2, 2), counts)


def test_components_come_largest_first() -> None:
    mask = mask_of("#..##", ".#.##", "#....")
    assert [part.area for part in components(mask)] == [4, 3]
    assert [part.area for part in components(mask, diagonal=False)] == [4, 1, 1, 1]
    assert components(mask)[0] == mask_of("...##", "...##", ".....")


def test_holes_are_what_foreground_closes_off() -> None:
    mask = mask_of("####.", "#..##", "####.", ".#.#.")
    assert fill_holes(mask) == mask_of("####.", "#####", "####.", ".#.#.")
    assert holes(mask) == mask_of(".....", ".##..", ".....", ".....")
    diamond = mask_of(".#.", "#.#", ".#.")
    assert holes(diamond).area == 1
    assert holes(mask_of("#.#", "###")).is_empty
