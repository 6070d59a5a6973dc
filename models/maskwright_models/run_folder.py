"""Files of a training run: checkpoints written in one piece, and a log with a row for each so many steps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

LOG = "log.jsonl"


def save_whole(value: Any, path: Path) -> None:
    """Write with ``torch.save`` in one piece: a kill during the write leaves the older file."""
    part = path.with_name(f".{path.name}.part")
    torch.save(value, part)
    part.replace(path)


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
