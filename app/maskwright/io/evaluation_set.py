"""Reads an evaluation set: ``images/NAME.{jpg,png}``, ``masks/NAME.png`` or ``NAME#K.png``, ``labels.csv``.

Masks hold 255 object, 0 background, 128 ignore; ``labels.csv`` (optional) has rows of mask file name and label text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.protocol import EvaluationItem


def read_evaluation_set(folder: Path, *, limit: int | None = None) -> list[EvaluationItem]:
    """Objects of a set in the order of their mask names; ``limit`` takes that many, evenly spread.

    Raises ScanError where the layout does not hold. Files are read when an item is asked for them.
    """
    todo = list(_pairs(folder))
    if limit:
        todo = todo[:: max(1, len(todo) // limit)][:limit]
    labels = _labels(folder)
    return [
        EvaluationItem(
            image.name,
            mask.name,
            partial(_image, image),
            partial(_read, mask, cv2.IMREAD_GRAYSCALE),
            labels.get(mask.name, ""),
        )
        for image, mask in todo
    ]


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
