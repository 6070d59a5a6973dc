"""The loss that InterFormer is trained with: RITM's normalised focal loss, as its authors compute it.

Source: Sofiiuk et al. (RITM, 2021) and the published configuration; held to the published test vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskwright_models.finetune.interformer_views import IGNORED
from maskwright_models.zoo.interformer_map import resized_logits

ALPHA, GAMMA = 0.5, 2.0
EPS = torch.finfo(torch.float32).eps
AUXILIARY_WEIGHT, AUXILIARY_STRIDE = 0.4, 16


def interformer_focal(logits: Tensor, truth: Tensor) -> Tensor:
    """Loss of each sample, (B,), of logits (B, H, W) against (B, H, W) uint8: 1 object, 0 not, 255 ignored.

    The weights of a sample's pixels are scaled to a mean of 1 without a gradient through the scale; a sample of which
    all is ignored has a loss of 0.
    """
    valid = (truth != IGNORED).float()
    right = 1 - (torch.sigmoid(logits) - (truth == 1).float()).abs()
    right = torch.where(valid > 0, right, torch.ones_like(right))
    weight = (1 - right) ** GAMMA
    count = valid.sum((-2, -1))
    scale = (count / (weight.sum((-2, -1)) + EPS)).detach()
    loss = -ALPHA * weight * (right + EPS).clamp(max=1.0).log() * valid
    return scale * loss.sum((-2, -1)) / count.clamp_min(1)


def of_two_classes(both: Tensor, truth: Tensor, *, stride: int) -> Tensor:
    """Mean loss of the official two-class logits (B, 2, H / stride, W / stride), brought to the size of the truth."""
    full = resized_logits(both, stride)
    return interformer_focal(full[:, 1] - full[:, 0], truth).mean()
