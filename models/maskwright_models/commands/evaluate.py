"""Evaluate an installed model with the number-of-clicks protocol on one or more folders, one JSON line each.

example: maskwright-models evaluate ../shared/data/val/berkeley ../shared/data/val/coco_mval --limit 50
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("folders", type=Path, nargs="+", help="folders with images/ and masks/")
    parser.add_argument("--model", default="default")
    parser.add_argument("--prompt", choices=("click", "box", "text"), default="click")
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=2)


def run(args: argparse.Namespace) -> int:
    """Print the summary of each folder."""
    from maskwright.inference import load_segmenter
    from maskwright.inference.evaluate import evaluate
    from maskwright.io.evaluation_set import read_evaluation_set

    segmenter = load_segmenter(args.model, threads=args.threads)
    for folder in args.folders:
        items = read_evaluation_set(folder, limit=args.limit)
        name = folder.resolve().name
        result = evaluate(items, segmenter=segmenter, name=name, prompt=args.prompt, clicks=args.clicks)
        sys.stdout.write(json.dumps(result.summary()) + "\n")
        sys.stdout.flush()
    return 0
