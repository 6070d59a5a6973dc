"""How fast the runs of the default model learn: rate over the budget, average of the weights, what decays."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn


def rate_factor(step: int, progress: float, *, warmup_steps: int) -> float:
    """Part of the highest rate: a linear warm-up, then half a cosine over the budget down to 0.02."""
    return min(1.0, (step + 1) / warmup_steps) * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))


def kept_share(step: int, average: float) -> float:
    """How much of the averaged weights stays after ``step`` steps; early ones are soon forgotten."""
    return min(average, (1 + step) / (10 + step))


def optimiser_for(parameters: Iterable[nn.Parameter], *, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that lets matrices and kernels decay, not biases, scales and other vectors."""
    every = list(parameters)
    groups = [
        {"params": [p for p in every if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in every if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))
