"""Write README.md beside a model: terms, training data with licences, recipe, figures.

example: maskwright-models card assets/models/default --data ../shared/data/train --run work/runs/first/last.pt
         --figures build/figures.jsonl
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--data", type=Path, required=True, help="training data the run saw")
    parser.add_argument("--run", type=Path, required=True, help="checkpoint of the run", dest="checkpoint")
    parser.add_argument("--figures", type=Path, required=True, help="lines that maskwright-models evaluate printed")
    parser.add_argument("--licences", choices=("all", "open"), default="all")


def run(args: argparse.Namespace) -> int:
    """Write the card."""
    from maskwright.inference.model_folder import read_card
    from maskwright_models.data.index import read_index
    from maskwright_models.export.card_text import card_text
    from maskwright_models.train.trainer import read_checkpoint

    state = read_checkpoint(args.checkpoint)
    recipe = {
        "steps": state["step"],
        "hours used": round(state["seconds"] / 3600, 2),
        "images per step": state["recipe"]["views"],
        "objects per image": state["recipe"]["objects"],
        "AdamW rate": state["recipe"]["rate"],
        "weight decay": state["recipe"]["weight_decay"],
        "weight average": state["recipe"]["average"],
        "seed": state["recipe"]["seed"],
    }
    figures = [json.loads(line) for line in args.figures.read_text("utf-8").splitlines() if line.startswith("{")]
    text = card_text(read_card(args.model), read_index(args.data, licences=args.licences), recipe, figures)
    (args.model / "README.md").write_text(text, "utf-8")
    return 0
