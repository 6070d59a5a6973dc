"""Compares a model made of an ONNX pair with the two files it was made of, used as their own program uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import ModelError
from maskwright.core.metrics import iou
from maskwright.core.preprocess import Intensity, SliceTransform, normalised
from maskwright.core.prompts import Box, Point, Prompts
from maskwright.inference.ort import make_session, run_session
from maskwright.inference.segmenter import OnnxSegmenter, prompt_points

LEAST_IOU = {"fp32": 0.995, "fp16": 0.99, "int8": 0.85}
"""Precision -> least IoU of a mask with that of the pair."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The two files and the names in them; ``pads`` says that their caller adds the padding point."""

    encoder: Path
    decoder: Path
    outputs: tuple[str, ...]
    features: tuple[str, ...]
    logits: str
    scores: str
    pads: bool


def compare_pair(pair: Pair, folder: Path, image: np.ndarray, intensity: Intensity, *, precision: str) -> float:
    """Least IoU of a mask by the app with one by the pair: a click, a click and a correction, a box.

    Raises ModelError where it is below the tolerance, or where either does not run.
    """
    segmenter = OnnxSegmenter(folder)
    transform = SliceTransform(
        (image.shape[0], image.shape[1]), segmenter.card.input_size, segmenter.card.preprocessing
    )
    maps = _encode(pair, image, intensity, transform)
    features = segmenter.encode(image, intensity=intensity)
    decoder = make_session(pair.decoder)
    h, w = image.shape[:2]
    click, wrong = Point(0.5 * w, 0.55 * h), Point(0.15 * w, 0.2 * h, positive=False)
    least = 1.0
    for prompts in (Prompts((click,)), Prompts((click, wrong)), Prompts((Box(0.25 * w, 0.3 * h, 0.75 * w, 0.8 * h),))):
        theirs = _segment(pair, decoder, maps, prompts, transform)
        ours = segmenter.segment(features, prompts)
        least = min(least, iou(ours.mask, transform.logits_to_slice(theirs) > 0))
    if least < LEAST_IOU[precision]:
        raise ModelError(
            f"the model does not give the masks of the pair (IoU {least:.4f}, needed {LEAST_IOU[precision]:g})",
            path=pair.encoder,
            hint="Nothing was installed.",
        )
    return least


def _encode(pair: Pair, image: np.ndarray, intensity: Intensity, transform: SliceTransform) -> list[np.ndarray]:
    session = make_session(pair.encoder)
    (given,) = session.get_inputs()
    rgb = transform.image_to_input(intensity.apply(image))
    h, w = transform.inner_yx
    if len(given.shape) == 3:  # it normalises and pads by itself
        value = rgb[:h, :w].astype(np.float32)
    else:
        value = normalised(rgb, (h, w))
    return run_session(session, pair.outputs, {given.name: value})


def _segment(
    pair: Pair, decoder: Any, maps: Sequence[np.ndarray], prompts: Prompts, transform: SliceTransform
) -> np.ndarray:
    """Logits of the mask that the official predictor chooses, (h, w)."""
    coords, labels = prompt_points(prompts, transform)
    count = labels.shape[1]
    if pair.pads and labels.max() < 2:
        coords = np.concatenate([coords, np.zeros((1, 1, 2), np.float32)], 1)
        labels = np.concatenate([labels, -np.ones((1, 1), np.float32)], 1)
    side = transform.size // 4
    feed = dict(zip(pair.features, maps, strict=True)) | {
        "point_coords": coords,
        "point_labels": labels,
        "mask_input": np.zeros((1, 1, side, side), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }
    if "orig_im_size" in {i.name for i in decoder.get_inputs()}:
        feed["orig_im_size"] = np.array(transform.shape_yx, np.float32)
    logits, scores = run_session(decoder, [pair.logits, pair.scores], feed)
    offered = range(scores.shape[1])
    if len(offered) == 4:
        offered = range(1, 4) if count == 1 else range(1)
    return logits[0, max(offered, key=lambda i: float(scores[0, i]))]
