"""Draw the learning curve of one or more training runs: losses and IoU over hours, as SVG or PNG.

examples: maskwright-models curve work/runs/first --out docs/figures/learning.svg
          maskwright-models curve work/runs/first work/runs/second --chain --out docs/figures/learning.svg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("runs", type=Path, nargs="+", help="run folders, or their log.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="file to write, ending in .svg or .png")
    parser.add_argument("--smooth", type=int, default=8, metavar="N", help="mean of N rows in a row (8)")
    parser.add_argument("--chain", action="store_true", help="each run began with the weights of the one before")
    parser.add_argument("--only", metavar="A[,B...]", help="figures to draw (all)")


def run(args: argparse.Namespace) -> int:
    """Draw."""
    from maskwright.core.errors import ModelError
    from maskwright_models.evaluate.figures import FORMATS, draw_learning, is_overlap
    from maskwright_models.evaluate.learning import Figures, last_hour, read_log

    kind = args.out.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ModelError(f"curves are drawn as {' or '.join(FORMATS)}", path=args.out, hint="End the name in .svg.")
    only = set(args.only.split(",")) if args.only else None
    runs: dict[str, Figures] = {}
    figures: Figures = {}
    hours = 0.0
    for path in args.runs:
        figures = read_log(path, smooth=args.smooth, from_hours=hours if args.chain else 0.0)
        hours = last_hour(figures)
        if only is not None:
            figures = {name: pairs for name, pairs in figures.items() if name in only}
        runs[(path.parent if path.suffix else path).resolve().name] = figures
    if not any(runs.values()):
        raise ModelError("no run has such a figure", path=args.runs[0], hint="Leave --only out to see all.")
    (written,) = draw_learning(args.out.with_suffix(""), runs, formats=(kind,))
    newest = {name: pairs[-1][1] for name, pairs in figures.items() if is_overlap(name)}
    told = ", ".join(f"{name} {value:.3f}" for name, value in sorted(newest.items()))
    sys.stdout.write(f"{written}: {hours:.2f} hours" + (f"; at the end {told}" if told else "") + "\n")
    return 0
