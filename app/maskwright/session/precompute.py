"""Scan -> features: which slice is next, one slice, or all, nearest first. Window and command line share this."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from maskwright.core.features import CropBox, Features
from maskwright.core.preprocess import Intensity, intensity_for
from maskwright.core.stop import Stop
from maskwright.core.volume import View, Volume

if TYPE_CHECKING:
    from maskwright.inference import Segmenter


class Store(Protocol):
    """What is asked of a feature store."""

    notice: str

    def ready_flags(self, axis: int = 0) -> np.ndarray: ...  # noqa: D102 (see io.feature_store)
    def ready(self, view: View) -> bool: ...  # noqa: D102
    def read(self, view: View) -> Features: ...  # noqa: D102
    def write(self, view: View, features: Features) -> None: ...  # noqa: D102
    def refresh(self) -> None: ...  # noqa: D102


def open_store(
    volume: Volume,
    fingerprint: str,
    *,
    segmenter: Segmenter,
    root: Path,
    intensity: Intensity | None = None,
    budget_bytes: int | None = None,
) -> Store:
    """Feature store of a scan and a model, signed with all that the features depend on.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    from maskwright.io.feature_store import FeatureStore, signature

    intensity = intensity or intensity_for(volume.voxels, volume.modality)
    sign = signature(fingerprint, segmenter.card, intensity)
    return FeatureStore.open(root, sign, shape_zyx=volume.geometry.shape_zyx, budget_bytes=budget_bytes)


def nearest(ready: np.ndarray, index: int) -> int | None:
    """Slice to encode next: of those not ``ready`` (``(n,)`` bool) the nearest to ``index``, above before below."""
    missing = np.flatnonzero(~ready)
    if missing.size == 0:
        return None
    away = 2 * np.abs(missing - index) - (missing > index)
    return int(missing[np.argmin(away)])


def encode_slice(
    volume: Volume,
    view: View,
    *,
    segmenter: Segmenter,
    intensity: Intensity,
    box: CropBox | None = None,
    stop: Stop | None = None,
) -> Features:
    """Features of one slice, or of the part of it in ``box``, without means for a closer look.

    Raises ModelError when the encoder cannot run, Stopped where ``stop`` was set first.
    """
    pixels = volume.slice_at(view.axis, view.index)
    if box is not None:
        pixels = pixels[box[0] : box[2], box[1] : box[3]]
    options = {} if stop is None else {"stop": stop}
    features = segmenter.encode(pixels, modality=volume.modality, intensity=intensity, **options)
    return features if features.crops is None else features.with_crops(None)


def precompute(
    volume: Volume,
    *,
    segmenter: Segmenter,
    store: Store,
    first: View | None = None,
    on_slice: Callable[[View, int, int], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    intensity: Intensity | None = None,
) -> int:
    """Encode all slices along an axis that the store does not have, nearest first, and return how many were encoded.

    ``first`` is where to begin, the middle of the scan without it. ``on_slice(view, ready, total)`` is called after
    each slice was written and flagged; killing the process at any moment loses at most the slice in work.
    """
    first = first or volume.middle()
    intensity = intensity or intensity_for(volume.voxels, volume.modality)
    ready = np.array(store.ready_flags(first.axis), bool)
    encoded = 0
    while (index := nearest(ready, first.index)) is not None and not should_stop():
        view = View(first.axis, index)
        store.write(view, encode_slice(volume, view, segmenter=segmenter, intensity=intensity))
        ready[index] = True
        encoded += 1
        if on_slice is not None:
            on_slice(view, int(ready.sum()), ready.size)
    return encoded
