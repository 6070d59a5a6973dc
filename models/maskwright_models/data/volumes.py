"""Slices of labelled volumes as 2-D training sets: what the app's encoder would see of them, with index maps.

Layout read here: ``SET/NAME_image.nii.gz``, ``SET/NAME_label.nii.gz`` on the same grid, and ``SET/meta.json`` with
``modality``, ``classes`` (number to label text), ``ground_truth`` and ``items`` (``id``, and ``modality`` where it
differs between items). Written is the 2-D layout of :mod:`maskwright_models.data.index`.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.orientation import slice_orientation
from maskwright.core.preprocess import intensity_for
from maskwright.core.volume import Volume
from maskwright.io.scans import open_scan
from maskwright_models.data.index import Dataset, read_dataset, read_index

PER_SET, PER_VOLUME = 120, (2, 10)
"""Slices of a set, shared out among its volumes; fewest and most of one volume."""

ISOTROPIC = 1.6
"""Largest ratio of spacings at which slices across the acquired ones are taken as well."""

SMALLEST_SHARE = 0.001
"""Objects that cover less of the slice are left unlabelled."""

LEAST_SIDE, MOST_ZOOM = 128, 4
"""Smaller slices are enlarged by a whole number, up to this."""

UNIONS: dict[str, tuple[tuple[str, frozenset[int]], ...]] = {
    "msd_hippocampus": (("hippocampus", frozenset({1, 2})),),
    "sct_spinal_cord": (("spinal cord", frozenset({1, 2})),),
}
"""Objects made of several classes of a set. A class of the same text is only the rest of the object, and left out."""

_AXES = ("z", "y", "x")
_MODEL_OUTPUT = "model output"


@dataclass(frozen=True, slots=True)
class VolumeItem:
    """One volume of a set: its two files, modality, and the label texts of its classes."""

    name: str
    image: Path
    label: Path
    modality: str
    classes: dict[int, str] = field(hash=False)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSlice:
    """A slice as (Y, X) uint8 and its index maps, (Y, X) uint8 or uint16, with the label text of every index."""

    pixels: np.ndarray
    maps: tuple[np.ndarray, ...]
    labels: tuple[dict[int, str], ...]


def read_volume_set(folder: Path) -> list[VolumeItem]:
    """Volumes of a set, none where its labels are the output of a model. Raises ScanError for what is missing."""
    try:
        meta: dict[str, Any] = json.loads((folder / "meta.json").read_text("utf-8"))
        classes = {int(k): str(v) for k, v in meta["classes"].items()}
        listed = [(str(i["id"]), str(i.get("modality", meta["modality"]))) for i in meta["items"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScanError(
            "meta.json of this set of volumes is missing or does not have classes, modality and items",
            path=folder,
            hint="Complete it or take the set out.",
        ) from error
    if meta.get("ground_truth") == _MODEL_OUTPUT:
        return []
    items = []
    for name, modality in listed:
        files = [folder / f"{name}_{part}.nii.gz" for part in ("image", "label")]
        for file in files:
            if not file.exists():
                raise ScanError("meta.json names a volume that is not there", path=file, hint="Correct meta.json.")
        items.append(VolumeItem(name, files[0], files[1], modality, classes))
    return items


def materialise_volumes(root: Path, out: Path, *, on_set: Callable[[str, int], None] | None = None) -> list[Path]:
    """Write slices of every set under ``root`` as 2-D training sets under ``out/medical``; returns their folders.

    A set of one modality keeps its name, one of several becomes ``SET_MODALITY``. A set is written beside its place
    and then moved there, so that one that is there is whole. Raises ScanError where there is no usable set.
    """
    written = []
    for folder in sorted(f for f in root.iterdir() if f.is_dir()) if root.is_dir() else ():
        items = read_volume_set(folder)
        modalities = sorted({i.modality for i in items})
        for modality in modalities:
            name = folder.name if len(modalities) == 1 else f"{folder.name}_{modality}"
            chosen = [i for i in items if i.modality == modality]
            target = out / "medical" / name
            count = _write_set(chosen, target, UNIONS.get(folder.name, ()))
            written.append(target)
            if on_set is not None:
                on_set(name, count)
    if not written:
        raise ScanError(
            "there are no labelled volumes here", path=root, hint="It holds SET/meta.json and SET/NAME_image.nii.gz."
        )
    return written


def index_with_volumes(
    root: Path,
    volumes_2d: Path | None,
    *,
    licences: str = "all",
    only: tuple[str, ...] = (),
    layout: str = "auto",
    split: str = "train",
) -> list[Dataset]:
    """The index of ``root``, and of the slices that :func:`materialise_volumes` wrote where a folder is given.

    ``layout`` and ``split`` are those of ``root``, as :func:`~maskwright_models.data.index.read_index` takes them.
    """
    found = read_index(root, licences=licences, only=only, layout=layout, split=split)
    return found if volumes_2d is None else found + read_index(volumes_2d, licences=licences, only=only)


def slices_of(
    image: Volume,
    labels: np.ndarray,
    item: VolumeItem,
    *,
    count: int,
    number: int = 0,
    unions: tuple[tuple[str, frozenset[int]], ...] = (),
) -> Iterator[tuple[str, LabelledSlice]]:
    """Up to ``count`` labelled slices of a volume by name, evenly spread over the part that has labels.

    Along z, and along y and x as well where the voxels are near cubes. ``number`` of the volume in its set varies
    which axis is first and where on it. The grey values are those that the app would encode; since files of volumes do
    not say that they are CT, every other CT slice has the range that the app uses then. Every other slice is turned
    the way it is shown, the rest lie as stored, which is what the app encodes.
    """
    spacing = image.geometry.spacing_zyx_mm
    axes = (0, 1, 2) if max(spacing) / min(spacing) <= ISOTROPIC else (0,)
    order = [axes[(j + number * count) % len(axes)] for j in range(count)]
    ranges = [intensity_for(image.voxels, m) for m in ((item.modality, "") if item.modality == "ct" else ("",))]
    shift = (0.5 + number * 0.618) % 1.0
    done = 0
    for axis in axes:
        slots = order.count(axis)
        usable = _usable(labels, axis)
        places = {usable[int((k + shift) * len(usable) / slots)] for k in range(slots)} if len(usable) else set()
        for place in sorted(places):
            cut = (slice(None),) * axis + (place,)
            pixels = ranges[done % len(ranges)].apply(image.voxels[cut])[..., 0]
            classes = labels[cut]
            if done % 2:
                turned = slice_orientation(image.geometry, axis)
                steps = tuple(slice(None, None, -1 if flip else 1) for flip in (turned.flip_y, turned.flip_x))
                pixels, classes = pixels[steps], classes[steps]
            in_plane = [s for i, s in enumerate(spacing) if i != axis]
            shape = _shape_out(pixels.shape, in_plane)
            maps, texts = _objects(_resized_labels(classes, shape), item.classes, unions)
            if not maps:
                continue
            enlarged = np.ascontiguousarray(pixels)
            if shape != pixels.shape:
                enlarged = cv2.resize(enlarged, shape[::-1], interpolation=cv2.INTER_CUBIC)
            yield f"{item.name}_{_AXES[axis]}{place:03d}", LabelledSlice(enlarged, maps, texts)
            done += 1


def _write_set(items: list[VolumeItem], target: Path, unions: tuple[tuple[str, frozenset[int]], ...]) -> int:
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    (part / "images").mkdir(parents=True)
    (part / "objects").mkdir()
    count = int(np.clip(PER_SET // len(items), *PER_VOLUME))
    rows: list[tuple[str, int, str]] = []
    written = 0
    for number, item in enumerate(items):
        image, label = open_scan(item.image), open_scan(item.label)
        if image.voxels.shape != label.voxels.shape or label.voxels.dtype.kind not in "iu":
            raise ScanError(
                "the label volume is not a map of whole numbers on the grid of its image",
                path=item.label,
                hint="Resample it to the image, without interpolation.",
            )
        for name, found in slices_of(image, label.voxels, item, count=count, number=number, unions=unions):
            _write_png(part / "images" / f"{name}.png", found.pixels)
            for k, (map_, texts) in enumerate(zip(found.maps, found.labels, strict=True), start=1):
                file = f"{name}.png" if len(found.maps) == 1 else f"{name}@{k}.png"
                _write_png(part / "objects" / file, map_)
                rows += [(file, index, text) for index, text in texts.items()]
            written += 1
    with open(part / "labels.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("file", "index", "label"), *rows])
    (part / "modality.txt").write_text(items[0].modality + "\n", "utf-8")
    read_dataset(part)  # nothing is put in place that training could not read
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    return written


def _write_png(path: Path, pixels: np.ndarray) -> None:
    if not cv2.imwrite(str(path), pixels):
        raise ScanError("the slice cannot be written", path=path, hint="Look whether the disk is full.")


def _usable(labels: np.ndarray, axis: int) -> np.ndarray:
    """Indices along ``axis`` of the slices in which something would be left as an object."""
    others = tuple(a for a in range(3) if a != axis)
    share = np.zeros(labels.shape[axis])
    for value in np.unique(labels):
        if value:
            share = np.maximum(share, (labels == value).mean(axis=others))
    return np.flatnonzero(share >= SMALLEST_SHARE)


def _shape_out(shape_yx: tuple[int, ...], spacing_yx: list[float]) -> tuple[int, int]:
    """Rows and columns with square pixels of the finer spacing, enlarged where the slice is small."""
    finest = min(spacing_yx)
    square = [n * s / finest if s / finest > 1.02 else n for n, s in zip(shape_yx, spacing_yx, strict=True)]
    zoom = int(np.clip(np.ceil(LEAST_SIDE / max(square)), 1, MOST_ZOOM))
    return max(1, round(square[0] * zoom)), max(1, round(square[1] * zoom))


def _resized_labels(classes: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """Every pixel takes the class with the largest share in it, so that enlarged borders are smooth, not stairs."""
    if classes.shape == shape_yx:
        return classes.astype(np.int32)
    values = np.unique(classes)
    best, out = np.full(shape_yx, -1.0, np.float32), np.zeros(shape_yx, np.int32)
    for value in values:
        share = cv2.resize((classes == value).astype(np.float32), shape_yx[::-1], interpolation=cv2.INTER_LINEAR)
        out[share > best] = value
        best = np.maximum(best, share)
    return out


def _objects(
    classes: np.ndarray, names: dict[int, str], unions: tuple[tuple[str, frozenset[int]], ...]
) -> tuple[tuple[np.ndarray, ...], tuple[dict[int, str], ...]]:
    """Index maps of the classes, and of the unions of which more than one class is seen; none where all is small."""
    present = {int(v) for v in np.unique(classes)} & set(names)
    joined = [(text, parts & present) for text, parts in unions if len(parts & present) > 1]
    rest = {text for text, _ in joined}
    single = [(names[v], frozenset({v})) for v in sorted(present) if names[v] not in rest]
    maps, texts = [], []
    for group in (single, joined):
        index = np.zeros(classes.shape, np.uint16)
        labels: dict[int, str] = {}
        for text, parts in group:
            mask = np.isin(classes, list(parts))
            if mask.mean() >= SMALLEST_SHARE:
                labels[len(labels) + 1] = text
                index[mask] = len(labels)
        if labels:
            maps.append(index.astype(np.uint8) if len(labels) < 256 else index)
            texts.append(labels)
    return tuple(maps), tuple(texts)
