"""Import a published checkpoint, or an encoder and decoder in ONNX, as a model that the app runs.

The checkpoint is read without running what it carries, exported, and compared with torch through the app's own
segmenter; over tolerance, or when anything fails, nothing is installed.

As in:
  maskwright-models import sam_vit_b_01ec64.pth --out ~/.local/share/maskwright/models/sam_vit_b
  maskwright-models import medsam_vit_b.pth --family medsam --precision fp16 --out models/medsam
  maskwright-models import IMIS_latest.pth --variant vit_b_256 --beside IMIS-Bench --out models/imis
  maskwright-models import mobile_sam.encoder.onnx mobile_sam.decoder.onnx --out models/mobile_sam
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright_models.export.quantize import PRECISIONS

if TYPE_CHECKING:
    from maskwright.core.model_card import ModelCard
    from maskwright_models.checkpoint import Loaded
    from maskwright_models.export.parity import Parity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("checkpoint", type=Path, nargs="+", help="a .pth or .pt file, or two .onnx files")
    parser.add_argument("--family", default="auto", help="family of the checkpoint (default: by its tensors)")
    parser.add_argument("--variant", default="auto", help="where the weights fit several (default: by their shapes)")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="model folder to make; its name is the id"
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the weights")
    parser.add_argument("--images", type=Path, nargs="+", default=[], help="scans or photos to compare on")
    parser.add_argument(
        "--beside", type=Path, metavar="DIR", help="folder of tokenizer and names (default: the file's)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model that is there")


def run(args: argparse.Namespace) -> int:
    """Make the model folder and print the report as JSON."""
    from maskwright.core.errors import ModelError

    onnx_files = [p for p in args.checkpoint if p.suffix == ".onnx"]
    if onnx_files and len(args.checkpoint) == len(onnx_files) == 2:
        return _import_pair(onnx_files, args)
    if onnx_files or len(args.checkpoint) > 1:
        raise ModelError("one checkpoint, or an encoder and a decoder in ONNX, make a model", hint="Name just these.")
    return _import_checkpoint(args.checkpoint[0], args)


def _import_checkpoint(path: Path, args: argparse.Namespace) -> int:
    from maskwright_models.checkpoint import load
    from maskwright_models.export.install import new_folder

    with new_folder(args.out, overwrite=args.overwrite) as folder:
        loaded = load(path, name=args.family, variant=args.variant)
        if loaded.family.beside is not None:
            for sentence in loaded.family.beside(loaded.model, args.beside or path.parent):
                sys.stderr.write(sentence + "\n")
        card, parity = export_checked(loaded, path, folder, precision=args.precision, images=args.images)
    _say(card, args.out, {"parity": parity.to_json()})
    return 0


def export_checked(
    loaded: Loaded, path: Path, folder: Path, *, precision: str, images: list[Path]
) -> tuple[ModelCard, Parity]:
    """Export a loaded checkpoint into ``folder`` and hold it to torch; the report goes into the card.

    ``images`` are scans or photos; without any those that ship with the app. Raises ModelError over tolerance.
    """
    from maskwright.inference.model_folder import sha256_of
    from maskwright_models.export.family_files import export_parts
    from maskwright_models.export.install import write_card
    from maskwright_models.export.parity import bundled_images, compare, images_of

    digest = sha256_of(path)
    parts = loaded.family.parts(loaded.model)
    about = {
        "id": folder.name,
        "name": f"{loaded.family.title} ({loaded.variant})",
        "family": loaded.name,
        "version": digest[:12],
        "licence": loaded.family.licence,
        "citation": loaded.family.citation,
        "notice": loaded.family.notice,
    }
    card = export_parts(parts, folder, about=about, precision=precision)
    report = compare(parts, folder, images_of(images) if images else bundled_images(), precision=precision)
    report.check(path)
    made_of = {"variant": loaded.variant, "precision": precision, "checkpoint_sha256": digest}
    card = replace(card, extra={**card.extra, **made_of, "parity": report.to_json()})
    write_card(card, folder)
    return card, report


def _import_pair(paths: list[Path], args: argparse.Namespace) -> int:
    from maskwright_models.export.install import new_folder
    from maskwright_models.onnx_pair import import_pair

    with new_folder(args.out, overwrite=args.overwrite) as folder:
        card = import_pair(paths, folder, precision=args.precision)
    _say(card, args.out, {"parity": card.extra["parity"]})
    return 0


def _say(card: ModelCard, out: Path, more: dict[str, object]) -> None:
    report = {"id": card.id, "name": card.name, "family": card.family, "licence": card.licence, "folder": str(out)}
    sys.stdout.write(json.dumps(report | more, indent=2) + "\n")
