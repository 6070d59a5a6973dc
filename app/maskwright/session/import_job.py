"""Import: which format a dataset is, and which of its items belongs to which scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from maskwright.core.errors import AnnotationError
from maskwright.core.geometry import Geometry
from maskwright.io.datasets import FORMATS, ImportedItem, Loaded
from maskwright.io.datasets.items import path_stem, safe_name, stem

# What label maps are called beside their scan: `case_label` is of `case`, `case_image` or `case_0000`.
_SUFFIXES = (
    "_label",
    "_labels",
    "_seg",
    "_segmentation",
    "_mask",
    "_image",
    "_img",
    "_0000",
    "-label",
    "-seg",
    "-mask",
)


def read_dataset(path: Path, *, format: str | None = None) -> tuple[str, list[ImportedItem]]:
    """Format and items of a dataset, of the given format or of the first that can read it.

    Raises
    ------
    AnnotationError
        When there is nothing at the path, or no format can read it. With a given format it is that format's reason.
    """
    if not path.exists():
        raise AnnotationError("there is no such file or folder", path=path, hint="Check the name and the drive.")
    errors: dict[str, AnnotationError] = {}
    for name in (format,) if format else tuple(FORMATS):
        try:
            return name, FORMATS[name].read(path)
        except AnnotationError as error:
            errors[name] = error
        except OSError as error:
            errors[name] = AnnotationError(f"the dataset cannot be read ({error.strerror or error})", path=path)
    if len(errors) == 1:
        raise next(iter(errors.values()))
    raise AnnotationError(
        "this is not a dataset that can be imported",
        path=path,
        hint="Choose a COCO file, PNG masks, a NIfTI label map, or a folder of one of these.",
    )


def match(items: Sequence[ImportedItem], scan_names: Sequence[str]) -> dict[int, ImportedItem]:
    """Item for each scan, by position in `scan_names`; each item goes to one scan at most.

    Names are compared as they are, then without their ending, then without folders, then without what label maps carry
    behind the name of their scan (``_label``, ``_seg``, …); upper and lower case are the same. A name that fits several
    decides nothing. One item and one scan belong together whatever they are called.
    """
    if len(items) == len(scan_names) == 1:
        return {0: items[0]}
    found: dict[int, ImportedItem] = {}
    ways: tuple[Callable[[str], str], ...] = (lambda name: name, path_stem, stem, _bare)
    for way in ways:
        open_scans = _by_key([(i, name) for i, name in enumerate(scan_names) if i not in found], way)
        used = {id(item) for item in found.values()}
        open_items = _by_key([(i, item.name) for i, item in enumerate(items) if id(item) not in used], way)
        for key, scans in open_scans.items():
            those = open_items.get(key, [])
            if len(scans) == len(those) == 1:
                found[scans[0]] = items[those[0]]
    return found


def load_for(items: Sequence[ImportedItem], *, name: str, geometry: Geometry, path: Path) -> Loaded:
    """Objects of a dataset for one scan: those of its name, or of the only item there is.

    Parameters
    ----------
    items
        What `read_dataset` gave.
    name, geometry
        Name and grid of the scan.
    path
        Dataset, to be named in the error.

    Raises
    ------
    AnnotationError
        When the dataset has nothing for this scan, or its objects do not fit the grid.
    """
    item = match(items, [name]).get(0)
    if item is None:
        raise AnnotationError(
            f"the dataset has nothing for {name}", path=path, hint="Choose the one that was made on this image."
        )
    return item.load(geometry)


def _by_key(named: Sequence[tuple[int, str]], way: Callable[[str], str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for position, name in named:
        groups.setdefault(safe_name(way(name)).casefold(), []).append(position)
    return groups


def _bare(name: str) -> str:
    short = stem(name)
    for suffix in _SUFFIXES:
        if short.lower().endswith(suffix) and len(short) > len(suffix):
            return short[: -len(suffix)]
    return short
