"""Index of the 2-D training data: which object of which map of which image, with dataset, modality and label.

Layouts of others are in :mod:`maskwright_models.data.layouts`. The one read here is ``SET/images/NAME.jpg|png``,
``SET/objects/NAME.png`` or ``NAME@K.png`` (index maps, 0 = background), ``SET/labels.csv`` (header
``file,index,label``), ``SET/modality.txt`` (medical sets; photos have none).
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright_models.data.licences import LICENCES


@dataclass(frozen=True, slots=True, eq=False)
class LazyMap:
    """An index map that no picture holds as it is.

    ``decode`` gives (Y, X) whole numbers at the size of the image: 0 background, 1..N objects, -1 ignored.
    """

    name: str
    decode: Callable[[], np.ndarray]


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One training image and its index maps; ``labels`` maps (map name, index) to the label text.

    Maps of other layouts than ours list every object in ``labels``, with an empty text where it has no name.
    """

    image: Path
    maps: tuple[Path | LazyMap, ...]
    labels: dict[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One training set. ``modality`` is ``photo`` where the set states none."""

    name: str
    group: str
    modality: str
    images: tuple[ImageEntry, ...]

    @property
    def fingerprint(self) -> str:
        """sha256 over image names and sizes, what stored features of this set are signed with."""
        digest = hashlib.sha256(self.name.encode())
        for entry in self.images:
            digest.update(f"{entry.image.name}:{entry.image.stat().st_size};".encode())
        return digest.hexdigest()


def read_map(source: Path | LazyMap) -> np.ndarray:
    """(Y, X) index map of an image, 0 where there is no object. Raises ScanError where it cannot be decoded."""
    if isinstance(source, LazyMap):
        return np.maximum(source.decode(), 0)
    index = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    if index is None:
        raise ScanError("not a readable index map", path=source, hint="Replace the file or take it out of the set.")
    return index


def read_dataset(folder: Path) -> Dataset:
    """Read one set. Raises ScanError where a part is missing or an index map has no image."""
    for part in ("images", "objects", "labels.csv"):
        if not (folder / part).exists():
            raise ScanError(f"the training set has no {part}", path=folder, hint="Complete it or take it out.")
    images = {p.stem: p for p in sorted((folder / "images").iterdir())}
    maps: dict[str, list[Path]] = {stem: [] for stem in images}
    for path in sorted((folder / "objects").glob("*.png")):
        stem = path.stem if path.stem in images else path.stem.rsplit("@", 1)[0]
        if stem not in images:
            raise ScanError("no image has the name of this map", path=path, hint="Name maps NAME.png or NAME@K.png.")
        maps[stem].append(path)
    labels: dict[str, dict[tuple[str, int], str]] = {}
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            labels.setdefault(row["file"], {})[row["file"], int(row["index"])] = row["label"]
    modality_file = folder / "modality.txt"
    modality = modality_file.read_text("utf-8").strip() if modality_file.exists() else "photo"
    entries = []
    for stem, image in images.items():
        if maps[stem]:
            merged = {k: v for path in maps[stem] for k, v in labels.get(path.name, {}).items()}
            entries.append(ImageEntry(image, tuple(maps[stem]), merged))
    return Dataset(folder.name, folder.parent.name, modality, tuple(entries))


def read_index(
    root: Path, *, licences: str = "all", only: tuple[str, ...] = (), layout: str = "auto", split: str = "train"
) -> list[Dataset]:
    """All sets under ``root/natural`` and ``root/medical``, or those in the layout of others.

    Parameters
    ----------
    licences
        ``open`` leaves out restricted sets and those not in the table of licences.
    only
        Keeps the named sets.
    layout
        ``maskwright``, a name of :data:`maskwright_models.data.layouts.LAYOUTS`, or ``auto``: ours where ``natural/``
        or ``medical/`` is there, else what the files look like.
    split
        ``train`` or ``val``, for the layouts of others that have both.

    Raises
    ------
    ScanError
        Where there is no set, or a set does not hold what its layout says.
    """
    if licences not in ("all", "open"):
        raise ValueError(f"licences is 'all' or 'open', not {licences!r}")
    groups = [root / group for group in ("natural", "medical") if (root / group).is_dir()]
    if layout == "maskwright" or (layout == "auto" and groups):
        folders = [f for group in groups for f in sorted(group.iterdir()) if f.is_dir()]
        found = [read_dataset(f) for f in folders if _wanted(f.name, licences, only)]
        none_here = not folders
    else:
        from maskwright_models.data.layouts import read_layout

        every = read_layout(root, layout=layout, split=split)
        found = [d for d in every if _wanted(d.name, licences, only)]
        none_here = not every
    if none_here:
        raise ScanError(
            "there are no training sets here",
            path=root,
            hint="Put them into natural/ and medical/, or name the layout that they are in.",
        )
    return found


def _wanted(name: str, licences: str, only: tuple[str, ...]) -> bool:
    is_open = name in LICENCES and not LICENCES[name].restricted
    return (licences == "all" or is_open) and (not only or name in only)
