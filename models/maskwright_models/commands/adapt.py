"""Fit the head of a model to the accepted masks of a project; the base model stays, and stays in use unless beaten.

A quarter of the masks is kept back and decides: only a head that does better on them is written. The report goes to
standard output, and as report.json into the model folder.

examples: maskwright-models adapt work/ --out ~/.local/share/maskwright/models/default-liver
          maskwright-models adapt scans/ --out default-liver --minutes 4        # the folder that was opened
          maskwright-models adapt val/berkeley --folder --out default-berkeley  # images/ and masks/
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "project", type=Path, help="project folder, or the scan or folder of scans that was opened in the window"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL_FOLDER", help="its name is the model's id")
    parser.add_argument("--folder", action="store_true", help="PROJECT is a folder with images/ and masks/ instead")
    parser.add_argument("--images", type=int, help="train on this many images and compare on all others")
    parser.add_argument("--model", default="default", help="installed model id or model folder to start from")
    parser.add_argument("--minutes", type=float, default=8.0, help="for everything together (8)")
    parser.add_argument("--store", type=Path, help="feature folder (default: the app's)")
    parser.add_argument(
        "--views", type=int, default=2, help="further views to encode of each slice, mirrored and cut (2)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the model in MODEL_FOLDER")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=1)


def run(args: argparse.Namespace) -> int:
    """Adapt and print the report; exit code 0 also where the base stays."""
    from maskwright.inference.model_folder import find_folder
    from maskwright.io.places import data_root, default_store_root
    from maskwright_models.adapt.clock import Clock
    from maskwright_models.devices import prepare_cpu

    clock = Clock(60 * args.minutes)
    prepare_cpu(args.threads)
    from maskwright_models.adapt.items import folder_material, project_material
    from maskwright_models.adapt.run import Options, adapt

    def say(sentence: str) -> None:
        sys.stderr.write(f"\r{sentence}\033[K")
        sys.stderr.flush()

    report = adapt(
        folder_material(args.project) if args.folder else project_material(args.project),
        find_folder(args.model, data_root() / "models"),
        args.out,
        options=Options(args.minutes, args.views, args.threads, args.images, args.overwrite, args.seed),
        store_root=args.store or default_store_root(),
        clock=clock,
        say=say,
    )
    sys.stderr.write(f"\r{report['reason']}\033[K\n")
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    return 0
