"""What a fine-tuning run goes on from, read without running what it carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from maskwright.core.errors import ModelError

LAST, RESULT = "last.pt", "finetuned.pth"
"""What a run goes on from, and the checkpoint that it ends with."""


def read_last(folder: Path) -> dict[str, Any] | None:
    """What the run in ``folder`` goes on from, None where it has not saved yet.

    Raises ModelError for a file that is cut off, of something else, or would have to run code.
    """
    path = folder / LAST
    if not path.exists():
        return None
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(value, dict) or not {"family", "variant", "module", "optimiser", "step"} <= value.keys():
            raise ValueError("it is of something else")
        return value
    except Exception as error:  # torch raises what zip and pickle raise
        raise ModelError(
            f"what this run goes on from cannot be read ({error or type(error).__name__})".splitlines()[0],
            path=path,
            hint="Take the file away to begin anew.",
        ) from error
