"""The arguments that say what data a command reads, and where its features lie."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_set_arguments(parser: argparse.ArgumentParser) -> None:
    """How the data of a command lies, and what of it is used."""
    parser.add_argument(
        "--layout", default="auto", help="how DATA lies: maskwright, imed, coco-lvis, sbd, panoptic, ..."
    )
    parser.add_argument("--split", choices=("train", "val"), default="train", help="part of a published set (train)")
    parser.add_argument("--licences", choices=("all", "open"), default="all", help="open: sets without restriction")


def add_feature_arguments(parser: argparse.ArgumentParser) -> None:
    """DATA with :func:`add_set_arguments`, slices of volumes, stored features and how many views have them."""
    parser.add_argument("data", type=Path, help="folder with natural/ and medical/, or of a published set")
    add_set_arguments(parser)
    parser.add_argument("--volumes", type=Path, help="folder that 'maskwright-models volumes' wrote, to use as well")
    parser.add_argument("--store", type=Path, default=Path("work/features"), help="folder of the features")
    parser.add_argument("--rounds", type=int, default=1, help="views per image, the whole image first (at most 8)")


def sets_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the arguments say of the sets, as `index_with_volumes` and `open_sources` take it by name."""
    return {"layout": args.layout, "split": args.split, "licences": args.licences}
