"""Features of the slices that have masks: from the feature store of the project where they are there, else encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.core.features import Features
from maskwright.core.mask import Mask
from maskwright.core.preprocess import SliceTransform
from maskwright.inference import Segmenter
from maskwright.io.feature_store import FeatureStore, signature
from maskwright_models.adapt.items import Item, Material, OpenScan, Place
from maskwright_models.data.samples import SMALLEST_PX, to_grid
from maskwright_models.data.views import Crop
from maskwright_models.zoo.dinov2_imsa import LOGITS

HALF = SMALLEST_PX // 2
"""Cells of the training grid below which an object is too small to learn from."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A slice, or a part of it, as the head sees it.

    ``arrays`` are its features; ``truths`` (M, 256, 256) bool its masks over the encoder input, ``labels`` their M
    names, and ``valid`` (M, 256, 256) bool where something is known of each.
    """

    arrays: tuple[np.ndarray, ...]
    truths: np.ndarray
    valid: np.ndarray
    labels: tuple[str, ...]


@dataclass(slots=True)
class Counts:
    """Slices read from a store, encoded, encoded as further views, masks that these show, masks that came too late."""

    stored: int = 0
    encoded: int = 0
    extra: int = 0
    extra_masks: int = 0
    late: int = 0


@dataclass(slots=True, eq=False)
class Shelf:
    """Features by slice, its views with their masks, the slice itself first, and sentences on what was left out."""

    features: dict[Place, Features] = field(default_factory=dict)
    views: dict[Place, list[Seen]] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)
    notes: list[str] = field(default_factory=list)


class Filler:
    """Fills a shelf, one scan in memory at a time."""

    def __init__(self, material: Material, segmenter: Segmenter, *, store_root: Path | None, seed: int = 1) -> None:
        """``store_root`` holds the feature stores."""
        self.material, self.segmenter, self.store_root = material, segmenter, store_root
        self.rng = np.random.default_rng(seed)
        self.shelf = Shelf()

    def fill(
        self, items: Sequence[Item], *, extra: int = 0, is_late: Callable[[], bool] = lambda: False
    ) -> tuple[Item, ...]:
        """Get the features and the views of ``items``; returns the items that have some.

        ``extra`` is how many further views of each slice to encode. A scan that cannot be read, and what comes after
        ``is_late``, is left out. Raises ModelError where the encoder does not run.
        """
        scans: dict[int, dict[Place, list[Item]]] = {}
        for item in items:
            scans.setdefault(item.place.scan, {}).setdefault(item.place, []).append(item)
        there: list[Item] = []
        for number, places in scans.items():
            if is_late():
                self.shelf.counts.late += sum(map(len, places.values()))
                continue
            source = self.material.scans[number]
            try:
                scan = source.open()
            except MaskwrightError as error:
                self.shelf.notes.append(f"{source.name} was left out: {error}")
                continue
            there += self._fill_scan(scan, places, extra=extra, is_late=is_late)
        return tuple(there)

    def _fill_scan(
        self, scan: OpenScan, places: dict[Place, list[Item]], *, extra: int, is_late: Callable[[], bool]
    ) -> list[Item]:
        there: list[Item] = []
        store = self._store(scan)
        for place, items in places.items():
            if there and is_late():
                self.shelf.counts.late += len(items)
                continue
            features = self._features(scan, place, store)
            self.shelf.features[place] = features
            there += items
            views = [self._seen(features, Crop(0, 0, *features.shape_yx, mirrored=False), items)]
            for k in range(extra):
                if not is_late():
                    views.append(self._extra(scan, place, items, whole=k % 2 == 0))
            self.shelf.views[place] = [view for view in views if view is not None]
        return there

    def _store(self, scan: OpenScan) -> FeatureStore | None:
        if self.store_root is None or scan.volume_sign is None:
            return None
        fingerprint, shape = scan.volume_sign
        store = FeatureStore.open(
            self.store_root, signature(fingerprint, self.segmenter.card, scan.intensity), shape_zyx=shape
        )
        if store.notice:
            self.shelf.notes.append(store.notice)
        return store

    def _features(self, scan: OpenScan, place: Place, store: FeatureStore | None) -> Features:
        if place in self.shelf.features:
            return self.shelf.features[place]
        if store is not None and store.ready(place.view):
            try:
                found = store.read(place.view)
                self.shelf.counts.stored += 1
                return found
            except StoreError:
                pass  # a damaged slice is encoded again
        features = self.segmenter.encode(scan.pixels(place.view), intensity=scan.intensity)
        self.shelf.counts.encoded += 1
        if store is not None:
            try:
                store.write(place.view, features)
            except StoreError as error:  # features in memory are enough here
                if str(error) not in self.shelf.notes:
                    self.shelf.notes.append(str(error))
        return features

    def _extra(self, scan: OpenScan, place: Place, items: Sequence[Item], *, whole: bool) -> Seen | None:
        """The slice mirrored, or a part of it round one of its objects, mirrored or not."""
        pixels = scan.pixels(place.view)
        shape = (pixels.shape[0], pixels.shape[1])
        chosen = items[int(self.rng.integers(len(items)))]
        crop = Crop(0, 0, *shape, mirrored=True) if whole else crop_round(chosen.mask.box, shape, self.rng)
        features = self.segmenter.encode(crop.apply(pixels), intensity=scan.intensity)
        seen = self._seen(features, crop, items)
        self.shelf.counts.extra += 1
        self.shelf.counts.extra_masks += 0 if seen is None else len(seen.labels)
        return seen

    def _seen(self, features: Features, crop: Crop, items: Sequence[Item]) -> Seen | None:
        """Features with the masks that a view shows; None where it shows none."""
        card = self.segmenter.card
        transform = SliceTransform(features.shape_yx, card.input_size, card.preprocessing)
        inside = to_grid(np.ones(features.shape_yx, bool), transform) >= 0.5
        truths, valid, labels = [], [], []
        for item in items:
            truth = to_grid(crop.apply(item.mask.to_array()), transform) >= 0.5
            if truth.sum() < HALF:
                continue
            truths.append(truth)
            valid.append(inside & ~_ignored(item.ignored, crop, transform))
            labels.append(item.label)
        if not truths:
            return None
        return Seen(features.arrays, np.stack(truths), np.stack(valid), tuple(labels))


def crop_round(box: tuple[int, int, int, int], shape_yx: tuple[int, int], rng: np.random.Generator) -> Crop:
    """A part of a slice 1.2 to 3 times as large as an object, with the object anywhere in it, mirrored or not."""
    y0, x0, y1, x1 = box
    side = max(rng.uniform(1.2, 3.0) * max(y1 - y0, x1 - x0), 0.2 * max(shape_yx), 48)
    corners = []
    for low, high, size in ((y0, y1, shape_yx[0]), (x0, x1, shape_yx[1])):
        length = min(size, round(side))
        first, last = sorted((max(0, high - length), min(low, size - length)))
        corners.append((int(rng.integers(first, last + 1)), length))
    (top, h), (left, w) = corners
    return Crop(top, left, top + h, left + w, mirrored=bool(rng.random() < 0.5))


def _ignored(mask: Mask | None, crop: Crop, transform: SliceTransform) -> np.ndarray:
    if mask is None:
        return np.zeros((LOGITS, LOGITS), bool)
    return to_grid(crop.apply(mask.to_array()), transform) > 0
