"""What a published system has to offer to be fine-tuned; one class a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

Update = Callable[[], None]
"""Steps the optimiser on the gradients that have gathered, and clears them."""


class Tuning(Protocol):
    """A model with its published recipe."""

    @property
    def module(self) -> nn.Module:
        """All weights, under their official names."""
        ...

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """Tensors that the official file has in another shape than the module and that training leaves alone."""
        ...

    def optimiser(self) -> torch.optim.Optimizer:
        """Optimiser of what is trained; every group has its highest learning rate as ``top``."""
        ...

    def rate_factor(self, step: int, progress: float) -> float:
        """What ``top`` is multiplied with at a step, 0..1."""
        ...

    def draw(self, rng: np.random.Generator) -> Any:
        """One batch, read and prepared on the CPU. Raises ScanError for files that cannot be read."""
        ...

    def step(self, batch: Any, rng: np.random.Generator, update: Update) -> dict[str, float]:
        """Simulate users, train on ``batch`` with one or more updates, and return what the log shows."""
        ...

    def official(self) -> dict[str, Any]:
        """What is written at the end: what the official file holds, under its names."""
        ...
