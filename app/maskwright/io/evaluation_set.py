"""Reads an evaluation set: ``images/NAME.{jpg,png}``, ``masks/NAME.png`` or ``NAME#K.png``, ``labels.csv``.

Masks hold 255 object, 0 background, 128 ignore; ``labels.csv`` (optional) has rows of mask file name and label text.
``modality.txt`` (optional) has one word, such as ct; without it the words of the folder's name decide.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.protocol import EvaluationItem

TRAINING_HEADER = ["file", "index", "label"]
PHOTO = "photo"
MODALITIES = {
    "ct": "ct",
    "mr": "mr",
    "pet": "pet",
    "xray": "xray",
    "cxr": "xray",
    "dental": "xray",
    "us": "ultrasound",
    "derm": "dermoscopy",
    "endo": "endoscopy",
    "fundus": "fundus",
    "histo": "histology",
    "em": "em",
    "nuclei": "microscopy",
    "blood": "microscopy",
    "hippocampus": "mr",
    "brain": "mr",
}
"""Word of a set's name -> modality, for sets without modality.txt; the first word that is here decides."""


def read_evaluation_set(
    folder: Path, *, limit: int | None = None, labels: Collection[str] | None = None
) -> list[EvaluationItem]:
    """Objects of a set in the order of their mask names; ``limit`` takes that many, evenly spread.

    ``labels`` (as :func:`label_key` gives them) leaves the objects of these labels alone. Raises ScanError where the
    layout does not hold. Files are read when an item is asked for them.
    """
    todo = list(_pairs(folder))
    texts = _labels(folder)
    if labels is not None:
        todo = [(image, mask) for image, mask in todo if label_key(texts.get(mask.name, "")) in labels]
    if limit:
        todo = todo[:: max(1, len(todo) // limit)][:limit]
    modality = modality_of(folder)
    return [
        EvaluationItem(
            image.name,
            mask.name,
            partial(_image, image),
            partial(_read, mask, cv2.IMREAD_GRAYSCALE),
            texts.get(mask.name, ""),
            modality,
        )
        for image, mask in todo
    ]


def modality_of(folder: Path) -> str:
    """What a set was taken with: its modality.txt, else what its name says, else ``photo``."""
    path = folder / "modality.txt"
    if path.is_file():
        return path.read_text("utf-8").strip().lower() or PHOTO
    words = folder.resolve().name.lower().split("_")
    return next((MODALITIES[word] for word in words if word in MODALITIES), PHOTO)


def label_key(text: str) -> str:
    """A label as it is compared: lower case, single blanks."""
    return " ".join(text.lower().split())


def labels_under(root: Path) -> frozenset[str]:
    """Every label that data under ``root`` has, as :func:`label_key` gives them.

    Reads each ``labels.csv`` (its last column; the header ``file,index,label`` is none) and the ``classes`` of each
    ``meta.json``. Raises ScanError where there is none.
    """
    found: set[str] = set()
    for path in sorted(root.rglob("labels.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            found |= {label_key(row[-1]) for row in csv.reader(file) if len(row) > 1 and row != TRAINING_HEADER}
    for path in sorted(root.rglob("meta.json")):
        try:
            classes = json.loads(path.read_text("utf-8")).get("classes", {})
        except ValueError as error:
            raise ScanError(f"not readable ({error})", path=path, hint="Replace the file.") from error
        found |= {label_key(str(name)) for name in classes.values()}
    found.discard("")
    if not found:
        raise ScanError("no data with labels lies here", path=root, hint="Name the folder of the training data.")
    return frozenset(found)


def _image(path: Path) -> np.ndarray:
    image = _read(path, cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(image[..., 2::-1]) if image.ndim == 3 else image


def _pairs(folder: Path) -> Iterator[tuple[Path, Path]]:
    for part in ("images", "masks"):
        if not (folder / part).is_dir():
            raise ScanError(
                f"there is no {part} folder", path=folder, hint="Put images into images/ and masks into masks/."
            )
    images = {p.stem: p for p in (folder / "images").iterdir()}
    for mask in sorted((folder / "masks").glob("*.png")):
        name = mask.stem.split("#")[0]
        if name not in images:
            raise ScanError("no image has the name of this mask", path=mask, hint="Name masks NAME.png or NAME#K.png.")
        yield images[name], mask


def _labels(folder: Path) -> dict[str, str]:
    path = folder / "labels.csv"
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8") as file:
        return {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}


def _read(path: Path, flags: int) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise ScanError(f"cannot be read ({error.strerror})", path=path, hint="Check the file.") from error
    image = cv2.imdecode(data, flags) if data.size else None
    if image is None:
        raise ScanError("not a readable image", path=path, hint="Replace the file or take it out of the folder.")
    return image
