"""What goes into a dataset and comes out of one: items, options, and the form of every format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.errors import ExportError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View, Volume

SCAN_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".dicom", ".ima", ".png", ".jpg", ".jpeg")
SCAN_ENDINGS += (".tif", ".tiff", ".bmp", ".webp")


@dataclass(frozen=True, slots=True)
class Item:
    """One annotated scan to export.

    Parameters
    ----------
    name
        Name in the dataset, usually the file name; endings such as ``.nii.gz`` are dropped.
    source
        File or folder of the scan.
    geometry
        Its grid: every mask must have the size of the slice it lies on.
    annotation
        Labels and objects.
    modality
        As in `Volume`; where it is empty the volume or the grid tells a photo from a scan.
    volume
        The scan itself where it is at hand; formats that need its pixels open `source` otherwise.
    """

    name: str
    source: Path
    geometry: Geometry
    annotation: Annotation
    modality: str = ""
    volume: Volume | None = None

    @property
    def is_photo(self) -> bool:
        """Whether the item is a single picture without millimetres."""
        modality = self.volume.modality if self.volume is not None else self.modality
        if modality:
            return modality == "photo"
        return self.geometry.shape_zyx[0] == 1 and np.array_equal(self.geometry.affine, np.eye(4))


@dataclass(frozen=True, slots=True)
class Options:
    """Choices at export; a format takes those that its table entry lists and leaves the others alone.

    Parameters
    ----------
    polygons
        COCO: polygons instead of run lengths, for each object that polygons can hold exactly.
    instances
        PNG: one black and white file an object, so that overlapping objects stay whole.
    pictures
        COCO, PNG: write the photos and slices beside their masks.
    """

    polygons: bool = False
    instances: bool = False
    pictures: bool = True


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one item of a dataset holds, on the grid it was asked for; label ids are those of `labels`."""

    labels: LabelSet
    objects: tuple[AnnotationObject, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedItem:
    """One scan's annotation in a dataset, not read yet.

    Parameters
    ----------
    name
        Name of the scan it belongs to, as the dataset tells it.
    path
        File it is read from.
    load
        Gives the objects on the grid of a scan. Raises AnnotationError when they do not fit it.
    """

    name: str
    path: Path
    load: Callable[[Geometry], Loaded]


class Writer(Protocol):
    """Writes items into an empty folder and gives sentences on what the format could not hold."""

    def __call__(self, items: Sequence[Item], folder: Path, options: Options = ...) -> list[str]: ...  # noqa: D102


class Checker(Protocol):
    """Reads a written folder with an independent library; ExportError on the first difference."""

    def __call__(self, items: Sequence[Item], folder: Path, options: Options = ...) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of dataset.

    Parameters
    ----------
    name, title
        Key in FORMATS, and what the user reads.
    write, check
        Writer and its independent reading back.
    read
        Items of a dataset file or folder made by anyone. Raises AnnotationError when it is not one.
    accepts
        Why an item cannot be exported, or an empty string.
    options
        Names of the `Options` that the writer heeds.
    """

    name: str
    title: str
    write: Writer
    check: Checker
    read: Callable[[Path], list[ImportedItem]]
    accepts: Callable[[Item], str]
    options: tuple[str, ...] = field(default=())


def stem(name: str) -> str:
    """File name without folders and without a scan's ending: ``a/CT 1.nii.gz`` gives ``CT 1``."""
    base = name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    for ending in SCAN_ENDINGS:
        if base.lower().endswith(ending) and len(base) > len(ending):
            return base[: -len(ending)]
    return base


def path_stem(name: str) -> str:
    """File name with its folders but without a scan's ending: ``a/CT 1.nii.gz`` gives ``a/CT 1``."""
    return name[: len(name) - len(Path(name).name)] + stem(name)


def safe_name(name: str) -> str:
    """Name as it appears in file names: characters that some system refuses, and ``#``, become ``_``."""
    cleaned = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*#]', "_", name).strip(" .")
    return cleaned or "_"


def dataset_names(items: Sequence[Item]) -> list[str]:
    """Unique file-name stems for the items, in their order, also where file systems ignore upper and lower case.

    The stem where it is the only one, else the folders with it (``a_CT 1``), else the ending too, else a number.
    """
    ways = (stem, path_stem, lambda name: name)
    choices = [[safe_name(way(item.name)) for way in ways] for item in items]
    counts = Counter(name.casefold() for row in choices for name in set(row))
    names: list[str] = []
    taken: set[str] = set()
    for row in choices:
        name = next((one for one in row if counts[one.casefold()] == 1), row[-1])
        candidate, n = name, 2
        while candidate.casefold() in taken or (n > 2 and candidate.casefold() in counts):
            candidate, n = f"{name} ({n})", n + 1
        names.append(candidate)
        taken.add(candidate.casefold())
    return names


def slice_name(name: str, index: int, geometry: Geometry) -> str:
    """Name of one acquired slice: ``liver#z0012`` counts from 0; the only slice of a photo has no number."""
    return name if geometry.shape_zyx[0] == 1 else f"{name}#z{index:04d}"


def split_slice_name(name: str) -> tuple[str, int]:
    """Scan and slice index of what `slice_name` gave; index 0 without a number."""
    match = re.fullmatch(r"(.+)#z(\d+)", name)
    return (match[1], int(match[2])) if match else (name, 0)


def labels_of(items: Sequence[Item]) -> LabelSet:
    """Labels of all items, which belong to one project; ExportError when one id means two things."""
    labels = LabelSet()
    for item in items:
        for label in item.annotation.labels:
            if label.id not in labels:
                labels = labels.with_label(label)
            elif labels.get(label.id) != label:
                raise ExportError(
                    f'label {label.id} is "{label.name}" in {item.name} and "{labels.get(label.id).name}" elsewhere',
                    hint="Export the scans of one project at a time.",
                )
    return labels


def slices_of(item: Item) -> list[tuple[AnnotationObject, dict[int, Mask]]]:
    """Objects bottom to top, each with its masks on the acquired slices, by slice index.

    Masks drawn on reformatted slices (axis 1 and 2) are added to the acquired ones.

    Raises
    ------
    ExportError
        When a mask does not have the size of its slice.
    """
    depth = item.geometry.shape_zyx[0]
    flat = []
    for one in item.annotation.objects:
        _check_fit(one, item)
        if all(view.axis == 0 for view in one.masks):
            flat.append((one, {view.index: mask for view, mask in one.masks.items()}))
            continue
        voxels = object_voxels(one, item.geometry)
        masks = {z: Mask.from_array(voxels[z]) for z in range(depth) if voxels[z].any()}
        flat.append((one, masks))
    return flat


def object_voxels(one: AnnotationObject, geometry: Geometry) -> np.ndarray:
    """Voxels of an object over all its slices, of whatever axis: bool (z, y, x)."""
    voxels = np.zeros(geometry.shape_zyx, np.bool_)
    for view, mask in one.masks.items():
        voxels[(slice(None),) * view.axis + (view.index,)] |= mask.to_array()
    return voxels


def objects_from_labels(values: np.ndarray, labels: LabelSet) -> tuple[tuple[AnnotationObject, ...], LabelSet]:
    """One object per value of a label map (z, y, x) of whole numbers from 0, which is background, to 65535.

    Values that the labels do not know get one called "Label N"; the second value returned has them too.
    """
    masks: dict[int, dict[View, Mask]] = {}
    for z, slice_yx in enumerate(values):
        for value in np.flatnonzero(np.bincount(slice_yx.ravel())):
            if value:
                masks.setdefault(int(value), {})[View(0, z)] = Mask.from_array(slice_yx == value)
    for value in sorted(masks):
        if value not in labels:
            labels = with_named(labels, value, f"Label {value}")
    objects = (AnnotationObject(i, value, masks[value]) for i, value in enumerate(sorted(masks), start=1))
    return tuple(objects), labels


def with_named(labels: LabelSet, label_id: int, name: str, color: tuple[int, int, int] | None = None) -> LabelSet:
    """Labels with one more of a given id; a name that is taken gets a number."""
    from maskwright.core.labels import Label, next_color

    candidate, n = name, 2
    while labels.by_name(candidate) is not None:
        candidate, n = f"{name} ({n})", n + 1
    chosen = color or next_color(tuple(one.color for one in labels))
    return labels.with_label(Label(label_id, candidate, chosen))


def _check_fit(one: AnnotationObject, item: Item) -> None:
    shape = item.geometry.shape_zyx
    for view, mask in one.masks.items():
        size = tuple(n for axis, n in enumerate(shape) if axis != view.axis)
        if mask.shape_yx != size or not 0 <= view.index < shape[view.axis]:
            raise ExportError(
                f"object {one.id} of {item.name} has a mask of {mask.shape_yx} on slice {view.index} along axis "
                f"{view.axis} of a scan of {shape}",
                path=item.source,
                hint="The scan was replaced by another one since it was annotated.",
            )
