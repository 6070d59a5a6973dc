"""Objects laid over each other in one label map, and the sentences on what that hides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from maskwright.core.annotation import AnnotationObject
from maskwright.core.mask import Mask
from maskwright.io.datasets.items import Item


def stack(shown: Iterable[tuple[AnnotationObject, Mask]], values: np.ndarray) -> int:
    """Write label ids into `values` (Y, X), later objects on top.

    Returns
    -------
    Number of pixels that had another label before: what the map no longer tells.
    """
    hidden = 0
    for one, mask in shown:
        y0, x0, y1, x1 = mask.box
        under = values[y0:y1, x0:x1]
        hidden += int(np.count_nonzero((under != 0) & (under != one.label_id) & mask.bits))
        under[mask.bits] = one.label_id
    return hidden


def hidden_sentence(name: str, hidden: int, *, unit: str, way_out: str) -> list[str]:
    """Say how much of a scan has two labels where the format holds one; nothing when all is well."""
    if not hidden:
        return []
    verb = f"{unit} have" if hidden > 1 else f"{unit[:-1]} has"
    return [f"{name}: {hidden:,} {verb} more than one label and kept that of the object on top. {way_out}"]


def merged_sentence(item: Item, name: str) -> list[str]:
    """Say which labels have several objects, which a label map joins; nothing when there are none."""
    ids = [one.label_id for one in item.annotation.objects if not one.is_empty]
    joined = [label.name for label in item.annotation.labels if ids.count(label.id) > 1]
    if not joined:
        return []
    return [f"{name}: the objects of {', '.join(joined)} share one value and are no longer told apart."]
