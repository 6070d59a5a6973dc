"""Train neck and head of the default model on stored features; the same command again goes on where it stopped.

example: nohup maskwright-models train ../shared/data/train --store work/features --out work/runs/first --hours 1.5 &
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maskwright_models.commands.data_arguments import add_feature_arguments, sets_of
from maskwright_models.devices import CHOICES

HELD_VIEWS = 36
"""Views of the validation curve."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_feature_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="run folder: last.pt and log.jsonl")
    parser.add_argument("--start", type=Path, help="checkpoint or model folder whose weights a new run begins with")
    parser.add_argument("--hours", type=float, default=2.0, help="whole budget; the learning rate falls to its end")
    parser.add_argument("--steps", type=int, help="budget in steps instead of hours, to compare runs by")
    parser.add_argument("--views", type=int, default=6, help="images per step")
    parser.add_argument("--objects", type=int, default=3, help="objects per image")
    parser.add_argument("--medical-share", type=float, default=0.45)
    parser.add_argument("--text-share", type=float, default=0.35, help="objects that are asked for by text")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", choices=CHOICES, default="auto")
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> int:
    """Train until the budget is used up."""
    import numpy as np

    from maskwright_models.data.samples import Mix
    from maskwright_models.data.sources import open_sources
    from maskwright_models.devices import devices, prepare_cpu
    from maskwright_models.train.trainer import TrainConfig, Trainer
    from maskwright_models.zoo.dinov2_imsa import HeadConfig

    prepare_cpu(args.threads)
    source, held = open_sources(
        args.data,
        args.store,
        volumes=args.volumes,
        **sets_of(args),
        rounds=args.rounds,
        objects=args.objects,
        mix=Mix(medical=args.medical_share, text=args.text_share),
    )
    args.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    recipe = TrainConfig(
        hours=args.hours,
        steps=args.steps,
        views=args.views,
        objects=args.objects,
        rate=args.rate,
        seed=args.seed,
    )
    trainer = Trainer(
        args.out,
        source,
        model=HeadConfig(),
        recipe=recipe,
        device=devices(args.device)[0],
        start=args.start,
        held=[held.draw(rng) for _ in range(HELD_VIEWS)] if held.any else (),
    )
    if trainer.new:
        sys.stderr.write(f"{len(trainer.new)} weights begin new: {', '.join(trainer.new)}\n")
    trainer.run()
    return 0
