"""Weights that any machine makes the same from the names in a state dict, so that reference outputs need no weights."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn


def named_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict of the same names, shapes and types with values drawn from each name."""
    return {name: _value(name, tensor) for name, tensor in state.items()}


def fill(module: nn.Module) -> nn.Module:
    """Load :func:`named_weights` into a module and put it into evaluation."""
    module.load_state_dict(named_weights(module.state_dict()), strict=True)
    return module.eval()


def listing(state: Mapping[str, Any]) -> str:
    """Names and shapes, one a line, sorted: what a checkpoint must have."""
    return "\n".join(f"{name} {tuple(tensor.shape)}" for name, tensor in sorted(state.items()))


def _value(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return torch.zeros_like(tensor, device="cpu")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = rng.standard_normal(tuple(tensor.shape))
    if name.endswith("running_var"):
        values = 0.5 + np.abs(values)
    elif tensor.ndim >= 2:
        fan_in = int(np.prod(tensor.shape[1:])) if "pos" not in name and "token" not in name else 4
        values = values / np.sqrt(max(1, fan_in))
    elif name.endswith("weight"):
        values = 1 + 0.1 * values
    else:
        values = 0.1 * values
    return torch.from_numpy(values.astype(np.float32))
