"""The masks to adapt to: which there are, in a project or a folder, and which of them are kept for the comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.errors import AnnotationError, ScanError
from maskwright.core.fingerprint import fingerprint
from maskwright.core.mask import Mask
from maskwright.core.preprocess import Intensity, intensity_for
from maskwright.core.protocol import EvaluationItem
from maskwright.core.volume import View
from maskwright.io.annotated import AnnotatedScan, read_annotated
from maskwright.io.evaluation_set import read_evaluation_set

FEWEST = 8
"""Fewest masks that a model is adapted to."""
FEWEST_HELD, FEWEST_TRAINED = 2, 4
SHARE, MOST_SHARE = 0.25, 0.35
"""Part of the masks that is kept for the comparison, and how much it may become because scans are not cut."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A slice: number of its scan, and where it is cut."""

    scan: int
    view: View


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One accepted mask; ``ignored`` are pixels that nothing is known of."""

    place: Place
    label: str
    mask: Mask
    ignored: Mask | None = None


@dataclass(frozen=True, slots=True, eq=False)
class OpenScan:
    """A scan in memory. ``volume_sign`` is (fingerprint, shape) where its features can lie in a store."""

    pixels: Callable[[View], np.ndarray]
    intensity: Intensity
    volume_sign: tuple[str, tuple[int, int, int]] | None


@dataclass(frozen=True, slots=True, eq=False)
class ScanSource:
    """A scan to open. ``open()`` raises MaskwrightError where it cannot be read, or is not what was annotated."""

    name: str
    open: Callable[[], OpenScan]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All masks of one project or folder, by scan and slice, and the scans they lie on, by number.

    ``notes`` are sentences on what was left out.
    """

    name: str
    items: tuple[Item, ...]
    scans: Mapping[int, ScanSource]
    notes: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise AnnotationError where there are too few masks, or all of them lie on one slice."""
        if len(self.items) < FEWEST:
            raise AnnotationError(
                f"{self.name} has {len(self.items)} accepted masks, and fewer than {FEWEST} say too little",
                hint="Accept more masks first (Enter), best on several scans or slices.",
            )
        if len({item.place for item in self.items}) < 2:
            raise AnnotationError(
                f"all {len(self.items)} masks of {self.name} lie on one slice, so that nothing is left to compare on",
                hint="Accept masks on another slice or picture first.",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Masks to train on and masks kept back; ``by`` is ``scan`` or ``slice``, what was never cut in two."""

    trained: tuple[Item, ...]
    held: tuple[Item, ...]
    by: str


def project_material(path: Path) -> Material:
    """Accepted masks of a project, given by its folder or by the scan or folder that was opened.

    Scans that are gone are left out with a note. Raises StoreError where there is no project, or it is open elsewhere.
    """
    items: list[Item] = []
    scans: dict[int, ScanSource] = {}
    notes: list[str] = []
    for scan in read_annotated(path):
        if not scan.path.exists():
            notes.append(f"{scan.name} is no longer at its place and was left out.")
            continue
        scans[scan.id] = ScanSource(scan.name, partial(_open_scan, scan))
        for one in scan.annotation.objects:
            label = scan.annotation.labels.get(one.label_id).name
            items += [Item(Place(scan.id, view), label, mask) for view, mask in one.masks.items()]
    items.sort(key=lambda item: item.place)
    return Material(path.resolve().name, tuple(items), scans, tuple(notes))


def folder_material(folder: Path) -> Material:
    """Masks of a folder with images/ and masks/, every image a scan of its own. Raises ScanError where it is none."""
    found = read_evaluation_set(folder)
    numbers: dict[str, int] = {}
    items: list[Item] = []
    scans: dict[int, ScanSource] = {}
    for one in found:
        number = numbers.setdefault(one.image_name, len(numbers) + 1)
        scans.setdefault(number, ScanSource(one.image_name, partial(_open_image, one)))
        raw = one.mask()
        mask, ignored = Mask.from_array(raw == 255), Mask.from_array(raw == 128)
        if not mask.is_empty:
            items.append(Item(Place(number, View(0, 0)), one.text, mask, None if ignored.is_empty else ignored))
    return Material(folder.resolve().name, tuple(items), scans)


def _open_scan(scan: AnnotatedScan) -> OpenScan:
    from maskwright.io.scans import open_scan

    volume = open_scan(scan.path)
    found = fingerprint(volume)
    if scan.fingerprint and found != scan.fingerprint:
        raise ScanError("the scan changed since it was annotated", path=scan.path, hint="Open it and check its masks.")
    for one in scan.annotation.objects:
        for view, mask in one.masks.items():
            if view.index >= volume.n_slices(view.axis) or mask.shape_yx != volume.slice_shape(view.axis):
                raise ScanError("its masks do not fit the scan", path=scan.path, hint="Open it and check its masks.")
    intensity = intensity_for(volume.voxels, volume.modality)
    return OpenScan(
        lambda view: np.asarray(volume.slice_at(view.axis, view.index)),
        intensity,
        (found, volume.geometry.shape_zyx),
    )


def _open_image(item: EvaluationItem) -> OpenScan:
    image = item.image()
    return OpenScan(lambda view: image, intensity_for(image), None)


def split(items: Sequence[Item], *, seed: int = 1, images: int | None = None) -> Split:
    """Keep about a quarter of the masks back: whole scans where that can be, else neighbouring slices.

    ``images`` is how many scans to train on instead; all others are kept back. Raises AnnotationError where nothing
    can be kept back without leaving too little to train on.
    """
    rng = np.random.default_rng(seed)
    if images is not None:
        order = [int(v) for v in rng.permutation(sorted({item.place.scan for item in items}))]
        held = set(order[images:])
        chosen = _parted(items, [item.place.scan in held for item in items], "scan")
    else:
        chosen = _by_scan(items, rng) or _by_slice(items, rng)
    if chosen is None or len(chosen.held) < FEWEST_HELD or len(chosen.trained) < FEWEST_TRAINED:
        raise AnnotationError(
            f"the {len(items)} masks cannot be parted into some to train on and some to compare on",
            hint="Accept masks on more scans or slices first.",
        )
    return chosen


def _by_scan(items: Sequence[Item], rng: np.random.Generator) -> Split | None:
    """Whole scans in random order, as long as they do not become too many; None where that keeps too few back."""
    counts = Counter(item.place.scan for item in items)
    wanted, most = SHARE * len(items), max(FEWEST_HELD, MOST_SHARE * len(items))
    held: set[int] = set()
    kept = 0
    for scan in (int(v) for v in rng.permutation(sorted(counts))):
        if kept < max(wanted, FEWEST_HELD) and kept + counts[scan] <= most:
            held.add(scan)
            kept += counts[scan]
    if kept < FEWEST_HELD:
        return None
    return _parted(items, [item.place.scan in held for item in items], "scan")


def _by_slice(items: Sequence[Item], rng: np.random.Generator) -> Split | None:
    """Slices that follow each other, since a neighbour shows nearly the same, from a random place on."""
    places = sorted({item.place for item in items})
    counts = Counter(item.place for item in items)
    start = int(rng.integers(len(places)))
    held: set[Place] = set()
    kept = 0
    for place in places[start:] + places[:start]:
        if kept >= max(SHARE * len(items), FEWEST_HELD) or len(items) - kept - counts[place] < FEWEST_TRAINED:
            break
        held.add(place)
        kept += counts[place]
    return _parted(items, [item.place in held for item in items], "slice") if held else None


def _parted(items: Sequence[Item], held: Sequence[bool], by: str) -> Split:
    return Split(
        tuple(item for item, back in zip(items, held, strict=True) if not back),
        tuple(item for item, back in zip(items, held, strict=True) if back),
        by,
    )


def spread(items: Sequence[Item], most: int) -> tuple[Item, ...]:
    """At most ``most`` items, evenly spread."""
    if len(items) <= most:
        return tuple(items)
    return tuple(items[int(i)] for i in np.linspace(0, len(items) - 1, most).round())
