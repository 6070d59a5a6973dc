"""The same scan has one fingerprint however it is stored; any change gives another."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.fingerprint import fingerprint
from maskwright.core.geometry import Geometry
from maskwright.core.volume import Volume

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
ORIGIN = (1.0, -2.0, 3.0)


def scan(voxels: np.ndarray = VOXELS, *, origin=ORIGIN, spacing=(3.0, 1.0, 1.0), source="a.nii", modality="ct"):
    geometry = Geometry.from_parts(voxels.shape[:3], spacing_zyx_mm=spacing, origin_mm=origin)
    return Volume(voxels, geometry, modality, Path(source))


def test_it_is_the_sha256_of_header_grid_and_bytes():
    affine = np.array([[1.0, 0, 0, 1], [0, 1, 0, -2], [0, 0, 3, 3], [0, 0, 0, 1]])
    expected = hashlib.sha256(b"<i2 (2, 3, 4)" + affine.astype("<f8").tobytes() + VOXELS.astype("<i2").tobytes())
    assert fingerprint(scan()) == expected.hexdigest()


def test_name_modality_byte_order_and_memory_layout_do_not_count():
    expected = fingerprint(scan())
    assert fingerprint(scan(source="b.nrrd", modality="")) == expected
    assert fingerprint(scan(VOXELS.astype(">i2"))) == expected
    assert fingerprint(scan(np.asfortranarray(VOXELS))) == expected
    assert fingerprint(scan(origin=(1.0 + 1e-9, -2.0, 3.0))) == expected  # the noise of a reader


@pytest.mark.parametrize(
    "other",
    [
        scan(VOXELS + np.int16(1)),
        scan(VOXELS.astype(np.int32)),
        scan(VOXELS.astype(np.uint16)),
        scan(VOXELS.reshape(3, 2, 4)),
        scan(origin=(1.00001, -2.0, 3.0)),
        scan(spacing=(3.0, 1.0, 1.1)),
        scan(VOXELS[:, ::-1]),
    ],
    ids=["voxels", "wider", "unsigned", "shape", "origin", "spacing", "mirrored"],
)
def test_every_change_shows(other):
    assert fingerprint(other) != fingerprint(scan())


def test_a_negative_zero_is_a_zero():
    assert fingerprint(scan(origin=(-0.0, 0.0, 0.0))) == fingerprint(scan(origin=(0.0, 0.0, 0.0)))
