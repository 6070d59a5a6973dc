"""Index of the 2-D training data: which object of which map of which image, with dataset, modality and label.

Layout read here: ``SET/images/NAME.jpg|png``, ``SET/objects/NAME.png`` or ``NAME@K.png`` (index maps, 0 = background),
``SET/labels.csv`` (header ``file,index,label``), ``SET/modality.txt`` (medical sets; photos have none).
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.errors import ScanError
from maskwright_models.data.licences import LICENCES


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One training image and its index maps; ``labels`` maps (map name, index) to the label text."""

    image: Path
    maps: tuple[Path, ...]
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


def read_index(root: Path, *, licences: str = "all", only: tuple[str, ...] = ()) -> list[Dataset]:
    """All sets under ``root/natural`` and ``root/medical``.

    ``licences="open"`` leaves out restricted sets and those not in the table of licences; ``only``
    keeps the named sets. Raises ScanError where there is no set.
    """
    if licences not in ("all", "open"):
        raise ValueError(f"licences is 'all' or 'open', not {licences!r}")
    groups = [root / group for group in ("natural", "medical") if (root / group).is_dir()]
    folders = [f for group in groups for f in sorted(group.iterdir()) if f.is_dir()]
    if not folders:
        raise ScanError("there are no training sets here", path=root, hint="Put them into natural/ and medical/.")
    if licences == "open":
        folders = [f for f in folders if f.name in LICENCES and not LICENCES[f.name].restricted]
    return [read_dataset(f) for f in folders if not only or f.name in only]
