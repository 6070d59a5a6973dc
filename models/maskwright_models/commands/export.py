"""Export a trained checkpoint as a model folder and compare it with torch; over tolerance nothing is installed.

example: maskwright-models export work/runs/first/last.pt --out assets/models/default
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright_models.export.quantize import PRECISIONS

if TYPE_CHECKING:
    from maskwright_models.data.samples import SampleSource
    from maskwright_models.train.trainer import Trainable
    from maskwright_models.zoo.dinov2_imsa import Head

HELD_VIEWS, HELD_CLICKS = 150, 6
WORST_LOGIT_ERROR = {"fp32": 0.01, "fp16": 0.05, "int8": 0.3}
"""Largest allowed difference of a logit, relative to the largest one: image to mask, encoder included."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--id", help="model id (default: name of the folder)")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp16", help="of the stored weights; int8: products of the encoder"
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        metavar="DATA",
        help="training data: its words are offered, its held images fit scores and the floor of words",
    )
    parser.add_argument(
        "--text-floor", type=float, help="score below which words have found nothing (default: fitted, see --calibrate)"
    )
    parser.add_argument("--store", type=Path, default=Path("work/features"), help="features of that data")
    parser.add_argument("--volumes", type=Path, help="folder that 'maskwright-models volumes' wrote, to fit to as well")
    parser.add_argument(
        "--licences",
        choices=("all", "open"),
        default="all",
        help="as of the run; open: fit to open sets alone",
    )


def run(args: argparse.Namespace) -> int:
    """Export into a temporary folder, compare, then replace what is in ``--out``."""
    from maskwright.core.errors import ModelError
    from maskwright_models.data.sources import open_sources
    from maskwright_models.export.default_parity import compare
    from maskwright_models.export.onnx_files import export_default
    from maskwright_models.export.parity import TOLERANCES
    from maskwright_models.export.text_files import export_text_files
    from maskwright_models.train.trainer import load_trained
    from maskwright_models.zoo.dinov2_imsa import ABOUT, OPEN_LICENCE, Encoder, pretrained_trunk
    from maskwright_models.zoo.efficient_stem import pretrained_stem

    net, words = load_trained(args.checkpoint), dict[str, Any]()
    if args.calibrate is not None:
        train, held = open_sources(args.calibrate, args.store, volumes=args.volumes, licences=args.licences)
        net.head = _calibrated(net, held)
        words = {"labels": train.shown_labels, **_fitted_floor(net, held)}
    if args.text_floor is not None:
        words["floor"] = args.text_floor
    encoder = Encoder(pretrained_trunk(), pretrained_stem(), net.neck).eval()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / (args.id or args.out.name)
        about = {**ABOUT, "id": folder.name, "version": args.version}
        if args.licences == "open":
            about["licence"] = OPEN_LICENCE
        text = export_text_files(folder, **words)
        export_default(encoder, net.head, folder, about=about, text=text, precision=args.precision)
        report = compare(encoder, net.head, folder)
        sys.stdout.write(json.dumps(report) + "\n")
        if (
            report["logit_error"] > WORST_LOGIT_ERROR[args.precision]
            or report["mask_iou"] < TOLERANCES[args.precision][2]
        ):
            raise ModelError(f"the exported model differs from torch ({report})", path=args.checkpoint)
        args.out.mkdir(exist_ok=True)
        for path in folder.iterdir():
            shutil.move(path, args.out / path.name)
    return 0


def _calibrated(net: Trainable, held: SampleSource) -> Head:
    """The head with its scores fitted to the real IoU on views that training left out."""
    import numpy as np
    import torch

    from maskwright_models.evaluate.calibration import fit_calibration
    from maskwright_models.export.calibration import fold_calibration
    from maskwright_models.train.held import held_answers

    rng = np.random.default_rng(3)
    samples = [held.draw(rng) for _ in range(HELD_VIEWS)]
    scores, iou = held_answers(net.neck, net.head, samples, device=torch.device("cpu"), clicks=HELD_CLICKS)
    fit = fit_calibration(scores.reshape(-1), iou.reshape(-1))
    sys.stdout.write(json.dumps({"held": len(scores), **asdict(fit)}) + "\n")
    return fold_calibration(net.head, fit.scale, fit.shift)


def _fitted_floor(net: Trainable, held: SampleSource) -> dict[str, float]:
    """The score below which words alone have found nothing, nothing where the images held back have no words."""
    import numpy as np
    import torch

    from maskwright_models.evaluate.text_floor import fit_text_floor
    from maskwright_models.train.held import held_answers

    held.mix, rng = replace(held.mix, text=1.0, absent=0.5, windows=0.0), np.random.default_rng(4)
    samples = [sample for _ in range(HELD_VIEWS) if (sample := held.draw(rng)).asked.all()]
    there = np.concatenate([sample.truths.any((1, 2)) for sample in samples]) if samples else np.ones(0, bool)
    if there.all():
        return {}
    scores, iou = held_answers(net.neck, net.head, samples, device=torch.device("cpu"), clicks=1, clicked_words=0.0)
    floor = fit_text_floor(scores[:, 0], iou[:, 0], there)
    shown = scores[:, 0] >= floor
    told = {"text_floor": floor, "found": float(shown[there].mean()), "rejected": float(1 - shown[~there].mean())}
    sys.stdout.write(json.dumps({"words": len(there), **told}) + "\n")
    return {"floor": floor}
