"""Compares the exported default model, run by the app's own segmenter, with torch on the bundled sample photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from maskwright.assets import sample_photo
from maskwright.core.preprocess import SliceTransform, normalised
from maskwright.core.prompts import Box, Point, Prompts, Text
from maskwright.inference.segmenter import OnnxSegmenter, prompt_points
from maskwright.inference.text import TextTower
from maskwright_models.data.views import read_rgb
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, Encoder, Head

WORDS = "cup"
"""Text prompt to compare with."""


def cases(shape_yx: tuple[int, int]) -> list[Prompts]:
    """Prompts to compare with: one click, click and correction, a box, a box and a click, text, text and a click."""
    h, w = shape_yx
    click = Prompts().add(Point(0.5 * w, 0.5 * h))
    box = Prompts().add(Box(0.2 * w, 0.2 * h, 0.8 * w, 0.85 * h))
    text = Prompts().add(Text(WORDS))
    with_click = [p.add(Point(0.55 * w, 0.4 * h)) for p in (box, text)]
    return [click, click.add(Point(0.1 * w, 0.1 * h, positive=False)), box, with_click[0], text, with_click[1]]


def compare(encoder: Encoder, head: Head, folder: Path, photo: Path | None = None) -> dict[str, float]:
    """Largest logit error relative to the largest logit, and the least mask IoU, over all cases.

    Both read words with the text tower in ``folder``, which is compared on its own.
    """
    rgb = read_rgb(photo or sample_photo())
    segmenter = OnnxSegmenter(folder, threads=2)
    features = segmenter.encode(rgb)
    transform = SliceTransform((rgb.shape[0], rgb.shape[1]), INPUT_SIZE)
    x = torch.from_numpy(normalised(transform.image_to_input(rgb), transform.inner_yx))
    vector = torch.from_numpy(TextTower(folder, segmenter.card, threads=2).read(WORDS))
    nothing = torch.zeros(1, 1, LOGITS, LOGITS), torch.zeros(1)
    worst, least = 0.0, 1.0
    with torch.inference_mode():
        maps = encoder(x)
        for prompts in cases((rgb.shape[0], rgb.shape[1])):
            coords, labels = (torch.from_numpy(a) for a in prompt_points(prompts, transform))
            words = (vector, torch.ones(1)) if prompts.text else (torch.zeros_like(vector), torch.zeros(1))
            start = nothing
            placed = any(not isinstance(p, Text) for p in prompts)
            for _ in range(segmenter.card.first_passes if placed else 1):
                logits, scores = head(*maps, coords, labels, *start, *words)
                start = logits[:1, scores[0].argmax()][None], torch.ones(1)
            ours = start[0][0, 0].numpy()
            theirs = segmenter.segment(features, prompts)
            worst = max(worst, float(np.abs(ours - theirs.logits).max() / np.abs(ours).max()))
            if theirs.missing:  # words below the card's floor: the app leaves no mask of these logits
                continue
            mask = transform.logits_to_slice(ours) > 0
            union = (mask | theirs.mask).sum()
            least = min(least, float((mask & theirs.mask).sum() / union) if union else 1.0)
    return {"logit_error": round(worst, 6), "mask_iou": round(least, 6)}
