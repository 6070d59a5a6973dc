"""Losses of the head: normalised focal loss and Dice per candidate, best of K, and the predicted IoU.

Sources: Sofiiuk et al. (RITM, 2021) for the normalised focal loss; Li et al. (2018) for training the best of K only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def normalised_focal(logits: Tensor, truth: Tensor, valid: Tensor, *, gamma: float = 2.0) -> Tensor:
    """(B, K, h, w) logits against (B, 1, h, w) truth in 0..1 -> (B, K); weights are scaled to mean 1 per mask."""
    truth = truth.expand_as(logits)
    bce = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    weight = (1 - torch.exp(-bce)) ** gamma * valid
    with torch.no_grad():
        scale = valid.sum((-2, -1)) / weight.sum((-2, -1)).clamp_min(1e-4)
        scale = scale.clamp_max(50.0)
    return (weight * bce).sum((-2, -1)) * scale / valid.sum((-2, -1))


def soft_dice(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """1 - Dice of the probabilities, (B, K)."""
    p = torch.sigmoid(logits) * valid
    t = truth * valid
    overlap = (p * t).sum((-2, -1))
    return 1 - (2 * overlap + 1) / (p.sum((-2, -1)) + t.sum((-2, -1)) + 1)


def real_iou(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """IoU of the thresholded masks, (B, K), no gradient."""
    with torch.no_grad():
        p, t, v = logits > 0, truth > 0.5, valid > 0.5
        union = ((p | t) & v).sum((-2, -1)).clamp_min(1)
        return (p & t & v).sum((-2, -1)) / union


@dataclass(frozen=True, slots=True, eq=False)
class HeadLoss:
    """Loss to minimise, and what the log shows."""

    total: Tensor
    mask: Tensor
    score: Tensor
    iou: Tensor
    chosen_iou: Tensor


def head_loss(logits: Tensor, scores: Tensor, truth: Tensor, valid: Tensor) -> HeadLoss:
    """Candidate 0 always learns; of the others the best one does, and all a little so that none dies.

    logits (B, K, h, w), scores (B, K), truth and valid (B, 1, h, w) float.
    """
    each = normalised_focal(logits, truth, valid) + soft_dice(logits, truth, valid)
    others = each[:, 1:]
    mask = (each[:, 0] + others.min(1).values + 0.05 * others.mean(1)).mean()
    iou = real_iou(logits, truth, valid)
    score = F.mse_loss(scores, iou)
    chosen = iou.gather(1, scores.argmax(1, keepdim=True)).mean()
    return HeadLoss(mask + 2.0 * score, mask.detach(), score.detach(), iou[:, 0].mean(), chosen)
