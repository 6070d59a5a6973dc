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
    parser.add_argument("data", type=Path, help="folder with natural/ and medical/, or of a published set")
    parser.add_argument(
        "--layout", default="auto", help="how DATA lies: maskwright, imed, coco-lvis, sbd, panoptic, ..."
    )
    parser.add_argument("--split", choices=("train", "val"), default="train", help="part of a published set (train)")
    parser.add_argument("--store", type=Path, default=Path("work/features"))
    parser.add_argument("--volumes", type=Path, help="folder that 'maskwright-models volumes' wrote, to read as well")
    parser.add_argument("--rounds", type=int, default=1, help="views per image: 1 whole image, then crops (at most 8)")
    parser.add_argument("--only", nargs="+", default=(), metavar="SET", help="leave out all other sets")
    parser.add_argument("--licences", choices=("all", "open"), default="all")
    parser.add_argument("--device", choices=CHOICES, default="auto")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> int:
    """Fill the stores; what is done is passed over."""
    from maskwright_models.data.features import compute, pretrained_parts
    from maskwright_models.data.volumes import index_with_volumes
    from maskwright_models.devices import devices, prepare_cpu

    prepare_cpu(args.threads)
    where = {"layout": args.layout, "split": args.split}
    datasets = index_with_volumes(args.data, args.volumes, licences=args.licences, **where)
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
