"""Objects of an indexed set as items to evaluate on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.protocol import EvaluationItem
from maskwright_models.data.index import Dataset, LazyMap, read_map
from maskwright_models.data.views import read_rgb

OBJECT, IGNORED = 255, 128


def as_evaluation_items(dataset: Dataset, *, limit: int | None = None) -> list[EvaluationItem]:
    """Every object that has a row in the index, image by image; ``limit`` takes that many, evenly spread.

    Regions that were found automatically have no row and are not measured. Names of masks are ``MAP#INDEX``.
    """
    found = []
    for entry in dataset.images:
        by_name = {one.name: one for one in entry.maps}
        found += [
            EvaluationItem(
                entry.image.name,
                f"{name}#{index}",
                partial(read_rgb, entry.image),
                partial(_mask, by_name[name], index),
                text,
                dataset.modality,
            )
            for (name, index), text in entry.labels.items()
            if name in by_name
        ]
    return found[:: max(1, len(found) // limit)][:limit] if limit else found


def _mask(source: Path | LazyMap, index: int) -> np.ndarray:
    """(Y, X) uint8: 255 object, 128 ignored."""
    values = source.decode() if isinstance(source, LazyMap) else read_map(source)
    mask = np.where(values == index, np.uint8(OBJECT), np.uint8(0))
    mask[values < 0] = IGNORED
    return mask
