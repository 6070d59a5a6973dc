"""The users that IMIS-Net is trained with: a first box, point or text, then points in the region where it errs.

Source: the published training code of IMIS-Bench (CVPR 2025). Coordinates are input pixels, labels SAM's codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwright.core.protocol import central_point
from maskwright_models.zoo.imis_model import ImisNet, chosen

FIRST = {"box": 0.4, "point": 0.3, "text": 0.3}
"""First prompt of the objects of a batch -> its chance; of regions, box and point have one half each."""
JITTER = 5
"""Pixels that each side of a first box may be off."""
POINTS = (1, 3, 4, 7)
"""Points of a later round; one number for all objects of a batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """Prompts of one round for B objects; what is None is not sent.

    ``coords`` (B, N, 2) with ``labels`` (B, N), ``box`` (B, 4), ``text`` (B, C), ``mask`` logits (B, 1, h, w).
    """

    coords: Tensor | None = None
    labels: Tensor | None = None
    box: Tensor | None = None
    text: Tensor | None = None
    mask: Tensor | None = None


def answer(model: ImisNet, features: Tensor, sent: Sent) -> tuple[Tensor, Tensor]:
    """The candidate with the highest predicted IoU: logits (B, 1, h, w) and that IoU (B, 1).

    ``features`` are (B, C, s, s). Unlike the model itself this also takes a mask alone, which leaves no token behind.
    """
    encoder = model.prompt_encoder
    if sent.coords is None and sent.box is None and sent.text is None:
        sparse = features.new_zeros(len(features), 0, features.shape[1])
    else:
        sparse = encoder.tokens(coords=sent.coords, labels=sent.labels, box=sent.box, text=sent.text)
    none = encoder.no_mask_embed.weight[..., None, None]
    dense = none if sent.mask is None else encoder.mask_downscaling(sent.mask)
    logits, iou, _ = model.mask_decoder(features + dense, encoder.positions(), sparse, sent.text)
    at, row = chosen(iou), torch.arange(len(iou), device=iou.device)
    return logits[row, at][:, None], iou[row, at][:, None]


def first_points(truths: np.ndarray, rng: np.random.Generator, device: torch.device) -> Sent:
    """A point in the middle of each of (B, S, S) bool objects: one of the half of its pixels nearest its centroid."""
    coords = np.array([[central_point(truth, rng)] for truth in truths], np.float32)
    return Sent(torch.from_numpy(coords).to(device), torch.ones(len(truths), 1, device=device))


def first_boxes(truths: np.ndarray, rng: np.random.Generator, device: torch.device) -> Sent:
    """The box of the pixels of each object, every side up to five pixels off but within the image."""
    boxes = []
    for truth in truths:
        ys, xs = np.flatnonzero(truth.any(1)), np.flatnonzero(truth.any(0))
        box = np.array([xs[0], ys[0], xs[-1], ys[-1]]) + rng.integers(-JITTER, JITTER + 1, 4)
        boxes.append(np.clip(box, 0, truth.shape[0] - 1))
    return Sent(box=torch.from_numpy(np.array(boxes, np.float32)).to(device))


def error_points(
    predictions: np.ndarray, truths: np.ndarray, rng: np.random.Generator, device: torch.device
) -> tuple[Tensor, Tensor]:
    """1, 3, 4 or 7 wrong pixels of each of (B, S, S) bool predictions, drawn evenly: coords (B, N, 2), labels (B, N).

    A missed pixel has label 1, a surplus one 0; where nothing is wrong there are pads.
    """
    count = int(rng.choice(POINTS))
    coords, labels = np.zeros((len(truths), count, 2), np.float32), np.full((len(truths), count), -1, np.float32)
    for i, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        wrong = np.flatnonzero(prediction ^ truth)
        if len(wrong):
            ys, xs = np.unravel_index(rng.choice(wrong, count), truth.shape)
            coords[i], labels[i] = np.stack([xs, ys], 1), truth[ys, xs]
    return torch.from_numpy(coords).to(device), torch.from_numpy(labels).to(device)
