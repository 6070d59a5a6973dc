"""Training and test sets in the layouts that others published them in, as the same index as our own sets.

A layout is one file here with ``sniff(folder, split)``, whether the folder looks like it, and ``read(folder, split)``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.errors import ScanError
from maskwright_models.data.index import Dataset
from maskwright_models.data.layouts import coco, coco_lvis, grabcut, imed, panoptic, sbd

SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True)
class Layout:
    """How a published set lies on disk; ``what`` says it in a few words."""

    what: str
    sniff: Callable[[Path, str], bool]
    read: Callable[[Path, str], Dataset]


LAYOUTS = {
    "imed": Layout("IMed-361M: dataset.json, image/, label/, imask/", imed.sniff, imed.read),
    "coco-lvis": Layout("RITM's COCO+LVIS: train/hannotation.pickle", coco_lvis.sniff, coco_lvis.read),
    "sbd": Layout("SBD: img/, inst/*.mat, train.txt", sbd.sniff, sbd.read),
    "panoptic": Layout("COCO panoptic: panoptic_train2017.json and its pictures", panoptic.sniff, panoptic.read),
    "coco": Layout("COCO or LVIS: instances_train2017.json, lvis_v1_train.json", coco.sniff, coco.read),
    "grabcut": Layout("GrabCut, Berkeley, DAVIS: img/ and gt/, or as RITM has them", grabcut.sniff, grabcut.read),
}
"""Name -> layout, in the order in which a folder is looked at."""

_DEPTH = 2  # data/grabcut/GrabCut, data/sbd/benchmark_RELEASE


def read_layout(root: Path, *, layout: str = "auto", split: str = "train") -> list[Dataset]:
    """Sets in ``root``: itself, or the folders in it, each in the layout named or the first that it looks like.

    Names of sets are those of their folders. Raises ScanError where nothing there is in the layout.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise ScanError(
            f"there is no layout named {layout}", hint=f"There are: auto, maskwright, {', '.join(LAYOUTS)}."
        )
    if split not in SPLITS:
        raise ValueError(f"split is one of {SPLITS}, not {split!r}")
    if not root.is_dir():
        raise ScanError("there is no such folder", path=root, hint="Name the folder that the set was unpacked to.")
    found = _search(root, [layout] if layout in LAYOUTS else list(LAYOUTS), split, _DEPTH)
    if not found and layout != "auto":
        raise ScanError(
            f"nothing here looks like {LAYOUTS[layout].what} (split {split})",
            path=root,
            hint="Name the folder that holds these, or another layout.",
        )
    return found


def _search(folder: Path, names: list[str], split: str, depth: int) -> list[Dataset]:
    for name in names:
        if LAYOUTS[name].sniff(folder, split):
            return [LAYOUTS[name].read(folder, split)]
    if depth == 0:
        return []
    with os.scandir(folder) as entries:  # tells folders without asking for each of a hundred thousand images
        below = sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith("."))
    return [dataset for f in below for dataset in _search(f, names, split, depth - 1)]
