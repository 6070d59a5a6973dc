"""Export a trained checkpoint as a model folder and compare it with torch; over tolerance nothing is installed.

example: maskwright-models export work/runs/first/last.pt --out assets/models/default
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

WORST_LOGIT_ERROR = 0.05
"""Largest allowed difference of a logit, relative to the largest logit: float16 weights cost a little."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--id", help="model id (default: name of the folder)")
    parser.add_argument("--version", default="0.1.0")


def run(args: argparse.Namespace) -> int:
    """Export into a temporary folder, compare, then replace what is in ``--out``."""
    from maskwright.core.errors import ModelError
    from maskwright_models.export.default_parity import compare
    from maskwright_models.export.onnx_files import export_default
    from maskwright_models.export.text_files import export_text_files
    from maskwright_models.train.trainer import load_trained
    from maskwright_models.zoo.dinov2_imsa import ABOUT, Encoder, pretrained_trunk
    from maskwright_models.zoo.efficient_stem import pretrained_stem

    net = load_trained(args.checkpoint)
    encoder = Encoder(pretrained_trunk(), pretrained_stem(), net.neck).eval()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / (args.id or args.out.name)
        about = {**ABOUT, "id": folder.name, "version": args.version}
        export_default(encoder, net.head, folder, about=about, text=export_text_files(folder))
        report = compare(encoder, net.head, folder)
        sys.stdout.write(json.dumps(report) + "\n")
        if report["logit_error"] > WORST_LOGIT_ERROR or report["mask_iou"] < 0.995:
            raise ModelError(f"the exported model differs from torch ({report})", path=args.checkpoint)
        args.out.mkdir(exist_ok=True)
        for path in folder.iterdir():
            shutil.move(path, args.out / path.name)
    return 0
