"""COCO and LVIS instances, and other sets in COCO's JSON: polygons or run lengths, one annotation an object.

The file is ``annotations/instances_train2017.json``, ``lvis_v1_train.json``, ``train/_annotations.coco.json`` or
``annotations.json``; images lie in ``train2017/``, ``train/``, ``images/`` or where their names lead. Annotations of
crowds and images that are not there are passed over, as is what ``ignore_prefix.json`` (InterFormer) lists. Scans say
what they are in a ``modality.txt`` beside, as in our own layout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import AnnotationError, ScanError
from maskwright.io.datasets.coco_reader import annotation_mask
from maskwright_models.data.index import Dataset, ImageEntry, LazyMap
from maskwright_models.data.layouts.files import ImageFinder, apart, kind_of, read_json, words

_PATTERNS = (
    "annotations/instances_{}*.json",
    "instances_{}*.json",
    "annotations/lvis_v1_{}.json",
    "lvis_v1_{}.json",
    "{}/_annotations.coco.json",
    "annotations/{}.json",
    "{}.json",
)


def sniff(folder: Path, split: str) -> bool:
    """Whether there is an annotation file of the split, or one without a split."""
    return annotation_file(folder, split) is not None


def annotation_file(folder: Path, split: str) -> Path | None:
    """The annotation file of a split."""
    for pattern in _PATTERNS:
        found = sorted(folder.glob(pattern.format(split)))
        if found:
            return found[-1]  # 2017 rather than 2014
    plain = folder / "annotations.json"  # one file without a split
    return plain if plain.is_file() else None


def read(folder: Path, split: str) -> Dataset:
    """One set. The whole annotation file is held in memory, as everything that reads this layout does."""
    file = annotation_file(folder, split)
    if file is None:
        raise ScanError(f"there is no annotation file of the split {split}", path=folder, hint="Look for a .json file.")
    data = read_json(file, what="the annotation file")
    try:
        names = {c["id"]: words(str(c["name"])) for c in data.get("categories", [])}
        objects: dict[Any, list[Mapping[str, Any]]] = {}
        for one in data["annotations"]:
            if not one.get("iscrowd") and one.get("segmentation"):
                objects.setdefault(one["image_id"], []).append(one)
        images = [(i["id"], _name(i), (int(i["height"]), int(i["width"]))) for i in data["images"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScanError(
            f"not annotations as COCO has them ({error} is missing or odd)", path=file, hint="Choose another file."
        ) from error
    finder = ImageFinder(image_folders(folder, file, split))
    ignored = ignored_names(folder, split)
    entries = []
    for number, name, shape in images:
        path = finder.find(name) if number in objects and Path(name).stem not in ignored else None
        if path is not None:
            entries.append(_entry(path, objects[number], shape, names, file))
    if not entries:
        raise ScanError(
            f"none of the {len(images)} images of this annotation file is here",
            path=file,
            hint=f"Put them into {split}2017/, {split}/ or images/ beside it.",
        )
    return Dataset(folder.name, *kind_of(folder), tuple(entries))


def image_folders(folder: Path, file: Path, split: str) -> list[Path]:
    """Where images of an annotation file may lie; LVIS has images of COCO's other split as well."""
    parts = (f"{split}2017", split, f"images/{split}2017", f"images/{split}", "images", "train2017", "val2017", "")
    return [base / part for base in dict.fromkeys((folder, file.parent)) for part in parts]


def ignored_names(folder: Path, split: str) -> frozenset[str]:
    """Image names that ignore_prefix.json, here or in ../interformer, leaves out of a split."""
    for file in (folder / "ignore_prefix.json", folder.parent / "interformer" / "ignore_prefix.json"):
        if file.is_file():
            return frozenset(str(n) for n in read_json(file, what="ignore_prefix.json").get(split, ()))
    return frozenset()


def _name(image: Mapping[str, Any]) -> str:
    """Path of an image; LVIS gives its address instead, whose end is folder and name."""
    return str(image["file_name"]) if image.get("file_name") else "/".join(image["coco_url"].split("/")[-2:])


def _entry(
    path: Path, objects: list[Mapping[str, Any]], shape: tuple[int, int], names: dict[Any, str], file: Path
) -> ImageEntry:
    maps, labels = [], {}
    for number, group in enumerate(apart([_box(one) for one in objects]), start=1):
        members = tuple(objects[k] for k in group)
        one = LazyMap(f"{path.name}@{number}", partial(_decode, members, shape, file))
        maps.append(one)
        labels |= {(one.name, k): names.get(m.get("category_id"), "") for k, m in enumerate(members, start=1)}
    return ImageEntry(path, tuple(maps), labels)


def _box(one: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        return None
    x, y, w, h = (float(v) for v in box)
    return x, y, x + w, y + h


def _decode(objects: tuple[Mapping[str, Any], ...], shape: tuple[int, int], file: Path) -> np.ndarray:
    index = np.zeros(shape, np.int32)
    for k, one in enumerate(objects, start=1):
        try:
            mask = annotation_mask(one, shape, Counter(), file)
        except AnnotationError as error:
            raise ScanError(error.what, path=file, hint="Take this annotation out.") from error
        if mask is not None:
            index[mask.to_array()] = k
    return index
