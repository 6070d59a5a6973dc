"""What the layouts share: images of a folder by name, JSON that may be damaged, groups of objects that do not touch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from maskwright.core.errors import ScanError

IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


def images_in(folder: Path) -> dict[str, Path]:
    """Images of one folder by name without ending."""
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in IMAGES} if folder.is_dir() else {}


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """An object of a JSON file. Raises ScanError where it is damaged or something else."""
    try:
        data = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ScanError(f"{what} cannot be read ({error})", path=path, hint="Download it again.") from error
    if not isinstance(data, dict):
        raise ScanError(f"{what} holds a list instead of an object", path=path, hint="Choose the right file.")
    return data


def read_names(path: Path) -> list[str]:
    """Lines of a list of image names, without blanks and empty lines."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ScanError(f"the list of images cannot be read ({error})", path=path, hint="Download it again.") from error
    return [line.strip() for line in lines if line.strip()]


def kind_of(folder: Path) -> tuple[str, str]:
    """Group and modality of a set whose layout does not tell them: photos, unless modality.txt lies in it."""
    file = folder / "modality.txt"
    modality = file.read_text("utf-8").strip().lower() if file.is_file() else "photo"
    return ("natural" if modality == "photo" else "medical"), modality


class ImageFinder:
    """Finds images that a list names, in any of some folders, by the path it gives or by its last part alone."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = [f for f in dict.fromkeys(folders) if f.is_dir()]
        self._names = [{p.name for p in f.iterdir()} for f in self._folders]

    def find(self, name: str) -> Path | None:
        """The image, None where it is not there or the name leads out of the folders."""
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or not path.parts:
            return None
        for folder, names in zip(self._folders, self._names, strict=True):
            if path.parts[0] in names and (folder / path).is_file():
                return folder / path
        for folder, names in zip(self._folders, self._names, strict=True):
            if path.name in names:
                return folder / path.name
        return None


def apart(boxes: Sequence[tuple[float, float, float, float] | None]) -> list[list[int]]:
    """Numbers of the boxes (x0, y0, x1, y1), in groups within which none touches another; no box touches all."""
    groups: list[list[int]] = []
    for number, box in enumerate(boxes):
        for group in groups:
            if box is not None and all(_clear(box, boxes[k]) for k in group):
                group.append(number)
                break
        else:
            groups.append([number])
    return groups


def _clear(a: tuple[float, float, float, float], b: tuple[float, float, float, float] | None) -> bool:
    return b is not None and (a[2] + 1 < b[0] or b[2] + 1 < a[0] or a[3] + 1 < b[1] or b[3] + 1 < a[1])


def words(name: str) -> str:
    """A category as its label text: lower case, blanks, the side first."""
    text = " ".join(name.replace("_", " ").lower().split())
    for side in ("left", "right"):
        if text.endswith(f" {side}"):
            return f"{side} {text[: -len(side) - 1]}"
    return text
