"""Where a run begins: an official checkpoint that loads strictly, fresh weights, or its own last state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.errors import ModelError
from maskwright_models.checkpoint import load, read_state
from maskwright_models.registry import family


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A model to train.

    ``state`` are the tensors of the official file as they are, none for fresh weights; ``last`` is what a run that was
    stopped goes on from.
    """

    name: str
    variant: str
    model: nn.Module
    state: Mapping[str, Tensor] = field(default_factory=dict)
    last: Mapping[str, Any] | None = None


def from_checkpoint(path: Path, *, name: str, variant: str) -> Start:
    """Read an official checkpoint of family ``name``.

    Raises ModelError for a file that is missing, cut off, of another family or variant, or with other tensors.
    """
    loaded = load(path, name=name, variant=variant)
    for tensor in (*loaded.model.parameters(), *loaded.model.buffers()):
        tensor.data = tensor.data.clone()  # the file is mapped into memory
    return Start(name, loaded.variant, loaded.model, read_state(path))


def fresh(*, name: str, variant: str, seed: int) -> Start:
    """Random weights. Raises ModelError for a variant that the family does not have, or none at all."""
    known = family(name)
    if variant not in known.variants:
        what = "fresh weights need a variant" if variant == "auto" else f"{known.title} has no variant {variant!r}"
        raise ModelError(what, hint=f"Known: {', '.join(known.variants)}.")
    torch.manual_seed(seed)
    return Start(name, variant, known.build(variant))
