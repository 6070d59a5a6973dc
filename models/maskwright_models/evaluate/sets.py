"""Finds what a folder has to evaluate on: our validation layout, our training layout, or that of a published set."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from maskwright.core.protocol import EvaluationItem
from maskwright.io.evaluation_set import label_key, read_evaluation_set


def read_sets(
    folder: Path, *, limit: int | None = None, labels: Collection[str] | None = None, split: str = "val"
) -> list[tuple[str, list[EvaluationItem]]]:
    """Sets in ``folder`` with their objects; ``limit`` and ``labels`` as in :func:`read_evaluation_set`, for each set.

    ``images/`` and ``masks/`` are our validation layout, ``images/`` and ``objects/`` our training layout; all else is
    looked at as the layouts of published sets (:mod:`maskwright_models.data.layouts`), of which ``split`` is read.
    Raises ScanError where it is none of these.
    """
    from maskwright_models.data.index import read_dataset
    from maskwright_models.data.layouts import read_layout
    from maskwright_models.data.layouts.items import as_evaluation_items

    datasets = []
    if not ((folder / "images").is_dir() and (folder / "masks").is_dir()):
        if (folder / "images").is_dir() and (folder / "objects").is_dir():
            datasets = [read_dataset(folder)]
        elif folder.is_dir():
            datasets = read_layout(folder, split=split)
    if not datasets:
        return [(folder.resolve().name, read_evaluation_set(folder, limit=limit, labels=labels))]
    out = []
    for dataset in datasets:
        items = as_evaluation_items(dataset)
        if labels is not None:
            items = [item for item in items if label_key(item.text) in labels]
        out.append((dataset.name, items[:: max(1, len(items) // limit)][:limit] if limit else items))
    return out
