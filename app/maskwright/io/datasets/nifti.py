"""NIfTI label maps on the grid of their scan; reader (also NRRD and MHA) and writer.

Layout of what is written: ``NAME.nii.gz`` per scan, value = label id; ``labels.json`` and ``labels.txt`` (ITK-SNAP).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import AnnotationError, ExportError, GeometryError, ScanError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import LabelSet
from maskwright.io.datasets import label_table, overlaps
from maskwright.io.datasets.items import (
    ImportedItem,
    Item,
    Loaded,
    Options,
    dataset_names,
    labels_of,
    object_voxels,
    objects_from_labels,
    slices_of,
    stem,
)
from maskwright.io.native import quiet
from maskwright.io.scans import READERS, open_scan

_DEFAULT = Options()
_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_KINDS = ("NIfTI", "NIfTI.gz", "NRRD", "MetaImage")
_LARGEST = 65_535
_TOLERANCE_MM = 0.01


def accepts(item: Item) -> str:
    """Photos have no millimetres, and a tilted gantry has no NIfTI grid."""
    if item.is_photo:
        return "a photo has no grid in millimetres; export it as COCO or PNG"
    if item.geometry.is_sheared:
        return "its slices are not at a right angle to their stack (tilted gantry); export it as COCO or PNG"
    return ""


def write(items: Sequence[Item], folder: Path, options: Options = _DEFAULT) -> list[str]:
    """Write label maps and tables of labels; returns sentences on what a label map could not hold.

    Raises
    ------
    ExportError
        When a file cannot be written, with the system's reason.
    """
    del options
    labels = labels_of(items)
    notes: list[str] = []
    for item, name in zip(items, dataset_names(items), strict=True):
        values = np.zeros(item.geometry.shape_zyx, _dtype(labels))
        objects = slices_of(item)
        hidden = 0
        for index in sorted({z for _, per_slice in objects for z in per_slice}):
            shown = [(one, per_slice[index]) for one, per_slice in objects if index in per_slice]
            hidden += overlaps.stack(shown, values[index])
        _save(values, item.geometry, folder / f"{name}.nii.gz")
        way_out = "COCO, or PNG with one file per object, keeps all."
        notes += overlaps.hidden_sentence(name, hidden, unit="voxels", way_out=way_out)
        notes += overlaps.merged_sentence(item, name)
    label_table.write_json(labels, folder / label_table.JSON_NAME)
    label_table.write_snap(labels, folder / label_table.SNAP_NAME)
    return notes


def check(items: Sequence[Item], folder: Path, options: Options = _DEFAULT) -> None:
    """Read everything back with SimpleITK and compare voxels, grid and labels; ExportError on the first difference."""
    del options
    labels = labels_of(items)
    label_table.check(labels, folder, snap=True)
    for item, name in zip(items, dataset_names(items), strict=True):
        path = folder / f"{name}.nii.gz"
        wanted = np.zeros(item.geometry.shape_zyx, _dtype(labels))
        for one in item.annotation.objects:
            wanted[object_voxels(one, item.geometry)] = one.label_id
        values, geometry = _read_back(path)
        if values.dtype != wanted.dtype or not np.array_equal(values, wanted):
            raise ExportError("an exported label map reads back differently", path=path)
        if not geometry.is_close(item.geometry, tolerance_mm=_TOLERANCE_MM):
            raise ExportError(
                f"an exported label map lies elsewhere than its scan ({difference(geometry, item.geometry)})", path=path
            )


def _dtype(labels: LabelSet) -> type[np.unsignedinteger]:
    largest = max((label.id for label in labels), default=0)
    if largest > _LARGEST:
        raise ExportError(f"a label map holds label numbers up to {_LARGEST}, not {largest}")
    return np.uint8 if largest <= 255 else np.uint16


def _save(values: np.ndarray, geometry: Geometry, path: Path) -> None:
    import SimpleITK as sitk

    image: Any = sitk.GetImageFromArray(values)
    geometry.to_sitk(image)
    try:
        with quiet():
            sitk.WriteImage(image, str(path), True)
    except RuntimeError as error:
        raise ExportError("the label map could not be written", path=path) from error


def _read_back(path: Path) -> tuple[np.ndarray, Geometry]:
    """Values (z, y, x) as stored and their grid, by SimpleITK; ExportError when the file is short or damaged.

    WORKAROUND: ITK (5.4) neither notices that the disk is full when it writes, nor that the end of a compressed file is
    missing when it reads; the checksum of gzip does.
    """
    import SimpleITK as sitk

    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
        with quiet():
            image: Any = sitk.ReadImage(str(path))
        geometry = Geometry.from_sitk(image)
    except (OSError, EOFError, zlib.error, RuntimeError, GeometryError) as error:
        raise ExportError("an exported label map cannot be read back", path=path) from error
    return np.asarray(sitk.GetArrayFromImage(image)).reshape(geometry.shape_zyx), geometry


def read(path: Path) -> list[ImportedItem]:
    """Label maps of a file, or of all NIfTI, NRRD and MHA files in a folder.

    Raises
    ------
    AnnotationError
        When there is none, or the file is of another kind.
    """
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.name.lower().endswith(_ENDINGS))
        if not files:
            raise AnnotationError("there are no label maps (.nii.gz, .nrrd, .mha) in this folder", path=path)
    else:
        files = [path]
        try:
            with path.open("rb") as stream:
                head = stream.read(1024)
        except OSError as error:
            raise AnnotationError(f"the label map cannot be read ({error.strerror})", path=path) from error
        if next((one.kind for one in READERS if one.matches(head)), "") not in _KINDS:
            raise AnnotationError("this is not a NIfTI, NRRD or MetaImage file, or it is damaged", path=path)
    return [ImportedItem(stem(one.name), one, partial(_load, one)) for one in files]


def _load(path: Path, geometry: Geometry) -> Loaded:
    try:
        volume = open_scan(path)
    except ScanError as error:
        raise AnnotationError(error.what, path=error.path or path, hint=error.hint) from error
    if volume.is_rgb:
        raise AnnotationError("this has several numbers per voxel and is not a label map", path=path)
    values = _whole_numbers(volume.voxels, path)
    try:
        values = to_grid(values, volume.geometry, geometry)
    except AnnotationError as error:
        raise AnnotationError(error.what, path=path, hint=error.hint) from error
    objects, labels = objects_from_labels(values, label_table.find(path))
    return Loaded(labels, objects)


def _whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind == "f":
        odd = values != np.rint(values)
        if odd.any():
            example = values[np.unravel_index(int(odd.argmax()), odd.shape)]
            raise AnnotationError(
                f"{int(odd.sum()):,} voxels are not whole numbers, such as {example:g}: this is not a label map",
                path=path,
            )
    low, high = values.min(), values.max()
    if low < 0 or high > _LARGEST:
        raise AnnotationError(
            f"values from {low:g} to {high:g} are not labels, which go from 0 to {_LARGEST}", path=path
        )
    return values.astype(np.uint16)


def to_grid(values: np.ndarray, grid: Geometry, wanted: Geometry) -> np.ndarray:
    """Values (z, y, x) on another listing of the same voxels: axes swapped and turned round, nothing interpolated.

    Raises
    ------
    AnnotationError
        When the voxels of the two grids are not the same points to within 0.01 mm, with the numbers.
    """
    onto = np.linalg.inv(wanted.affine) @ grid.affine  # index (x, y, z) of a value -> index in the wanted grid
    turn = np.rint(onto[:3, :3])
    if not ((np.abs(turn).sum(axis=0) == 1).all() and (np.abs(turn).sum(axis=1) == 1).all()):
        raise _other_grid(grid, wanted)
    comes_from = np.abs(turn).argmax(axis=1)
    signs = turn.sum(axis=1)
    moved = np.transpose(values.T, comes_from)  # in x, y, z order
    moved = np.flip(moved, tuple(int(axis) for axis in np.flatnonzero(signs < 0)))
    linear = grid.affine[:3, :3] @ turn.T
    sizes = np.array(grid.shape_zyx[::-1])[comes_from]
    first = turn.T @ np.where(signs < 0, sizes - 1, 0)  # index of the value that comes to lie at (0, 0, 0)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, grid.index_to_mm(np.abs(first))
    listed = Geometry((int(sizes[2]), int(sizes[1]), int(sizes[0])), affine)
    if not listed.is_close(wanted, tolerance_mm=_TOLERANCE_MM):
        raise _other_grid(listed, wanted)
    return np.ascontiguousarray(moved.T)


def difference(grid: Geometry, wanted: Geometry) -> str:
    """Say in numbers how two grids differ: size, else spacing, else how far apart their voxels lie."""
    if grid.shape_zyx != wanted.shape_zyx:
        return f"{_times(grid.shape_zyx[::-1])} voxels against {_times(wanted.shape_zyx[::-1])}"
    if not np.allclose(grid.spacing_zyx_mm, wanted.spacing_zyx_mm, rtol=0, atol=0.01):
        return f"spacing {_times(grid.spacing_zyx_mm[::-1])} mm against {_times(wanted.spacing_zyx_mm[::-1])} mm"
    z, y, x = (n - 1 for n in grid.shape_zyx)
    corners = np.array([(i, j, k) for i in (0, x) for j in (0, y) for k in (0, z)])
    apart = np.linalg.norm(grid.index_to_mm(corners) - wanted.index_to_mm(corners), axis=1).max()
    return f"voxels up to {apart:.4g} mm apart; origin {_point(grid)} against {_point(wanted)}"


def _other_grid(grid: Geometry, wanted: Geometry) -> AnnotationError:
    return AnnotationError(
        f"the label map lies on another grid than the scan: {difference(grid, wanted)}",
        hint="Resample it onto the scan first, without interpolation.",
    )


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{n:.6g}" for n in numbers)


def _point(grid: Geometry) -> str:
    return "(" + ", ".join(f"{n:.6g}" for n in grid.origin_mm) + ")"
