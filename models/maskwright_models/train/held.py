"""What a head answers on views that training leaves out: for the validation curve, and to calibrate its scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from maskwright_models.data.samples import Sample
from maskwright_models.train.batch import batch_of, half_precision, of_objects
from maskwright_models.train.losses import real_iou
from maskwright_models.train.simulation import begin
from maskwright_models.zoo.dinov2_imsa import Head, Neck

VIEWS = 6
"""Views that are run together."""


def held_answers(
    neck: Neck,
    head: Head,
    samples: Sequence[Sample],
    *,
    device: torch.device,
    clicks: int,
    clicked_words: float = 0.2,
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and real IoU of the chosen candidate of every object after each of ``clicks`` prompts, (N, clicks).

    The same samples give the same users, who click beside the share ``clicked_words`` of texts. ``neck`` and ``head``
    are in evaluation mode.
    """
    rng, scores_of, iou_of = np.random.default_rng(0), [], []
    with torch.no_grad(), half_precision(device):
        for start in range(0, len(samples), VIEWS):
            some = samples[start : start + VIEWS]
            batch = batch_of(some, device)
            features = of_objects(neck(batch.tokens, batch.stem), some)
            state = begin(some, rng, device, poor_masks=0, clicked_words=clicked_words)
            rounds = []
            for _ in range(clicks):
                logits, scores = head(*features, *state.inputs(device))
                best = scores.argmax(1, keepdim=True)
                iou = real_iou(logits, batch.truth, batch.valid)
                rounds.append(torch.cat([scores.gather(1, best), iou.gather(1, best)], 1).float().cpu().numpy())
                state.advance(logits, scores)
            both = np.stack(rounds, 1)  # (B, clicks, 2)
            scores_of.append(both[..., 0])
            iou_of.append(both[..., 1])
    return np.concatenate(scores_of), np.concatenate(iou_of)
