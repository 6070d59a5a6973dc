"""`maskwright precompute`: encodes scans ahead of time, so that the first click on them is answered at once."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from maskwright.cli_verb import (
    Verb,
    add_json,
    add_model,
    add_store,
    in_bytes,
    load_model,
    note,
    print_json,
    store_budget_of,
    store_of,
)
from maskwright.core.errors import MaskwrightError

if TYPE_CHECKING:
    from maskwright.inference import Segmenter

EXAMPLES = """\
  maskwright precompute scan.nii.gz               # all slices, the middle ones first
  maskwright precompute photos/ dicom/ --threads 2
  maskwright precompute scans/ --store features/  # into a folder to take along
  maskwright scan.nii.gz --store features/        # then click without waiting

It can be stopped at any moment, even with kill -9, and goes on where it was; Ctrl-C finishes the slice in work.
Files that cannot be read are reported and left out; the exit code is then 1.
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", nargs="+", type=Path, metavar="PATH", help="scans, photos, or folders of them")
    add_model(parser)
    add_store(parser)
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    root, budget = store_of(arguments), store_budget_of(arguments)
    segmenter = load_model(arguments)
    done: list[dict[str, Any]] = []
    failed = 0
    for path in _scans(arguments.path):
        if isinstance(path, MaskwrightError):
            error = path
        else:
            try:
                done.append(_encode(path, segmenter, root, budget))
                continue
            except MaskwrightError as raised:
                error = raised
        failed += 1
        note(f"maskwright: error: {error}")
    if arguments.json:
        print_json({"store": str(root), "model": segmenter.card.id, "scans": done, "failed": failed})
    else:
        encoded, total = sum(one["encoded"] for one in done), sum(one["slices"] for one in done)
        print(f"{len(done)} scans, {total} slices ready, {encoded} of them encoded now: {root}")
    return 1 if failed else 0


def _scans(paths: Iterable[Path]) -> Iterable[Path | MaskwrightError]:
    """Scans behind the given paths, each once; an error in place of a path with none."""
    from maskwright.io.scans import find_scans

    seen: set[Path] = set()
    for path in paths:
        try:
            found = find_scans(path)
        except MaskwrightError as error:
            yield error
            continue
        for one in found:
            if one not in seen:
                seen.add(one)
                yield one


def _encode(path: Path, segmenter: Segmenter, root: Path, budget: int | None) -> dict[str, Any]:
    from tqdm import tqdm

    from maskwright.core.fingerprint import fingerprint
    from maskwright.core.preprocess import intensity_for
    from maskwright.core.volume import View
    from maskwright.io.feature_store import FeatureStore, signature
    from maskwright.io.scans import open_scan
    from maskwright.session.precompute import precompute

    begun = time.perf_counter()
    volume = open_scan(path)
    intensity = intensity_for(volume.voxels, volume.modality)
    sign = signature(fingerprint(volume), segmenter.card, intensity)
    store = FeatureStore.open(root, sign, shape_zyx=volume.geometry.shape_zyx, budget_bytes=budget)
    if store.notice:
        note(store.notice)
    before, total = int(store.ready_flags(0).sum()), volume.n_slices()
    with tqdm(
        total=total, initial=before, desc=path.name, unit="slice", file=sys.stderr, disable=None, dynamic_ncols=True
    ) as bar:

        def on_slice(view: View, ready: int, total: int) -> None:
            bar.update(ready - bar.n)

        with _ctrl_c_held_back() as stopped:
            encoded = precompute(
                volume, segmenter=segmenter, store=store, on_slice=on_slice, intensity=intensity, should_stop=stopped
            )
    seconds = time.perf_counter() - begun
    size = sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file())
    if not sys.stderr.isatty():
        note(f"{path.name}: {total} slices ready, {encoded} encoded in {seconds:.1f} s, {in_bytes(size)}")
    return {
        "scan": str(path),
        "slices": total,
        "encoded": encoded,
        "seconds": round(seconds, 2),
        "bytes": size,
        "folder": str(store.folder),
        "notice": store.notice,
    }


@contextmanager
def _ctrl_c_held_back() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed, and act on it only at the end; a second one acts at once.

    So the slice in work is finished and counts, and zarr is not torn out of a write, of which it would complain.
    """
    pressed = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt


VERB = Verb("precompute", "encode scans ahead of time", EXAMPLES, _arguments, _run)
