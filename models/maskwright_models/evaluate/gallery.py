"""Gallery of failures: the objects of a set that a model did worst on, image and truth beside what it answered.

The pictures show the data set's images, so they are written to the folder of a report and belong in no repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.mask import Mask
from maskwright.core.preprocess import intensity_for
from maskwright.core.protocol import EvaluationItem
from maskwright.inference.evaluate import Evaluation

SHOWN = (1, 3, 10)
"""The clicks whose answers are shown."""
PANEL_PX = 240
CAPTION_PX = 18
MARGIN = 0.25
LEAST_CROP_PX = 64
JPEG_QUALITY = 80
TRUTH_RGB, ANSWER_RGB = (90, 255, 90), (255, 60, 60)


@dataclass(frozen=True, slots=True)
class Failure:
    """One picture that was written, with the object's IoU after the shown clicks."""

    path: Path
    mask_name: str
    text: str
    values: tuple[float, ...]


def write_gallery(
    folder: Path, run: Evaluation, items: Sequence[EvaluationItem], *, worst: int, shown: Sequence[int] = SHOWN
) -> list[Failure]:
    """Write a JPEG for each of the ``worst`` objects by mean IoU over the ``shown`` clicks, worst first.

    ``run`` must have kept the masks of these clicks.
    """
    shown = [k for k in shown if k <= run.curves.shape[1]]
    values = run.curves[:, [k - 1 for k in shown]]
    by_name = {item.mask_name: item for item in items}
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for place, i in enumerate(np.argsort(values.mean(1), kind="stable")[:worst].tolist(), 1):
        item = by_name[run.names[i]]
        pixels = picture(item, {k: run.kept[i][k] for k in shown}, dict(zip(shown, values[i].tolist(), strict=True)))
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(item.mask_name).stem)
        path = folder / f"{place:02d}-{stem}.jpg"
        path.write_bytes(cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
        out.append(Failure(path, item.mask_name, item.text, tuple(values[i].tolist())))
    return out


def picture(item: EvaluationItem, answers: dict[int, Mask], values: dict[int, float]) -> np.ndarray:
    """The whole image with the truth outlined, then a crop for each answer; (Y, X, 3) uint8 RGB."""
    image, truth = item.image(), item.mask() == 255
    rgb = intensity_for(image).apply(image)
    masks = {k: mask.to_array() for k, mask in answers.items()}
    y0, x0, y1, x1 = _crop(truth, list(masks.values()))
    whole = _panel(rgb, truth, None, item.text or "truth", frame=(y0, x0, y1, x1))
    part = np.s_[y0:y1, x0:x1]
    panels = [
        _panel(rgb[part], truth[part], mask[part], f"{k} click{'s' * (k > 1)}: IoU {values[k]:.2f}")
        for k, mask in masks.items()
    ]
    return np.concatenate([whole, *panels], 1)


def _crop(truth: np.ndarray, answers: Sequence[np.ndarray]) -> tuple[int, int, int, int]:
    """Box (y0, x0, y1, x1) round the truth and all answers, with a margin, inside the image."""
    either = np.logical_or.reduce([truth, *answers])
    out = []
    for line in (either.any(1), either.any(0)):
        at = np.flatnonzero(line)
        low, high = int(at[0]), int(at[-1]) + 1
        size = min(len(line), max(LEAST_CROP_PX, int((high - low) * (1 + 2 * MARGIN))))
        start = min(max(0, (low + high - size) // 2), len(line) - size)
        out.append((start, start + size))
    (y0, y1), (x0, x1) = out
    return y0, x0, y1, x1


def _panel(
    rgb: np.ndarray,
    truth: np.ndarray,
    answer: np.ndarray | None,
    caption: str,
    *,
    frame: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """One picture in a square of PANEL_PX with its caption below; ``frame`` is drawn round a part of it."""
    scale = PANEL_PX / max(truth.shape)
    size = max(1, round(truth.shape[1] * scale)), max(1, round(truth.shape[0] * scale))
    pixels = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    if answer is not None:
        on = cv2.resize(answer.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        pixels[on] = (0.6 * pixels[on] + 0.4 * np.array(ANSWER_RGB)).astype(np.uint8)
    outline = cv2.resize(truth.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(outline, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, contours, -1, TRUTH_RGB, 1)
    if frame is not None:
        y0, x0, y1, x1 = (int(v * scale) for v in frame)
        cv2.rectangle(pixels, (x0, y0), (x1 - 1, y1 - 1), (255, 255, 0), 1)
    out = np.full((PANEL_PX + CAPTION_PX, PANEL_PX + 4, 3), 255, np.uint8)
    out[: size[1], : size[0]] = pixels
    plain = caption.encode("ascii", "replace").decode()[:34]
    cv2.putText(out, plain, (2, PANEL_PX + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return out
