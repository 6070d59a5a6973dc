"""Train neck and head of the default model on stored features; the same command again goes on where it stopped.

example: nohup maskwright-models train ../shared/data/train --store work/features --out work/runs/first --hours 1.5 &
"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskwright_models.devices import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("data", type=Path, help="folder with natural/ and medical/")
    parser.add_argument("--store", type=Path, default=Path("work/features"))
    parser.add_argument("--out", type=Path, required=True, help="run folder: last.pt and log.jsonl")
    parser.add_argument("--hours", type=float, default=2.0, help="whole budget; the learning rate falls to its end")
    parser.add_argument("--rounds", type=int, default=1, help="views per image to use")
    parser.add_argument("--views", type=int, default=5, help="images per step")
    parser.add_argument("--objects", type=int, default=3, help="objects per image")
    parser.add_argument("--medical-share", type=float, default=0.3)
    parser.add_argument("--licences", choices=("all", "open"), default="all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=CHOICES, default="auto")
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> int:
    """Train until the budget is used up."""
    from maskwright_models.data.features import trunk_sha256
    from maskwright_models.data.index import read_index
    from maskwright_models.data.samples import SampleSource
    from maskwright_models.devices import devices, prepare_cpu
    from maskwright_models.train.trainer import TrainConfig, Trainer
    from maskwright_models.zoo.dinov2_imsa import HeadConfig, pretrained_trunk

    prepare_cpu(args.threads)
    source = SampleSource(
        read_index(args.data, licences=args.licences),
        args.store,
        trunk_sha256(pretrained_trunk()),
        rounds=args.rounds,
        objects=args.objects,
        medical_share=args.medical_share,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    recipe = TrainConfig(hours=args.hours, views=args.views, objects=args.objects, seed=args.seed)
    Trainer(args.out, source, model=HeadConfig(), recipe=recipe, device=devices(args.device)[0]).run()
    return 0
