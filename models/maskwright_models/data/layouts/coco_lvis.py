"""RITM's COCO+LVIS: objects of both with which lies in which, as pickles, read as data alone.

``train/hannotation.pickle`` maps an image's name to ``num_instance_masks`` and ``hierarchy`` (number of an object ->
its parent, children and level, or None); ``train/masks/NAME.pickle`` holds encoded pictures and, for each object, its
picture and value there; ``train/images/NAME.jpg``. Objects after the instances are stuff. There are no names.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright_models.arrays_only import load_arrays
from maskwright_models.data.index import Dataset, ImageEntry, LazyMap
from maskwright_models.data.layouts.files import images_in

_LIST = "hannotation.pickle"


def sniff(folder: Path, split: str) -> bool:
    """Whether the list of the split is there."""
    return (folder / split / _LIST).is_file()


def read(folder: Path, split: str) -> Dataset:
    """One set: a map a level, so that an object and what it is part of are both whole. Stuff is on the first map."""
    file = folder / split / _LIST
    images, entries = images_in(folder / split / "images"), []
    try:
        for name, about in sorted(_load(file).items()):
            masks = folder / split / "masks" / f"{name}.pickle"
            if name not in images or not masks.is_file():
                continue
            count = int(about["num_instance_masks"])
            levels: dict[int, list[int]] = {}
            for number in range(count):
                levels.setdefault(_level(about["hierarchy"], number), []).append(number)
            maps, labels = [], {}
            for level in sorted(levels):
                one = LazyMap(f"{name}@{level + 1}", partial(_decode, masks, tuple(levels[level]), count, level == 0))
                maps.append(one)
                labels |= {(one.name, number + 1): "" for number in levels[level]}
            entries.append(ImageEntry(images[name], tuple(maps), labels))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ScanError("not the list of RITM's COCO+LVIS", path=file, hint="Download it again.") from error
    if not entries:
        raise ScanError(
            "no image of this list is here with its masks",
            path=file,
            hint="Put them into images/ and masks/ beside it.",
        )
    return Dataset(folder.name, "natural", "photo", tuple(entries))


def _level(hierarchy: Mapping[int, Any], number: int) -> int:
    about = hierarchy.get(number)
    return 0 if about is None else int(about.get("node_level", 0))


def _decode(path: Path, numbers: tuple[int, ...], instances: int, with_stuff: bool) -> np.ndarray:
    try:
        encoded, places = _load(path)
        pictures = [np.asarray(cv2.imdecode(np.asarray(p, np.uint8), cv2.IMREAD_UNCHANGED)) for p in encoded]
        index = np.zeros(pictures[0].shape[:2], np.int32)
        for number in (*(range(instances, len(places)) if with_stuff else ()), *numbers):
            picture, value = places[number]
            index[pictures[picture] == value] = number + 1
    except (cv2.error, IndexError, TypeError, ValueError) as error:
        raise ScanError("the masks of this image are damaged", path=path, hint="Download them again.") from error
    return index


def _load(path: Path) -> Any:
    try:
        return load_arrays(path.read_bytes())
    except Exception as error:  # an unpickler raises whatever the bytes make it raise
        raise ScanError(
            f"this pickle is damaged or holds more than data ({error})",
            path=path,
            hint="Do not use it; get it from its authors again.",
        ) from error
