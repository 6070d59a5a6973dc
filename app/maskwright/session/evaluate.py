"""Number-of-clicks evaluation of a model on a folder of images and object masks.

Layout: ``images/NAME.{jpg,png}``, ``masks/NAME.png`` or ``NAME#K.png`` (255 object, 0 background, 128 ignore),
``labels.csv`` (optional: mask file name, label text; for the text prompt). Protocol: see :mod:`maskwright.core.metrics`.
"""

from __future__ import annotations

import csv
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.features import Features
from maskwright.core.metrics import clicks_to_reach, deepest_error, dice_of_iou, iou
from maskwright.core.prompts import Box, Point, Prompts, Text
from maskwright.inference import Segmenter

THRESHOLDS = (0.80, 0.85, 0.90)
PROMPTS = ("click", "box", "text")
ENOUGH_CLICKS = 5
"""A curve that has reached the last threshold is followed to this click, and then taken as level."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Curves (objects, clicks) of IoU with the mask file names, and the timings in milliseconds."""

    folder: str
    model: str
    prompt: str
    names: tuple[str, ...]
    curves: np.ndarray
    encode_ms: tuple[float, ...]
    click_ms: tuple[float, ...]

    def summary(self) -> dict[str, Any]:
        """The figures of the protocol, rounded as papers do."""
        clicks = self.curves.shape[1]
        at = {k: self.curves[:, k - 1] for k in (1, 2, 3, 5) if k <= clicks}
        return {
            "folder": self.folder,
            "model": self.model,
            "prompt": self.prompt,
            "objects": len(self.curves),
            "images": len(self.encode_ms),
            **{f"noc@{_percent(t)}": round(float(np.mean(clicks_to_reach(self.curves, t))), 3) for t in THRESHOLDS},
            **{f"nof@{_percent(t)}": int((self.curves.max(1) < t).sum()) for t in THRESHOLDS},
            **{f"iou@{k}": round(float(v.mean()), 4) for k, v in at.items()},
            **{f"dice@{k}": round(float(np.mean(dice_of_iou(v))), 4) for k, v in at.items() if k != 2},
            "encode_ms_median": round(statistics.median(self.encode_ms), 1),
            "click_ms_median": round(statistics.median(self.click_ms), 2),
            "click_ms_p95": round(float(np.percentile(self.click_ms, 95)), 2),
        }


def evaluate_folder(
    folder: Path,
    *,
    segmenter: Segmenter,
    prompt: str = "click",
    clicks: int = 20,
    limit: int | None = None,
    on_object: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Run the protocol over a folder. ``on_object(done, total)`` reports progress.

    Raises ScanError where the layout does not hold, or where nothing is to be measured.
    """
    if prompt not in PROMPTS:
        raise ValueError(f"prompt is one of {PROMPTS}, not {prompt!r}")
    todo = list(_pairs(folder))
    if limit:
        todo = todo[:: max(1, len(todo) // limit)][:limit]
    labels = _labels(folder)
    names: list[str] = []
    curves: list[list[float]] = []
    encode_ms: list[float] = []
    click_ms: list[float] = []
    last: tuple[Path, Features] | None = None
    for done, (image_path, mask_path) in enumerate(todo):
        if last is None or last[0] != image_path:
            image = _read(image_path, cv2.IMREAD_UNCHANGED)
            if image.ndim == 3:
                image = np.ascontiguousarray(image[..., 2::-1])
            start = time.perf_counter()
            last = image_path, segmenter.encode(image)
            encode_ms.append(1e3 * (time.perf_counter() - start))
        raw = _read(mask_path, cv2.IMREAD_GRAYSCALE)
        text = labels.get(mask_path.name, "")
        if (raw == 255).any() and (prompt != "text" or text):
            first = _first_prompt(prompt, raw == 255, text)
            curve = _curve(segmenter, last[1], raw, first=first, clicks=clicks, click_ms=click_ms)
            names.append(mask_path.name)
            curves.append(curve + [curve[-1]] * (clicks - len(curve)))
        if on_object is not None:
            on_object(done + 1, len(todo))
    if not curves:
        what = "no object with a label" if prompt == "text" else "no object to measure"
        raise ScanError(what, path=folder, hint="Masks are PNG files with 255 where the object is.")
    model = segmenter.card.id
    return Evaluation(
        folder.name, model, prompt, tuple(names), np.array(curves), tuple(encode_ms), tuple(click_ms)
    )


def _curve(
    segmenter: Segmenter, features: Features, raw: np.ndarray, *, first: Prompts, clicks: int, click_ms: list[float]
) -> list[float]:
    truth, valid = raw == 255, raw != 128
    prediction, free = np.zeros_like(truth), np.ones(truth.shape, np.float32)
    prompts, previous, curve = first, None, []
    for k in range(clicks):
        if k or not first:
            click = deepest_error(prediction, truth, valid, free)
            if click is None:
                break
            x, y, positive = click
            free[y, x] = 0
            prompts = prompts.add(Point(float(x), float(y), positive=positive))
        start = time.perf_counter()
        previous = segmenter.segment(features, prompts, previous=previous)
        click_ms.append(1e3 * (time.perf_counter() - start))
        prediction = np.asarray(previous.mask, bool)
        curve.append(iou(prediction, truth, valid))
        if curve[-1] >= THRESHOLDS[-1] and len(curve) >= ENOUGH_CLICKS:
            break
    return curve


def _first_prompt(kind: str, truth: np.ndarray, text: str) -> Prompts:
    if kind == "box":
        ys, xs = np.nonzero(truth)
        return Prompts().add(Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)))
    return Prompts().add(Text(text)) if kind == "text" else Prompts()


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


def _percent(threshold: float) -> int:
    return int(threshold * 100)
