"""Draws images of indexed sets with their maps, every image as often as any other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from maskwright.core.errors import ScanError
from maskwright_models.data.index import Dataset, ImageEntry, LazyMap, read_map

MOST_TRIES = 200
"""Images in a row that may show nothing to train on."""

View = TypeVar("View")


class Pictures:
    """All images of some sets. Raises ScanError where there is none."""

    def __init__(self, datasets: Sequence[Dataset], path: Path) -> None:
        self.path = path
        self.entries = [entry for dataset in datasets for entry in dataset.images]
        if not self.entries:
            raise ScanError("these sets hold no image with objects", path=path, hint="Look into their lists and maps.")

    def draw(self, rng: np.random.Generator, look: Callable[[ImageEntry, np.random.Generator], View | None]) -> View:
        """What ``look`` makes of a random image; images of which it makes nothing are passed over.

        Raises ScanError where that is so for all that were tried.
        """
        for _ in range(MOST_TRIES):
            view = look(self.entries[int(rng.integers(len(self.entries)))], rng)
            if view is not None:
                return view
        raise ScanError(
            f"none of {MOST_TRIES} images shows an object to train on",
            path=self.path,
            hint="Look into the index maps of the sets.",
        )


def raw_map(source: Path | LazyMap) -> np.ndarray:
    """(Y, X) int32 index map: 0 background, 1..N objects, -1 ignored."""
    values = source.decode() if isinstance(source, LazyMap) else read_map(source)
    return np.asarray(values, np.int32)


def is_regions(entry: ImageEntry, source: Path | LazyMap) -> bool:
    """Whether a map holds regions that were found automatically: a map of another layout without a row in the index."""
    return isinstance(source, LazyMap) and not any(name == source.name for name, _ in entry.labels)
