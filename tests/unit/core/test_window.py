"""Greys: the table against plain arithmetic, and which window a scan is first shown with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskwright.core.geometry import Geometry
from maskwright.core.volume import Volume
from maskwright.core.window import AS_STORED, PRESETS, Window, default_window, percentile_range, to_uint8


def volume(voxels: np.ndarray, modality: str = "", window: tuple[float, float] | None = None) -> Volume:
    geometry = Geometry.from_parts(voxels.shape[:3], spacing_zyx_mm=(1, 1, 1))
    return Volume(voxels, geometry, modality, Path("x"), window)


def test_greys_by_hand():
    values = np.array([[-200, -160, 40, 240, 500]], np.int16)
    np.testing.assert_array_equal(to_uint8(values, Window(40, 400)), [[0, 0, 128, 255, 255]])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, ">i2", ">u2"])
@pytest.mark.parametrize("window", [Window(40, 400), Window(-600.5, 1501), Window(100, 1), Window(30000, 7)])
def test_the_table_equals_arithmetic_for_every_value(dtype, window):
    kind = np.iinfo(dtype)
    values = np.arange(kind.min, kind.max + 1).astype(dtype).reshape(16, -1)
    exact = np.floor((values.astype(np.float64) - window.low) * 255 / window.width + 0.5)
    np.testing.assert_array_equal(to_uint8(values, window), np.clip(exact, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.float32, np.float64])
def test_other_numbers_give_the_same_greys_as_16_bit(dtype):
    values = np.arange(-2000, 2000, dtype=np.int16).reshape(40, 100)
    values = np.abs(values) if dtype == np.uint32 else values
    np.testing.assert_array_equal(to_uint8(values.astype(dtype), Window(40, 400)), to_uint8(values, Window(40, 400)))


def test_values_that_are_no_numbers_are_black_or_at_the_ends():
    values = np.array([[np.nan, np.inf, -np.inf, 0.5]], np.float32)
    np.testing.assert_array_equal(to_uint8(values, Window.between(0, 1)), [[0, 255, 0, 128]])


def test_strided_slices_and_the_callers_values_stay_as_they_are():
    values = np.arange(24, dtype=np.int16).reshape(4, 6)
    before = values.copy()
    np.testing.assert_array_equal(to_uint8(values[:, ::2], Window(10, 8)), to_uint8(values, Window(10, 8))[:, ::2])
    to_uint8(values.astype(np.float32), Window(10, 8))
    np.testing.assert_array_equal(values, before)


def test_photos_are_shown_as_they_are_without_a_copy():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert to_uint8(pixels, AS_STORED) is pixels
    rgb = np.zeros((1, 4, 4, 3), np.uint8)
    assert default_window(volume(rgb)) == AS_STORED
    assert default_window(volume(pixels[None], "photo")) == AS_STORED
    assert default_window(volume(pixels[None], "mr")) != AS_STORED


def test_one_table_serves_all_slices_of_a_window():
    from maskwright.core import window

    window._table.cache_clear()
    for index in range(5):
        to_uint8(np.full((4, 4), index, np.int16), Window(0, 10))
    assert (window._table.cache_info().misses, window._table.cache_info().hits) == (1, 4)


@pytest.mark.parametrize(("level", "width"), [(0, 0), (0, -5), (np.nan, 1), (0, np.inf)])
def test_impossible_windows_are_refused(level, width):
    with pytest.raises(ValueError):
        Window(level, width)


def test_between_takes_the_ends_and_survives_a_flat_scan():
    assert Window.between(-160, 240) == Window(40, 400)
    assert (Window(40, 400).low, Window(40, 400).high) == (-160, 240)
    assert default_window(volume(np.full((2, 3, 4), 7, np.int16))) == Window(7, 1)


CT = np.linspace(-1000, 2000, 4096).astype(np.int16).reshape(1, 64, 64)


def test_the_window_of_the_file_comes_first():
    assert default_window(volume(CT, "ct", (300, 1500))) == Window(300, 1500)
    assert default_window(volume(CT, "mr", (300, 1500))) == Window(300, 1500)


def test_ct_without_a_window_gets_the_abdomen_preset():
    assert default_window(volume(CT, "ct")) == PRESETS["ct"]["Abdomen"] == Window(50, 400)


@pytest.mark.parametrize("useless", [(9000, 100), (-5000, 10), (40, 0.5), (0, 1e6)])
def test_a_useless_window_in_the_header_is_ignored(useless):
    assert default_window(volume(CT, "ct", useless)) == PRESETS["ct"]["Abdomen"]
    assert default_window(volume(CT, "mr", useless)) == Window.between(*percentile_range(CT))


def test_other_scans_get_percentiles_that_ignore_a_few_bright_voxels():
    voxels = np.tile(np.arange(1000, dtype=np.uint16), 100).reshape(10, 100, 100)
    voxels[0, 0, :3] = 65_000
    window = default_window(volume(voxels, "mr"))
    assert 0 <= window.low <= 10
    assert 985 <= window.high <= 1000


def test_percentiles_of_a_large_volume_look_at_a_sample():
    large = np.broadcast_to(np.arange(512, dtype=np.int16), (200, 512, 512))  # 52 million voxels that take no memory
    low, high = percentile_range(large)
    assert low == pytest.approx(2.5, abs=4)
    assert high == pytest.approx(508.5, abs=4)


def test_presets_are_sane():
    for windows in PRESETS.values():
        assert len(set(windows.values())) == len(windows)
    assert list(PRESETS) == ["ct"]  # no other modality has an absolute scale
