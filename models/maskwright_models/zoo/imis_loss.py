"""The loss that IMIS-Net is trained with, and its mask at the size of the picture, as its authors compute them.

Source: the published training and prediction code, restated here; held to the published test vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

FOCAL_WEIGHT = 20.0
ALPHA = 0.25
GAMMA = 2


@dataclass(frozen=True, slots=True, eq=False)
class ImisLoss:
    """The three parts, each a number over the whole batch, and what is minimised."""

    focal: Tensor
    dice: Tensor
    iou: Tensor

    @property
    def total(self) -> Tensor:
        """Focal loss twenty times, Dice and the error of the predicted IoU once."""
        return FOCAL_WEIGHT * self.focal + self.dice + self.iou


def imis_loss(low_res: Tensor, iou: Tensor, truth: Tensor) -> ImisLoss:
    """Loss of the chosen candidates: logits (B, 1, S/4, S/4), predicted IoU (B, 1), truth (B, 1, S, S) of 0 and 1.

    Logits are brought to the size of the truth first. Dice is that of the batch as one mask; the IoU that the model
    has to predict is the soft one of the probabilities.
    """
    logits = F.interpolate(low_res, truth.shape[-2:], mode="bilinear", align_corners=False)
    inside, outside = F.logsigmoid(logits), F.logsigmoid(-logits)
    p, q = torch.sigmoid(logits), torch.sigmoid(-logits)
    focal = -(ALPHA * truth * q**GAMMA * inside + (1 - ALPHA) * (1 - truth) * p**GAMMA * outside).mean()
    overlap = (p * truth).sum()
    dice = 1 - (2 * overlap + 1) / (p.sum() + truth.sum() + 1)
    each = (p * truth).sum((1, 2, 3))
    real = (each + 1e-7) / (p.sum((1, 2, 3)) + truth.sum((1, 2, 3)) - each + 1e-7)
    return ImisLoss(focal, dice, F.mse_loss(real, iou[:, 0]))


def picture_logits(low_res: Tensor, size: int, shape_yx: tuple[int, int]) -> Tensor:
    """(B, 1, S/4, S/4) logits -> (B, 1, Y, X) by way of the input size, as the published predictor does."""
    square = F.interpolate(low_res, (size, size), mode="bilinear", align_corners=False)
    return F.interpolate(square, shape_yx, mode="bilinear", align_corners=False)
