"""Files of a fine-tuning run: written in one piece, read without running what they carry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from maskwright.core.errors import ModelError

LAST, LOG, RESULT = "last.pt", "log.jsonl", "finetuned.pth"
"""What a run goes on from, its log, and the checkpoint that it ends with."""


def save_whole(value: Any, path: Path) -> None:
    """Write with ``torch.save`` in one piece: a kill during the write leaves the older file."""
    part = path.with_name(f".{path.name}.part")
    torch.save(value, part)
    part.replace(path)


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


def append_row(folder: Path, row: Mapping[str, Any]) -> None:
    """Add a row to the log."""
    with open(folder / LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def forget_later_rows(folder: Path, step: int) -> None:
    """Take rows out of the log whose steps were lost with a stop and are done again."""
    log = folder / LOG
    if log.exists():
        whole = [row for row in log.read_text("utf-8").splitlines() if row.endswith("}")]  # a kill can cut the last
        rows = [row for row in whole if json.loads(row)["step"] <= step]
        log.write_text("".join(f"{row}\n" for row in rows), "utf-8")
