"""Reads what a training run saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from maskwright.core.errors import ModelError


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What a run wrote. Raises ModelError where there is none or it cannot be read."""
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise ModelError("there is no checkpoint here", path=path, hint="Train first.") from error
    except Exception as error:  # torch raises what zip and pickle raise
        what = f"this is no readable checkpoint ({type(error).__name__})"
        raise ModelError(what, path=path, hint="Name the last.pt of a training run.") from error
