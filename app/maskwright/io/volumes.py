"""Reads NIfTI, NRRD and MetaImage volumes through SimpleITK, which gives LPS whatever frame the file uses."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import GeometryError, ScanError
from maskwright.core.geometry import Geometry
from maskwright.core.volume import Volume
from maskwright.io.checks import COPY_AGAIN, refuse_large, refuse_missing, refuse_missing_values
from maskwright.io.native import quiet

# kind: (name of SimpleITK's reader, endings it insists on; the first is lent to files named otherwise)
_READERS = {
    "NIfTI": ("NiftiImageIO", (".nii", ".nii.gz", ".hdr", ".nia", ".img")),
    "NIfTI.gz": ("NiftiImageIO", (".nii.gz",)),
    "NRRD": ("NrrdImageIO", (".nrrd", ".nhdr")),
    "MetaImage": ("MetaImageIO", (".mha", ".mhd")),
}
_NIFTI_INTEGERS = {"2", "4", "8", "256", "512", "768"}  # datatype codes of uint8, int16, int32, int8, uint16, uint32
_HEADER = 348
_BLOCK = 1 << 20  # bytes; a multiple of every number's size


def read(path: Path, *, kind: str) -> Volume:
    """Read one volume, or one 2-D image, into voxels on an LPS grid.

    Parameters
    ----------
    path
        The file; its ending does not matter.
    kind
        ``NIfTI``, ``NIfTI.gz``, ``NRRD`` or ``MetaImage``.

    Returns
    -------
    Integers as stored where the file's own scaling has whole numbers, else float32; RGB as uint8. The modality is
    ``""``: these files do not say it. A 2-D image is one slice.

    Raises
    ------
    ScanError
        If the file is damaged, cut off, too large, or not one 3-D image. A file with several volumes (4-D: time
        points, echoes, diffusion directions) is refused: masks belong to one of them, and silently taking the first
        would annotate one that nobody chose. A fourth dimension of length 1 is dropped.
    """
    name = kind.partition(".")[0]
    if name == "NIfTI":
        _check_nifti(path, gzipped=kind == "NIfTI.gz")
    image = _load(path, kind)
    if image.GetDimension() not in (2, 3):
        sizes = " x ".join(str(n) for n in image.GetSize())
        raise ScanError(
            f"this file holds {math.prod(image.GetSize()[3:])} volumes ({sizes})",
            path=path,
            hint="Split it into one file per volume, and open the one to annotate.",
        )
    try:
        geometry = Geometry.from_sitk(image)
    except GeometryError as error:
        raise ScanError(error.what, path=path, hint="Correct its header, or convert the scan again.") from error
    voxels = _voxels(image, path)
    refuse_missing_values(voxels, path=path)
    if name == "NIfTI" and voxels.dtype.kind == "f":
        voxels = _integers_again(voxels, image)
    return Volume(voxels, geometry, "", path)


def _load(path: Path, kind: str) -> Any:
    import SimpleITK as sitk

    name = kind.partition(".")[0]
    reader_name, endings = _READERS[kind]
    with quiet(), _with_ending(path, endings) as named:
        reader = sitk.ImageFileReader()
        reader.SetImageIO(reader_name)
        reader.SetFileName(str(named))
        try:
            reader.ReadImageInformation()
            size = (*reader.GetSize(), 1, 1)
            slices = math.prod(reader.GetSize()[2:])
            refuse_large((slices, size[1], size[0]), path=path)
            if reader.GetPixelID() == sitk.sitkFloat64:
                reader.SetOutputPixelType(sitk.sitkFloat32)  # half the memory; no scanner has more than 24 bits
            return reader.Execute()
        except RuntimeError as error:
            if "orthonormal" in str(error):
                raise ScanError(
                    "the axes of this volume are not at right angles (sheared)",
                    path=path,
                    hint="Resample it to a straight grid, and open the result.",
                ) from error
            raise ScanError(f"the {name} file is damaged or incomplete", path=path, hint=COPY_AGAIN) from error


@contextlib.contextmanager
def _with_ending(path: Path, endings: tuple[str, ...]) -> Iterator[Path]:
    """Give the file under a name that ITK accepts: it looks at the ending before it looks inside."""
    if path.name.lower().endswith(endings):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="maskwright-") as folder:
        named = Path(folder) / f"scan{endings[0]}"
        try:
            os.symlink(path.resolve(), named)
        except OSError:  # Windows gives links only to developers
            shutil.copyfile(path, named)
        yield named


def _voxels(image: Any, path: Path) -> np.ndarray:
    import SimpleITK as sitk

    components = image.GetNumberOfComponentsPerPixel()
    voxels = sitk.GetArrayFromImage(image)
    if voxels.dtype.kind not in "iuf" or (components > 1 and not (components in (3, 4) and voxels.dtype == np.uint8)):
        raise ScanError(
            f"a voxel of this file is not a number or a colour ({image.GetPixelIDTypeAsString()})",
            path=path,
            hint="Open the scan itself rather than a field of vectors computed from it.",
        )
    if components > 1:
        voxels = np.ascontiguousarray(voxels[..., :3])
    if image.GetDimension() == 2:
        voxels = voxels[None]
    if voxels.dtype in (np.int64, np.uint64):  # what numpy writes by default; no scanner does
        low, high = int(voxels.min()), int(voxels.max())
        if np.iinfo(np.int32).min <= low and high <= np.iinfo(np.int32).max:
            voxels = voxels.astype(np.int32)
    return voxels


def _integers_again(voxels: np.ndarray, image: Any) -> np.ndarray:
    """Undo ITK's change to float where the stored integers and the file's slope and intercept are whole numbers."""
    keys = ("datatype", "scl_slope", "scl_inter")
    if not all(image.HasMetaDataKey(key) for key in keys):
        return voxels
    datatype, slope, intercept = (image.GetMetaData(key) for key in keys)
    if datatype not in _NIFTI_INTEGERS or not (float(slope).is_integer() and float(intercept).is_integer()):
        return voxels
    low, high = float(voxels.min()), float(voxels.max())
    for dtype in (np.int16, np.uint16, np.int32):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max and max(-low, high) < 2**24:
            return voxels.astype(dtype)  # float32 holds whole numbers below 2**24 exactly
    return voxels


def _check_nifti(path: Path, *, gzipped: bool) -> None:
    """Raise ScanError if a NIfTI file is shorter than its header says, or has floats that are no numbers.

    WORKAROUND: ITK (5.4) reads zeros for what is missing and for NaN, and says nothing. Its log goes to the terminal.
    """
    open_it: Callable[[Path, str], Any] = gzip.GzipFile if gzipped else Path.open
    try:
        with open_it(path, "rb") as stream:
            header = stream.read(_HEADER)
        if header[4:7] == b"n+2":
            raise ScanError(
                "this is a NIfTI-2 file, and only NIfTI-1 can be read", path=path, hint="Save it as NIfTI-1 or NRRD."
            )
        start, n_bytes, dtype = _nifti_data(header)
        if header[344:347] == b"ni1":  # the voxels are in a second file, NAME.img
            path = path.with_suffix(".img")
            if gzipped or not path.exists():
                return
            start = 0
        if dtype is None and not gzipped:
            actual = path.stat().st_size - start
        elif dtype is None and _gzip_length(path) == (start + n_bytes) % 2**32:
            return  # of a file with more than one gzip member this says nothing, so anything else is counted out
        else:
            with open_it(path, "rb") as stream:
                stream.read(start)
                actual, missing = _scan(stream, n_bytes, dtype)
                stream.read(1)  # at the end of its data gzip compares the checksum
            if dtype is not None and actual >= n_bytes:
                refuse_missing(missing, n_bytes // dtype.itemsize, path=path)
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise ScanError("the NIfTI file is damaged or incomplete", path=path, hint=COPY_AGAIN) from error
    if actual < n_bytes:
        raise ScanError(
            f"the NIfTI file is cut off: {n_bytes - actual:,} bytes are missing", path=path, hint=COPY_AGAIN
        )


def _scan(stream: Any, n_bytes: int, dtype: np.dtype | None) -> tuple[int, int]:
    """Read up to `n_bytes`; return how many there are, and how many of them as numbers of `dtype` are not finite."""
    actual = missing = 0
    while actual < n_bytes and (block := stream.read(min(_BLOCK, n_bytes - actual))):
        actual += len(block)
        if dtype is not None:
            values = np.frombuffer(block, dtype, count=len(block) // dtype.itemsize)
            missing += values.size - int(np.count_nonzero(np.isfinite(values)))
    return actual, missing


def _nifti_data(header: bytes) -> tuple[int, int, np.dtype | None]:
    """Return the offset and length in bytes of the voxels, and their dtype if it is a float (NIfTI-1)."""
    order = "<" if struct.unpack_from("<i", header)[0] == 348 else ">"
    dims = struct.unpack_from(f"{order}8h", header, 40)
    code, bits = struct.unpack_from(f"{order}2h", header, 70)
    (start,) = struct.unpack_from(f"{order}f", header, 108)
    n_bytes = math.prod(max(1, n) for n in dims[1 : 1 + dims[0]]) * bits // 8
    floats = {16: np.dtype(f"{order}f4"), 64: np.dtype(f"{order}f8")}
    return max(int(start), 0), n_bytes, floats.get(code)


def _gzip_length(path: Path) -> int:
    """Return the uncompressed length, modulo 2**32, that a gzip file of one member ends with."""
    with path.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        return struct.unpack("<I", stream.read(4))[0]
