"""Compute the frozen encoder's features of the training images once.

example: maskwright-models features ../shared/data/train --store work/features --rounds 1
"""

from __future__ import annotations

import argparse
import sys
import time

from maskwright_models.commands.data_arguments import add_feature_arguments, sets_of
from maskwright_models.devices import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_feature_arguments(parser)
    parser.add_argument("--only", nargs="+", default=(), metavar="SET", help="leave out all other sets")
    parser.add_argument("--device", choices=CHOICES, default="auto")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> int:
    """Fill the stores; what is done is passed over."""
    from maskwright_models.data.features import compute, pretrained_parts
    from maskwright_models.data.volumes import index_with_volumes
    from maskwright_models.devices import devices, prepare_cpu

    prepare_cpu(args.threads)
    datasets = index_with_volumes(args.data, args.volumes, **sets_of(args))
    datasets = [d for d in datasets if not args.only or d.name in args.only]
    parts, start = pretrained_parts(), time.monotonic()

    def say(name: str, done: int, total: int) -> None:
        sys.stderr.write(f"\r{name}: {done}/{total}  {time.monotonic() - start:.0f} s\033[K")

    for round_ in range(args.rounds):
        for part in parts:
            where = {"round_": round_, "device": devices(args.device)[0], "batch": args.batch}
            ran = compute(part, datasets, args.store, **where, on_batch=say)
            seconds = time.monotonic() - start
            sys.stderr.write(f"\rround {round_}: {ran} views of {part.name} computed in {seconds:.0f} s\033[K\n")
    return 0
