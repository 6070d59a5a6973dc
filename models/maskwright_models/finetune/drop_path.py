"""Stochastic depth for models that were written to answer: branches are dropped for some samples while training.

Source: Huang et al., "Deep Networks with Stochastic Depth", 2016. It has no weights, so that hooks are enough.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn


def add_drop_path(branch: nn.Module, rate: float) -> None:
    """Drop what ``branch`` (B, ...) adds for each sample with chance ``rate`` in training; the rest is scaled up.

    ``rate`` is 0..1, 1 left out. Raises ValueError for another one.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a chance to be dropped is 0..1, not {rate}")
    if rate > 0:
        branch.register_forward_hook(partial(_dropped, 1 - rate))


def _dropped(keep: float, branch: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
    if not branch.training:
        return None
    shape = (len(output), *[1] * (output.ndim - 1))
    return output * (torch.rand(shape, dtype=output.dtype, device=output.device) < keep) / keep
