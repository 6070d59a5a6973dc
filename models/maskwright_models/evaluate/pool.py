"""Rows of an evaluation put together: by modality, by object size, and as the mean of sets.

A row is what :mod:`maskwright_models.commands.evaluate` prints: the figures of the protocol, and ``details``. Figures
are means over objects and tables of calibration have counts, so rows pool exactly (up to their last digit).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from maskwright.core.metrics import auroc, calibration_error, worst
from maskwright.core.protocol import SIZE_CLASSES, largest_drop
from maskwright.inference.evaluate import MONOTONE_TOLERANCE
from maskwright.io.evaluation_set import PHOTO

Row = Mapping[str, Any]
INSTANCE_SETS = ("medical_nuclei_dsb2018",)
"""Medical sets whose masks hold one thing of many that a label names: words cannot tell which is meant."""
SUMS = ("objects", "images", "nof@80", "nof@85", "nof@90")
MEANS = ("noc@80", "noc@85", "noc@90", "iou@1", "iou@2", "iou@3", "iou@5", "dice@1", "dice@3", "dice@5")


def newest(rows: Iterable[Row]) -> list[Row]:
    """Of rows about the same set, prompt and choice of labels the last one, in the order of the first ones."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        found[row["folder"], row["prompt"], row.get("labels_of"), row.get("protocol"), row.get("zoom")] = row
    return list(found.values())


def pool(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """One row for all objects of ``rows``, which share a first prompt."""
    out = _means(rows, [row["objects"] for row in rows]) | {"folder": name, "prompt": rows[0]["prompt"]}
    out |= {key: sum(row[key] for row in rows) for key in SUMS if all(key in row for row in rows)}
    details = [row["details"] for row in rows if "details" in row]
    if len(details) == len(rows):
        out["details"] = _details(details, [row["objects"] for row in rows])
    return out


def over_sets(rows: Sequence[Row], name: str) -> dict[str, Any]:
    """The mean of the sets, each counted once whatever its number of objects."""
    out = _means(rows, [1] * len(rows)) | {"folder": name, "prompt": rows[0]["prompt"]}
    return out | {key: sum(row[key] for row in rows) for key in SUMS if all(key in row for row in rows)}


def by_modality(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each modality, photos first."""
    names = sorted({row["details"]["modality"] for row in rows}, key=lambda m: (m != PHOTO, m))
    return [pool([row for row in rows if row["details"]["modality"] == name], name) for name in names]


def by_size(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each class of object sizes that some object is of, with its mean ``curve``."""
    out = []
    for name, _ in SIZE_CLASSES:
        parts = [row["details"]["sizes"][name] for row in rows if name in row["details"]["sizes"]]
        if parts:
            counts = [part["objects"] for part in parts]
            merged = _means(parts, counts) | {"folder": name, "prompt": rows[0]["prompt"], "objects": sum(counts)}
            merged["nof@90"] = sum(part["nof@90"] for part in parts)
            out.append(merged | {"curve": _curve([part["curve"] for part in parts], counts)})
    return out


def reliability_of(rows: Sequence[Row]) -> list[tuple[int, float, float]]:
    """Reliability table of all answers of ``rows``: (count, mean predicted, mean real IoU) of each bin."""
    return _merged([row["details"]["reliability"] for row in rows])


def worst_found(rows: Sequence[Row]) -> dict[str, float]:
    """How well the model's doubt finds the worst tenth of all objects of ``rows``: click -> area under the ROC curve.

    Only clicks after which every row has the doubts of its objects.
    """
    doubts = [row["details"].get("doubt", {}) for row in rows]
    out = {}
    for click in doubts[0] if doubts else ():
        if all(click in part for part in doubts):
            doubt, values = np.array([pair for part in doubts for pair in part[click]]).T
            out[click] = round(auroc(doubt, worst(values)), 4)
    return out


def _merged(tables: Sequence[Sequence[Sequence[float]]]) -> list[tuple[int, float, float]]:
    out = []
    for bins in zip(*tables, strict=True):
        count = sum(int(b[0]) for b in bins)
        score, real = (sum(b[0] * b[k] for b in bins) / max(count, 1) for k in (1, 2))
        out.append((count, score, real))
    return out


def _details(parts: Sequence[Row], counts: Sequence[int]) -> dict[str, Any]:
    curve = _curve([part["curve"] for part in parts], counts)
    fall, at = largest_drop(np.array(curve))
    table = _merged([part["reliability"] for part in parts])
    return {
        "modality": parts[0]["modality"] if len({part["modality"] for part in parts}) == 1 else "",
        "curve": curve,
        "largest_drop": round(fall, 4),
        "largest_drop_at": at,
        "monotone": fall <= MONOTONE_TOLERANCE,
        "answers": sum(part["answers"] for part in parts),
        "ece": round(calibration_error(table), 4),
        "reliability": [list(row) for row in table],
    }


def _curve(curves: Sequence[Sequence[float]], counts: Sequence[int]) -> list[float]:
    """Weighted mean of curves; a shorter one stays level."""
    length = max(len(curve) for curve in curves)
    level = [[*curve, *[curve[-1]] * (length - len(curve))] for curve in curves]
    return np.average(np.array(level), axis=0, weights=counts).round(4).tolist()


def _means(rows: Sequence[Row], weights: Sequence[int]) -> dict[str, Any]:
    return {
        key: round(float(np.average([row[key] for row in rows], weights=weights)), 3 if key.startswith("noc") else 4)
        for key in MEANS
        if all(key in row for row in rows)
    }
