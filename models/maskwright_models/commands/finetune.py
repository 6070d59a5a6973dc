"""Fine-tune a published system with its own recipe; the same command again goes on where it stopped.

An official checkpoint goes in and one with the same names comes out: RUN/finetuned.pth, which
'maskwright-models import' takes as it takes the official one. The run keeps last.pt to go on from, and log.jsonl.

examples: maskwright-models finetune iter_320000.pth --family interformer --data coco2017 --out work/runs/coco --hours 4
          maskwright-models finetune IMISNet-B.pth --family imis --variant vit_b_256 --data BTCV --out work/runs/btcv
          maskwright-models import work/runs/btcv/finetuned.pth --variant vit_b_256 --beside IMIS-Bench --out m/btcv
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from maskwright_models.commands.data_arguments import add_set_arguments, sets_of
from maskwright_models.devices import CHOICES

FAMILIES = ("interformer", "imis")
HOURS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("checkpoint", type=Path, nargs="?", help="official .pth file; not read once the run has saved")
    parser.add_argument("--random", action="store_true", help="begin with random weights instead of a checkpoint")
    parser.add_argument("--family", choices=FAMILIES, required=True)
    parser.add_argument("--variant", default="auto", help="where the weights fit several (default: by their shapes)")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with natural/ and medical/, or a published set"
    )
    add_set_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder")
    parser.add_argument("--steps", type=_positive(int), help="whole budget in steps, also over restarts")
    parser.add_argument("--hours", type=_positive(float), help=f"whole budget in hours ({HOURS:g} without --steps)")
    parser.add_argument("--batch", type=_positive(int), help="images a step (as published)")
    parser.add_argument("--rate", type=_positive(float), help="highest learning rate (as published: 1e-4)")
    parser.add_argument(
        "--rounds", type=_positive(int), default=8, help="imis: interactions after the first prompt (8)"
    )
    parser.add_argument("--masks", type=_positive(int), default=5, help="imis: masks of one image (5)")
    parser.add_argument(
        "--beside", type=Path, metavar="DIR", help="imis: folder of tokenizer and names (default: the checkpoint's)"
    )
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", choices=CHOICES, default="auto")
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> int:
    """Train until the budget is used up, and print what was written."""
    from maskwright.core.errors import ModelError
    from maskwright_models.data.index import read_index
    from maskwright_models.devices import devices, prepare_cpu
    from maskwright_models.finetune.pictures import Pictures
    from maskwright_models.finetune.recipe import Recipe
    from maskwright_models.finetune.run import Run, resumed
    from maskwright_models.finetune.start import fresh, from_checkpoint
    from maskwright_models.registry import family

    if (args.checkpoint is None) != args.random:
        raise ModelError("a run begins with a checkpoint or with --random", hint="Name one of the two.")
    prepare_cpu(args.threads)
    pictures = Pictures(read_index(args.data, **sets_of(args)), args.data)
    asked = {"name": args.family, "variant": args.variant}
    start = resumed(args.out, **asked)
    if start is None:
        start = fresh(**asked, seed=args.seed) if args.random else from_checkpoint(args.checkpoint, **asked)
    beside, folder = family(args.family).beside, args.beside
    if beside is not None and (folder is not None or args.checkpoint is not None):
        for sentence in beside(start.model, folder if folder is not None else args.checkpoint.parent):
            sys.stderr.write(sentence + "\n")
    recipe = Recipe(
        steps=args.steps,
        hours=HOURS if args.hours is None and args.steps is None else args.hours,
        batch=args.batch,
        rate=args.rate,
        rounds=args.rounds,
        masks=args.masks,
        seed=args.seed,
    )
    one = Run(args.out, start, pictures, recipe=recipe, device=devices(args.device)[0])
    if one.step:
        sys.stderr.write(f"going on at step {one.step}\n")
    result = one.run()
    report = {"checkpoint": str(result), "family": one.name, "variant": one.variant, "steps": one.step}
    sys.stdout.write(json.dumps({**report, "hours": round(one.seconds / 3600, 4)}, indent=1) + "\n")
    return 0


def _positive(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    def read(text: str) -> int | float:
        value = kind(text)
        if not value > 0:
            raise ValueError(text)
        return value

    read.__name__ = f"positive {kind.__name__}"
    return read
