"""Compute features of scans and photos with torch, for the app to open and click on at once.

example: maskwright-models precompute scans/ --store features/ --device cuda
then:    maskwright scans/ct.nii.gz --store features/
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from maskwright_models.devices import CHOICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("paths", type=Path, nargs="+", help="scans, photos, or folders of them")
    parser.add_argument(
        "--store", type=Path, required=True, help="feature folder, the same that maskwright --store takes"
    )
    parser.add_argument("--model", default="default", help="installed model id or model folder")
    parser.add_argument("--device", choices=CHOICES, default="auto")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, help="CPU threads of torch")


def run(args: argparse.Namespace) -> int:
    """Encode every scan; a scan that cannot be read is said and passed over, and the exit code is then 1."""
    from maskwright.core.errors import MaskwrightError
    from maskwright.inference.model_folder import find_folder, read_card
    from maskwright.io.scans import find_scans, open_scan
    from maskwright_models.devices import devices, prepare_cpu
    from maskwright_models.export.read_back import read_encoder
    from maskwright_models.scale.precompute import ScanEncoder

    prepare_cpu(args.threads)
    folder = find_folder(args.model)
    encoder = ScanEncoder(read_encoder(folder), read_card(folder), devices(args.device), batch=args.batch)
    failed = 0
    paths: list[Path] = []
    for given in args.paths:
        try:
            paths += find_scans(given)
        except MaskwrightError as error:
            failed += 1
            sys.stderr.write(f"maskwright-models: error: {error}\n")
    for path in paths:
        start = time.monotonic()

        def say(done: int, total: int, name: str = path.name) -> None:
            sys.stderr.write(f"\r{name}: {done}/{total} slices\033[K")

        try:
            store, ran = encoder.fill(open_scan(path), args.store, on_slice=say)
        except MaskwrightError as error:
            failed += 1
            sys.stderr.write(f"\rmaskwright-models: error: {error}\n")
            continue
        if store.notice:
            sys.stderr.write(f"\r{path.name}: {store.notice}\n")
        sys.stderr.write(f"\r{path.name}: {ran} slices in {time.monotonic() - start:.1f} s\033[K\n")
    return 1 if failed else 0
