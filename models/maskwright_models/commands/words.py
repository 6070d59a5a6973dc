"""Train words alone on what a training run made of the views; answers without words stay the same to the bit.

example: maskwright-models words work/runs/first/last.pt ../shared/data/train --out work/runs/words --minutes 5
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maskwright_models.commands.data_arguments import add_feature_arguments, sets_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("checkpoint", type=Path, help="last.pt of a training run, or a model folder")
    add_feature_arguments(parser)
    parser.add_argument("--out", type=Path, required=True, help="run folder: last.pt and log.jsonl")
    parser.add_argument("--minutes", type=float, default=5.0, help="time to train, after the views have been read")
    parser.add_argument("--medical-share", type=float, default=0.7)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> int:
    """Read the views, train, save."""
    from maskwright.core.errors import StoreError
    from maskwright_models.data.samples import Mix
    from maskwright_models.data.sources import open_sources
    from maskwright_models.devices import prepare_cpu
    from maskwright_models.train.word_views import read_views
    from maskwright_models.train.words import WordRecipe, WordTrainer, net_for_words
    from maskwright_models.zoo.dinov2_imsa import HeadConfig

    prepare_cpu(args.threads)
    source, _ = open_sources(
        args.data,
        args.store,
        volumes=args.volumes,
        **sets_of(args),
        rounds=args.rounds,
        mix=Mix(medical=args.medical_share),
    )
    net, new = net_for_words(args.checkpoint, HeadConfig())
    if new:
        sys.stderr.write(f"{len(new)} weights begin new: {', '.join(new)}\n")

    def say(done: int, total: int) -> None:
        sys.stderr.write(f"\rreading views: {done}/{total}\033[K")

    views = read_views(source, net.neck, on_view=say)
    sys.stderr.write("\n")
    if not views:
        raise StoreError("no view has a label with words", path=args.data, hint="Look into labels.csv of the sets.")
    recipe = WordRecipe(minutes=args.minutes, rate=args.rate, seed=args.seed)
    WordTrainer(args.out, net, source, views, recipe=recipe).run()
    return 0
