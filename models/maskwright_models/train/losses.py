"""Losses of the head: normalised focal loss and Dice per candidate, best of K, and the predicted IoU.

Sources: Sofiiuk et al. (RITM, 2021) for the normalised focal loss; Li et al. (2018) for training the best of K only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright_models.zoo.dinov2_imsa import Answer


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


def each_mask(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Focal loss and Dice of every candidate, (B, K)."""
    return normalised_focal(logits, truth, valid) + soft_dice(logits, truth, valid)


def rough_mask(logits: Tensor, truth: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy and Dice of (B, 1, h, w) logits against a truth of more pixels, a number."""
    factor = truth.shape[-1] // logits.shape[-1]
    small, known = F.avg_pool2d(truth, factor), F.avg_pool2d(valid, factor)
    bce = F.binary_cross_entropy_with_logits(logits, small, known)
    return bce + soft_dice(logits, small, known).mean()


def word_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy, and Dice of labels that are there, of (L, h, w) logits against covered ``shares``, a number.

    A label that the view does not show has no share anywhere.
    """
    if not len(logits):
        return logits.sum()
    bce = F.binary_cross_entropy_with_logits(logits, shares)
    there = shares.flatten(1).amax(1) > 0
    dice = soft_dice(logits[:, None], shares[:, None], torch.ones_like(shares[:, None]))[:, 0]
    return bce + (dice * there).sum() / there.sum().clamp_min(1)


def head_loss(answer: Answer, truth: Tensor, valid: Tensor) -> HeadLoss:
    """Candidate 0 always learns; of the others the best one does, and all a little so that none dies.

    truth and valid (B, 1, 256, 256) float. The others are compared at half the resolution, which is enough to choose.
    """
    logits = answer.logits.float()
    first = each_mask(logits[:, :1], truth, valid)[:, 0]
    others = each_mask(*(F.avg_pool2d(x, 2) for x in (logits[:, 1:], truth, valid)))
    mask = (first + others.min(1).values + 0.05 * others.mean(1)).mean()
    iou = real_iou(logits, truth, valid)
    scores = answer.scores.float()
    score = F.mse_loss(scores, iou)
    total = mask + 0.3 * rough_mask(answer.rough.float(), truth, valid) + 2.0 * score
    chosen = iou.gather(1, answer.offered.argmax(1, keepdim=True)).mean()
    return HeadLoss(total, mask.detach(), score.detach(), iou[:, 0].mean(), chosen)
