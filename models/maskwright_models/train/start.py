"""What a new run begins with: the weights of another run, or of an installed model, as far as the shapes agree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from maskwright.core.errors import ModelError
from maskwright_models.export.read_back import trained_weights
from maskwright_models.train.checkpoints import read_checkpoint


def start_weights(path: Path, device: torch.device | str = "cpu") -> Mapping[str, Tensor]:
    """Averaged weights of a checkpoint, or those of the neck and head in a model folder.

    Raises ModelError where there is neither, or it cannot be read.
    """
    if path.is_dir():
        return trained_weights(path)
    return read_checkpoint(path, device)["average"]


def begin_with(net: nn.Module, weights: Mapping[str, Tensor], path: Path) -> tuple[str, ...]:
    """Copy the weights whose name and shape ``net`` has. Returns the names of those that begin new.

    Raises ModelError where less than half of the values of ``net`` are given.
    """
    own = net.state_dict()
    taken = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    count = sum(own[k].numel() for k in taken)
    if 2 * count < sum(v.numel() for v in own.values()):
        raise ModelError(
            "these are weights of another architecture", path=path, hint="Start without them: leave out --start."
        )
    net.load_state_dict(own | taken)
    return tuple(sorted(k for k in own.keys() - taken.keys() if not k.endswith("num_batches_tracked")))
