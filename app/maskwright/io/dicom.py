"""Reads DICOM scans: headers through pydicom, pixels of every compression through SimpleITK (GDCM)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.core.errors import GeometryError, ScanError
from maskwright.core.volume import Volume
from maskwright.io.checks import COPY_AGAIN, refuse_large, refuse_missing_values
from maskwright.io.dicom_header import Slice
from maskwright.io.dicom_series import stack_geometry
from maskwright.io.native import quiet

# DICOM modality codes to the words of this program; a code that is not here becomes "".
_MODALITIES = {
    "CT": "ct",
    "MR": "mr",
    "PT": "pet",
    "NM": "nm",
    "US": "ultrasound",
    "IVUS": "ultrasound",
    "CR": "xray",
    "DX": "xray",
    "MG": "xray",
    "RG": "xray",
    "RF": "xray",
    "XA": "xray",
    "PX": "xray",
    "IO": "xray",
    "ES": "endoscopy",
    "OP": "fundus",
    "SM": "histology",
    "GM": "microscopy",
    "XC": "photo",
}


def read_scan(slices: Sequence[Slice], *, source: Path) -> Volume:
    """Read the pixels of one scan, as `dicom_series.group_series` sorted it.

    Returns
    -------
    Values with slope and intercept applied (Hounsfield units for CT): int16 or the smallest integer type that holds
    them where both are whole numbers in all slices, else float32. Pixels that are stored with white as the lowest
    value (MONOCHROME1) are turned round, so that more is brighter everywhere. Colour is 8-bit RGB.

    Raises
    ------
    ScanError
        If the slices do not make a grid (see `dicom_series.stack_geometry`), or their pixels are damaged or
        compressed in an unknown way.
    """
    first = slices[0]
    refuse_large((len(slices), *first.shape_yx), path=first.path)
    try:
        geometry = stack_geometry(slices)
    except GeometryError as error:
        raise ScanError(error.what, path=first.path, hint="Its header needs repair.") from error
    voxels = _frames(slices) if first.n_frames > 1 else _files(slices)
    refuse_missing_values(voxels, path=source)
    return Volume(
        voxels, geometry, _MODALITIES.get(first.modality, ""), source, _shown_window(slices[len(slices) // 2])
    )


def _files(slices: Sequence[Slice]) -> np.ndarray:
    """Decode one file per slice into one array, never holding more than a slice beside it."""
    whole = all(s.slope.is_integer() and s.intercept.is_integer() for s in slices)
    out: np.ndarray | None = None
    for i, s in enumerate(slices):
        pixels = _decode(s.path)
        if len(pixels) != 1 or pixels.shape[1:3] != s.shape_yx:
            raise ScanError("the pixels do not fit the header", path=s.path, hint=COPY_AGAIN)
        if out is None:
            dtype = pixels.dtype if pixels.dtype == np.uint8 else np.dtype(np.int16 if whole else np.float32)
            out = np.empty((len(slices), *pixels.shape[1:]), dtype)
        if pixels[0].shape != out.shape[1:]:
            raise ScanError(
                "some slices of this series are in colour and some are grey",
                path=s.path,
                hint="Move the files that do not belong to it to a folder of their own.",
            )
        if out.dtype.kind in "iu":
            out = _wide_enough(out, i, pixels[0])
        out[i] = pixels[0]
    assert out is not None  # a scan has at least one slice
    return out


def _frames(slices: Sequence[Slice]) -> np.ndarray:
    """Decode one file with many frames, and put them in the order of their positions."""
    first = slices[0]
    if len({(s.slope, s.intercept) for s in slices}) > 1:
        raise ScanError(
            "the frames of this file have different rescale factors",
            path=first.path,
            hint="Export it as a series with one file per slice.",
        )
    pixels = _decode(first.path)
    if len(pixels) != first.n_frames or pixels.shape[1:3] != first.shape_yx:
        raise ScanError("the pixels do not fit the header", path=first.path, hint=COPY_AGAIN)
    order = [s.frame for s in slices]
    if order != list(range(len(pixels))):
        pixels = pixels[order]
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    if pixels.dtype.itemsize <= 2:
        return pixels
    out = np.empty(pixels.shape, np.int16)
    out = _wide_enough(out, 0, pixels)
    out[...] = pixels
    return out


def _wide_enough(out: np.ndarray, filled: int, pixels: np.ndarray) -> np.ndarray:
    """Return `out` in an integer type that holds its first `filled` slices and the new pixels too."""
    if np.can_cast(pixels.dtype, out.dtype):
        return out
    low, high = float(pixels.min()), float(pixels.max())
    if np.iinfo(out.dtype).min <= low and high <= np.iinfo(out.dtype).max:
        return out
    if filled:
        low, high = min(low, float(out[:filled].min())), max(high, float(out[:filled].max()))
    fitting = (t for t in (np.int16, np.uint16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    wider = np.empty(out.shape, next(fitting, np.float32))
    wider[:filled] = out[:filled]
    return wider


def _decode(path: Path) -> np.ndarray:
    """Decode a file to rescaled ``(frames, y, x)`` numbers or ``(frames, y, x, 3)`` uint8."""
    import SimpleITK as sitk

    with quiet():
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise ScanError(
                "the pixels of this DICOM file are damaged or compressed in an unknown way",
                path=path,
                hint=f"{COPY_AGAIN[:-1]}, or export it without compression.",
            ) from error
        pixels = sitk.GetArrayFromImage(image)
    if image.GetDimension() == 2:
        pixels = pixels[None]
    if image.GetNumberOfComponentsPerPixel() > 1:
        pixels = pixels[..., :3]
        return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return pixels


def _shown_window(middle: Slice) -> tuple[float, float] | None:
    """Return the window of the header in the values that `_decode` gives, which are turned round for MONOCHROME1."""
    if middle.window is None or middle.inverted_sum is None:
        return middle.window
    level, width = middle.window
    return middle.inverted_sum * middle.slope + 2 * middle.intercept - level, width
