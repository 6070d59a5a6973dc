"""Evaluates an installed model on a folder: joins the reader of evaluation sets and the click protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maskwright.inference import Segmenter
from maskwright.inference.evaluate import Evaluation, evaluate
from maskwright.io.evaluation_set import read_evaluation_set


def evaluate_folder(
    folder: Path,
    *,
    segmenter: Segmenter,
    prompt: str = "click",
    clicks: int = 20,
    limit: int | None = None,
    on_object: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run the number-of-clicks protocol over a folder.

    Raises ScanError where the layout does not hold, or where nothing is to be measured.
    """
    items = read_evaluation_set(folder, limit=limit)
    return evaluate(
        items, segmenter=segmenter, name=folder.resolve().name, prompt=prompt, clicks=clicks, on_object=on_object
    )
