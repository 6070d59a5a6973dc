"""IMed-361M (IMIS-Net, CVPR 2025): 2-D slices with one sparse mask a class, and regions found automatically.

``dataset.json`` lists ``training`` and ``test`` items with paths of ``image`` (PNG), ``label`` (scipy CSR in a .npz,
one row a class, its shape in its name) and ``imask`` (.npy, one number a region). Row i is the (i+1)th label that is
not the background.
"""

from __future__ import annotations

import re
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import ScanError
from maskwright_models.data.index import Dataset, ImageEntry, LazyMap
from maskwright_models.data.layouts.files import read_json, words

_LIST = {"train": "training", "val": "test"}
_SHAPE = re.compile(r"\((\d+), *(\d+), *(\d+)(?:, *1)?\)\.npz$")
_MODALITIES = {
    "mri": "mr",
    "x-ray": "xray",
    "x_ray": "xray",
    "us": "ultrasound",
    "pathology": "histology",
    "histopathology": "histology",
    "colonoscopy": "endoscopy",
}


def sniff(folder: Path, split: str) -> bool:
    """Whether dataset.json has the list of the split and the labels lie beside it."""
    file = folder / "dataset.json"
    return file.is_file() and (folder / "label").is_dir() and _LIST[split] in read_json(file, what="dataset.json")


def read(folder: Path, split: str) -> Dataset:
    """One set. Only the label files are opened, to see which classes an image has and which of them overlap."""
    file = folder / "dataset.json"
    about = read_json(file, what="dataset.json")
    try:
        modality = str(next(iter(about["modality"].values()))).lower()
        names = [words(str(n).replace("-", " ")) for n in about["labels"].values() if str(n).lower() != "background"]
        items = [(folder / i["image"], folder / i["label"], i.get("imask")) for i in about[_LIST[split]]]
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ScanError(
            "dataset.json lacks modality, labels, or an image or label of an item", path=file, hint="Download it again."
        ) from error
    entries = [_entry(folder, image, label, imask, names) for image, label, imask in items]
    return Dataset(folder.name, "medical", _MODALITIES.get(modality, modality), tuple(entries))


def _entry(folder: Path, image: Path, label: Path, imask: str | None, names: list[str]) -> ImageEntry:
    rows, shape = _read_rows(label)
    if len(rows) != len(names):
        raise ScanError(
            f"the label file has {len(rows)} rows, dataset.json {len(names)} labels",
            path=label,
            hint="Take the dataset.json that came with these files.",
        )
    if not image.is_file():
        raise ScanError("dataset.json names an image that is not there", path=image, hint="Unpack the set again.")
    maps: list[LazyMap] = []
    labels: dict[tuple[str, int], str] = {}
    for number, group in enumerate(_layers(rows, shape[0] * shape[1]), start=1):
        one = LazyMap(f"{label.name}@{number}", partial(_decode, label, tuple(group)))
        maps.append(one)
        labels |= {(one.name, k): names[row] for k, row in enumerate(group, start=1)}
    if imask is not None and (folder / imask).is_file():
        maps.append(LazyMap(Path(imask).name, partial(_regions, folder / imask, shape)))
    return ImageEntry(image, tuple(maps), labels)


def _layers(rows: list[np.ndarray], size: int) -> list[list[int]]:
    """Numbers of the rows that are not empty, in groups within which none overlaps another."""
    layers: list[tuple[list[int], np.ndarray]] = []
    for number, pixels in enumerate(rows):
        if pixels.size == 0:
            continue
        layer = next((one for one in layers if not one[1][pixels].any()), None)
        if layer is None:
            layer = ([], np.zeros(size, bool))
            layers.append(layer)
        layer[0].append(number)
        layer[1][pixels] = True
    return [group for group, _ in layers]


def _read_rows(path: Path) -> tuple[list[np.ndarray], tuple[int, int]]:
    """Pixel numbers of each row, and (Y, X)."""
    told = _SHAPE.search(path.name)
    if told is None:
        raise ScanError(
            "the name of this label file does not end in its shape", path=path, hint="It is STEM.(C, Y, X, 1).npz."
        )
    n, height, width = (int(g) for g in told.groups())
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            ends, pixels, values = (np.asarray(held[k]) for k in ("indptr", "indices", "data"))
            shape = tuple(int(v) for v in held["shape"])
        rows = [pixels[a:b][values[a:b] != 0] for a, b in zip(ends[:-1], ends[1:], strict=True)]
        good = shape == (n, height * width) == (len(rows), height * width) and pixels.size == int(ends[-1])
        good = good and (pixels.size == 0 or (pixels.min() >= 0 and pixels.max() < height * width))
    except (OSError, ValueError, KeyError, IndexError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise ScanError("not a readable sparse label file", path=path, hint="Unpack the set again.") from error
    if not good:
        raise ScanError(
            "the label file holds another shape than its name says", path=path, hint="Unpack the set again."
        )
    return rows, (height, width)


def _decode(path: Path, group: tuple[int, ...]) -> np.ndarray:
    rows, shape = _read_rows(path)
    index = np.zeros(shape[0] * shape[1], np.int32)
    for k, row in enumerate(group, start=1):
        index[rows[row]] = k
    return index.reshape(shape)


def _regions(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Regions by number; 0 is what none claimed, -1 is ignored."""
    try:
        with path.open("rb") as stream:
            held: Any = np.load(stream, allow_pickle=False)
        return held.reshape(shape).astype(np.int32)
    except (OSError, ValueError, EOFError) as error:
        raise ScanError(
            "not a readable map of regions of the size of its label file", path=path, hint="Unpack the set again."
        ) from error
