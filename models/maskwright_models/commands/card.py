"""Write README.md beside a model: terms, training data with licences, recipe, figures; and the curves for docs/.

example: maskwright-models card assets/models/default --data ../shared/data/train --volumes work/volumes
         --run work/runs/first/last.pt work/runs/second/last.pt --figures work/report/rows.jsonl --curves docs/figures
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--data", type=Path, required=True, help="training data the runs saw")
    parser.add_argument("--volumes", type=Path, help="slices of volumes that the runs saw as well")
    parser.add_argument(
        "--run", type=Path, required=True, nargs="+", help="checkpoints of the runs, oldest first", dest="checkpoints"
    )
    parser.add_argument(
        "--figures", type=Path, required=True, nargs="+", help="lines that maskwright-models evaluate printed"
    )
    parser.add_argument("--licences", choices=("all", "open"), default="all")
    parser.add_argument("--about", type=Path, help="a paragraph on how the model is made, in Markdown")
    parser.add_argument("--curves", type=Path, metavar="DIR", help="write curves as SVG and their tables there")


def run(args: argparse.Namespace) -> int:
    """Write the card, and the curves where they are asked for."""
    from maskwright.core.errors import ModelError
    from maskwright.inference.model_folder import read_card
    from maskwright_models.data.volumes import index_with_volumes
    from maskwright_models.evaluate.figures import draw_learning
    from maskwright_models.evaluate.learning import last_hour, read_log
    from maskwright_models.evaluate.report import by_prompt, read_rows, write_figures
    from maskwright_models.export.card_text import TrainingRun, card_text
    from maskwright_models.train.checkpoints import read_checkpoint

    rows = read_rows(args.figures)
    if not by_prompt(rows):
        raise ModelError(
            "there are no figures with details", path=args.figures[0], hint="Run maskwright-models evaluate again."
        )
    runs = []
    for path in args.checkpoints:
        state = read_checkpoint(path)
        name = path.resolve().parent.name
        runs.append(TrainingRun(name, int(state["step"]), float(state["seconds"]) / 3600, state["recipe"]))
    datasets = index_with_volumes(args.data, args.volumes, licences=args.licences)
    about = args.about.read_text("utf-8") if args.about is not None else ""
    text = card_text(read_card(args.model), datasets, runs, rows, about=about)
    (args.model / "README.md").write_text(text, "utf-8")
    if args.curves is not None:
        write_figures(args.curves, rows)
        curves, hours = {}, 0.0
        for path in args.checkpoints:
            if (path.parent / "log.jsonl").exists():
                figures = read_log(path.parent, smooth=8, from_hours=hours)
                curves[path.resolve().parent.name], hours = figures, last_hour(figures)
        if curves:
            draw_learning(args.curves / "learning", curves, formats=("svg",))
    return 0
