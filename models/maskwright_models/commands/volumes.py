"""Write slices of labelled volumes as 2-D training sets.

example: maskwright-models volumes ../shared/data/train --out work/volumes2d
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("data", type=Path, help="folder with volumes/")
    parser.add_argument("--out", type=Path, default=Path("work/volumes2d"), help="gets medical/SET/ for every set")


def run(args: argparse.Namespace) -> int:
    """Write all sets but those whose labels are the output of a model."""
    from maskwright_models.data.volumes import materialise_volumes

    total = 0

    def say(name: str, count: int) -> None:
        nonlocal total
        total += count
        sys.stderr.write(f"{name}: {count} slices\n")

    materialise_volumes(args.data / "volumes", args.out, on_set=say)
    sys.stderr.write(f"{total} slices in {args.out}\n")
    return 0
