"""Folds a calibration of predicted scores into the head, so that what is exported gives calibrated scores."""

from __future__ import annotations

import copy

import torch
from torch import nn

from maskwright_models.zoo.dinov2_imsa import Head


def fold_calibration(head: Head, scale: float, shift: float) -> Head:
    """A head whose scores are ``sigmoid(scale * logit(score) + shift)`` of those of ``head``; all else is the same.

    ``scale`` > 0, so that the order of the candidates stays. The one given is not changed.
    """
    if not scale > 0:
        raise ValueError(f"scale is positive, not {scale}")
    folded = copy.deepcopy(head)
    last = folded.score[-1]
    if not isinstance(last, nn.Linear):
        raise ValueError(f"the last layer of the scores is linear, not {type(last).__name__}")
    with torch.no_grad():
        last.weight.mul_(scale)
        last.bias.mul_(scale).add_(shift)
    return folded
