"""Reads the log of a training run: each figure as values over hours."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from maskwright.core.errors import ModelError

NOT_DRAWN = ("step", "hours", "ahead", "rate", "grad")
"""What a row tells of the run that is neither a loss nor an overlap."""

HELD = "held"
"""How the names of figures on views that are not trained on begin: few, and measured at the same views each time."""

Figures = dict[str, list[tuple[float, float]]]


def read_log(path: Path, *, smooth: int = 1, from_hours: float = 0.0) -> Figures:
    """Name of each figure in ``log.jsonl`` (or in that of the run folder ``path``) -> (hours, value) pairs.

    ``smooth`` values in a row give their mean, but for figures on held views; ``from_hours`` is added to the hours.
    Raises ModelError where there is no log or a row of it cannot be read.
    """
    path = path / "log.jsonl" if path.is_dir() else path
    found: Figures = {}
    try:
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            for name, value in row.items():
                if name not in NOT_DRAWN and math.isfinite(value):
                    found.setdefault(name, []).append((float(row["hours"]) + from_hours, float(value)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError("this is no readable training log", path=path, hint="Name a run folder.") from error
    if not found:
        raise ModelError("the training log has no figures yet", path=path, hint="Wait until the run has logged.")
    return {name: _smoothed(pairs, 1 if name.startswith(HELD) else smooth) for name, pairs in found.items()}


def last_hour(figures: Figures) -> float:
    """Hours of the newest row."""
    return max(hours for pairs in figures.values() for hours, _ in pairs)


def _smoothed(pairs: list[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    count = min(count, len(pairs))
    if count <= 1:
        return pairs
    hours, values = np.array(pairs).T
    kernel = np.ones(count) / count
    ends = hours[count - 1 :]
    return list(zip(ends.tolist(), np.convolve(values, kernel, "valid").tolist(), strict=True))
