"""Ten real pictures that are at hand everywhere: bundled photo and volume, and test files of pydicom."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from pydicom import dcmread

from maskwright.assets import sample_photo, sample_volume
from maskwright.core.preprocess import intensity_for
from maskwright.io.scans import open_scan

SLICES = ((0, 60), (0, 90), (1, 80), (1, 120), (2, 70), (2, 100))
"""Axis and index of slices of the bundled volume."""
DICOM = ("CT_small.dcm", "examples_overlay.dcm", "examples_rgb_color.dcm")


def ten_real_images() -> list[np.ndarray]:
    """RGB uint8 as an encoder gets them: a photo, six slices of a brain, a CT, an MR, an ultrasound in colour.

    None is so small that one pixel of a mask is a hundredth of it.
    """
    volume = open_scan(sample_volume())
    intensity = intensity_for(volume.voxels, volume.modality)
    images = [open_scan(sample_photo()).slice_at(0, 0)]
    images += [intensity.apply(volume.slice_at(axis, index)) for axis, index in SLICES]
    folder = files("pydicom") / "data" / "test_files"
    for name in DICOM:
        pixels = dcmread(str(folder / name)).pixel_array
        images.append(intensity_for(pixels, None).apply(pixels))
    return images
