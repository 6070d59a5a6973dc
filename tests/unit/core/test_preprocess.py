"""Slice -> model input and back: pixels and points agree, padding is 0, intensity is fixed per modality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.core.preprocess import CT_WINDOW_HU, Intensity, SliceTransform, intensity_for, normalised

SIZE = 512
INNER = {
    (512, 512): (512, 512),
    (480, 640): (384, 512),
    (640, 480): (512, 384),
    (1000, 333): (512, 170),
    (1, 1000): (1, 512),
    (1000, 1): (512, 1),
    (1, 9000): (1, 512),
    (60, 90): (341, 512),
    (3, 2): (512, 341),
    (1, 1): (512, 512),
    (3000, 4000): (384, 512),
}


@pytest.mark.parametrize(("shape", "inner"), INNER.items())
def test_the_long_side_fills_the_input(shape: tuple[int, int], inner: tuple[int, int]) -> None:
    assert SliceTransform(shape, SIZE).inner_yx == inner


@pytest.mark.parametrize("shape", INNER)
def test_the_edges_of_the_slice_are_the_edges_of_what_it_fills(shape: tuple[int, int]) -> None:
    h, w = shape
    inner_h, inner_w = INNER[shape]
    slice_xy = np.array([[-0.5, -0.5], [w - 0.5, h - 0.5], [(w - 1) / 2, (h - 1) / 2], [0, 0]])
    want = [
        [-0.5, -0.5],
        [inner_w - 0.5, inner_h - 0.5],
        [(inner_w - 1) / 2, (inner_h - 1) / 2],
        [inner_w / w / 2 - 0.5, inner_h / h / 2 - 0.5],
    ]
    got = SliceTransform(shape, SIZE).points_to_input(slice_xy)
    assert got.dtype == np.float32
    assert np.abs(got - want).max() <= 1e-4


def blob(shape: tuple[int, int], xy: tuple[float, float], sigma: float) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    bright = np.exp(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * sigma**2)) * 255
    return np.repeat(np.rint(bright).astype(np.uint8)[..., None], 3, 2)


def centre(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize(
    ("shape", "xy", "sigma"),
    [
        ((512, 512), (100, 300), 4),
        ((480, 640), (400, 100), 6),
        ((700, 300), (120, 600), 8),
        ((60, 90), (60, 25), 4),
        ((600, 900), (777, 333), 9),
        ((1, 1000), (700, 0), 10),
        ((40, 1), (0, 22), 3),
    ],
)
def test_a_dot_lands_where_its_point_lands(shape: tuple[int, int], xy: tuple[float, float], sigma: float) -> None:
    transform = SliceTransform(shape, SIZE)
    drawn = centre(transform.image_to_input(blob(shape, xy, sigma)))
    named = transform.points_to_input(np.array([xy]))[0]
    for axis in (0, 1):
        if shape[1 - axis] > 1:  # across one pixel there is nothing to measure
            assert abs(drawn[axis] - named[axis]) <= 0.03


@pytest.mark.parametrize("shape", [(480, 640), (300, 700), (700, 300), (60, 90), (600, 801), (1, 900), (900, 1)])
def test_logits_come_back_to_the_pixels_they_speak_of(shape: tuple[int, int]) -> None:
    transform = SliceTransform(shape, SIZE)
    stride = 2
    at = (np.arange(SIZE // stride) + 0.5) * stride - 0.5
    x, y = np.meshgrid(at, at)
    pixels = np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), -1).reshape(-1, 2)
    want = transform.points_to_input(pixels).reshape(*shape, 2)
    for axis, ramp in enumerate((x, y)):
        got = transform.logits_to_slice(ramp.astype(np.float32))
        assert got.shape == shape
        # beyond the outermost logit there is nothing to interpolate
        inner = transform.inner_yx[1 - axis]
        known = (want[..., axis] >= at[0]) & (want[..., axis] <= at[-(-inner // stride) - 1])
        if inner > 2 * stride:
            assert known.mean() > 0.9
        assert np.abs(got - want[..., axis])[known].max(initial=0) <= 0.05
        assert np.abs(got - want[..., axis]).max() <= stride


@pytest.mark.parametrize("shape", [(100, 400), (400, 100), (60, 90), (90, 60), (333, 1000), (5, 900)])
def test_what_logits_say_of_the_padding_stays_out_of_the_slice(shape: tuple[int, int]) -> None:
    transform = SliceTransform(shape, SIZE)
    rows, columns = (-(-n // 2) for n in transform.inner_yx)
    logits = np.full((256, 256), -1000, np.float32)
    logits[:rows, :columns] = 1
    assert transform.logits_to_slice(logits).min() == 1


DOUBLED = {
    (1024, 1024): (4, 4),
    (512, 512): (2, 2),
    (256, 256): (1, 1),
    (768, 1024): (4, 4),
    (2048, 1536): (8, 8),
    (1, 1024): None,
    (96, 512): (2, 2),
    (1024, 1000): (4, 4),
    (1024, 1001): None,
    (1000, 1000): None,
    (480, 640): None,
    (768, 768): None,
    (128, 128): None,
}
"""Size of a slice -> whole pixels, a power of two, that a logit covers along each axis."""


@pytest.mark.parametrize(("shape", "times"), DOUBLED.items())
def test_where_a_logit_covers_whole_pixels_a_plain_resize_gives_the_very_same_answer(
    shape: tuple[int, int], times: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    transform = SliceTransform(shape, SIZE)
    rows, columns = (-(-n // 2) for n in transform.inner_yx)
    rng = np.random.default_rng(sum(shape))
    logits = cv2.GaussianBlur(rng.standard_normal((256, 256), np.float32), (0, 0), 2)
    scale = [inner / 2 / n for inner, n in zip(transform.inner_yx, shape, strict=True)]
    affine = np.array([[scale[1], 0, scale[1] / 2 - 0.5], [0, scale[0], scale[0] / 2 - 0.5]])
    want = cv2.warpAffine(
        np.ascontiguousarray(logits[:rows, :columns]),
        affine,
        shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    assert times is None or scale == [1 / n for n in times]
    ran: list[str] = []
    for name in ("resize", "warpAffine"):
        monkeypatch.setattr(cv2, name, _telling(ran, name))
    got = transform.logits_to_slice(logits)
    assert ran == ["warpAffine" if times is None else "resize"]
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(got > 0, want > 0)
    assert not np.shares_memory(got, logits)


def _telling(ran: list[str], name: str) -> Callable[..., np.ndarray]:
    real = getattr(cv2, name)

    def call(*arguments: Any, **options: Any) -> np.ndarray:
        ran.append(name)
        return real(*arguments, **options)

    return call


def test_a_slice_of_forty_thousand_pixels_is_still_a_slice() -> None:
    logits = np.zeros((256, 256), np.float32)
    logits[:, 128:] = 1
    back = SliceTransform((2, 40000), SIZE).logits_to_slice(logits)
    assert back.shape == (2, 40000)
    assert back[:, 20200:].min() == 1 and back[:, :19800].max() == 0


def test_padding_is_exactly_zero_and_black_is_not() -> None:
    transform = SliceTransform((100, 250), SIZE)
    padded = transform.image_to_input(np.zeros((100, 250, 3), np.uint8) + 77)
    assert transform.inner_yx == (205, 512)
    assert (padded[:205] == 77).all() and (padded[205:] == 0).all()
    x = normalised(transform.image_to_input(np.zeros((100, 250, 3), np.uint8)), transform.inner_yx)
    assert (x.shape, x.dtype) == ((1, 3, SIZE, SIZE), np.float32)
    assert (x[:, :, 205:] == 0).all()
    for channel, want in enumerate((-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225)):
        assert np.abs(x[0, channel, :205] - want).max() < 1e-6
    other = normalised(padded, transform.inner_yx, mean=(0, 0, 0), std=(1, 0.5, 1))
    assert np.allclose(other[0, :, 0, 0], [77 / 255, 154 / 255, 77 / 255], atol=1e-6)


def test_eight_bits_are_taken_as_they_are() -> None:
    rgb = np.random.default_rng(1).integers(50, 90, (20, 30, 3), np.uint8)
    for modality in (None, "photo", "mr", "ct"):
        assert intensity_for(rgb, modality) == Intensity(0, 255)
    assert np.array_equal(Intensity(0, 255).apply(rgb), rgb)
    grey = Intensity(0, 255).apply(rgb[:, ::2, 0])
    assert grey.shape == (20, 15, 3) and grey.flags.c_contiguous
    assert all(np.array_equal(grey[..., c], rgb[:, ::2, 0]) for c in range(3))


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
def test_ct_has_its_window_whatever_the_scan_holds(dtype: type) -> None:
    voxels = np.array([[-1024, -160, 0, 80, 240, 3071]]).astype(dtype)
    intensity = intensity_for(voxels, "ct")
    assert (intensity.low, intensity.high) == CT_WINDOW_HU == (-160.0, 240.0)
    assert intensity.apply(voxels)[0, :, 0].tolist() == [0, 0, 102, 153, 255, 255]
    assert intensity_for(np.zeros((4, 4), dtype), "ct") == intensity


def test_sixteen_bits_are_cut_at_percentiles() -> None:
    voxels = np.arange(65536, dtype=np.uint16).reshape(16, 64, 64)
    intensity = intensity_for(voxels, "mr")
    assert intensity.low == pytest.approx(0.005 * 65535, abs=1e-9)
    assert intensity.high == pytest.approx(0.995 * 65535, abs=1e-9)
    out = intensity.apply(np.array([[0, 327, 32768, 65208, 65535]], np.uint16))
    assert out[0, :, 1].tolist() == [0, 0, 128, 255, 255]


def test_a_flat_or_nearly_flat_scan_still_has_a_range() -> None:
    assert intensity_for(np.full((3, 4), 7, np.int16)) == Intensity(7, 8)
    sparse = np.zeros((100, 100), np.int16)
    sparse[3, 3] = 900
    assert intensity_for(sparse) == Intensity(0, 900)
    assert intensity_for(np.zeros((2, 2), bool)) == Intensity(0, 1)
    assert Intensity(5, 5).apply(np.array([[4, 5, 6]], np.int16))[0, :, 0].tolist() == [0, 0, 255]


def test_a_large_volume_is_sampled_from_end_to_end() -> None:
    voxels = np.arange(4_100_000, dtype=np.int32).reshape(41, 100, 1000)
    intensity = intensity_for(voxels)
    assert intensity.low == pytest.approx(0.005 * 4_100_000, abs=10)
    assert intensity.high == pytest.approx(0.995 * 4_100_000, abs=10)
