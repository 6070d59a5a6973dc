"""Compute the frozen encoder's features of the training images once.

example: maskwright-models features ../shared/data/train --store work/features --rounds 1
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from maskwright_models.devices import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("data", type=Path, help="folder with natural/ and medical/")
    parser.add_argument("--store", type=Path, default=Path("work/features"))
    parser.add_argument("--rounds", type=int, default=1, help="views per image: 1 whole image, then crops (at most 8)")
    parser.add_argument("--licences", choices=("all", "open"), default="all")
    parser.add_argument("--device", choices=CHOICES, default="auto")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> int:
    """Fill the stores; what is done is passed over."""
    from maskwright_models.data.features import compute
    from maskwright_models.data.index import read_index
    from maskwright_models.devices import devices, prepare_cpu
    from maskwright_models.zoo.dinov2_imsa import pretrained_trunk

    prepare_cpu(args.threads)
    trunk, datasets = pretrained_trunk(), read_index(args.data, licences=args.licences)
    start = time.monotonic()

    def say(name: str, done: int, total: int) -> None:
        sys.stderr.write(f"\r{name}: {done}/{total}  {time.monotonic() - start:.0f} s\033[K")

    for round_ in range(args.rounds):
        ran = compute(
            trunk, datasets, args.store, round_=round_, device=devices(args.device)[0], batch=args.batch, on_batch=say
        )
        sys.stderr.write(f"\rround {round_}: {ran} views computed in {time.monotonic() - start:.0f} s\033[K\n")
    return 0
