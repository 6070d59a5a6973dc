"""Opened: a scan as a worker read it, with everything that takes time: voxels, fingerprint, model, feature store."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from maskwright.core.errors import MaskwrightError
from maskwright.core.model_card import ModelCard
from maskwright.core.preprocess import Intensity, intensity_for
from maskwright.core.volume import Volume
from maskwright.session.jobs import plain
from maskwright.session.precompute import Store

if TYPE_CHECKING:
    from maskwright.inference import Segmenter


class SegmenterSource:
    """Segmenter that the first worker that needs it loads, while the others wait. Safe from any thread.

    ``name`` is what the settings call the model.
    """

    def __init__(self, source: Segmenter | Callable[[], Segmenter], *, name: str) -> None:
        self.name = name
        self._source = source
        self._lock = threading.Lock()
        self._segmenter: Segmenter | None = None

    @property
    def card(self) -> ModelCard | None:
        """What the model is; None until it is loaded."""
        return None if self._segmenter is None else self._segmenter.card

    def __call__(self) -> Segmenter:
        """The segmenter. Raises ModelError when it cannot be loaded; the next call tries again."""
        with self._lock:
            if self._segmenter is None:
                source = self._source
                self._segmenter = source() if callable(source) else source
            return self._segmenter


class OpenStore(Protocol):
    """Opens the feature store of a scan; `precompute.open_store` is the one on disk."""

    def __call__(
        self,
        volume: Volume,
        fingerprint: str,
        *,
        segmenter: Segmenter,
        root: Path,
        intensity: Intensity,
        budget_bytes: int | None,
    ) -> Store:
        """Store of a scan. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """What makes features of slices, and where they go."""

    segmenter: SegmenterSource
    store_root: Path
    open_store: OpenStore
    budget_bytes: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Frozen request: what to read and how. ``wanted`` is the scan to show if it is among those found at ``path``.

    Scans at the paths in ``also`` are found but not read.
    """

    path: Path
    wanted: Path | None
    encoding: Encoding
    also: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A scan in memory.

    Attributes
    ----------
    path
        File or folder of the scan; one of ``found``, all scans at the path that was asked for.
    segmenter
        The model whose features these are.
    store, reader
        The same feature store twice, one to write and one to read, each for one thread; None when there is none.
    flags
        Per axis, ``(n,)`` bool: slices whose features were stored when it was opened.
    trouble
        Why there is no feature store or no model, None when all is well. The scan can be looked at all the same.
    """

    path: Path
    found: tuple[Path, ...]
    volume: Volume
    fingerprint: str
    intensity: Intensity
    store: Store | None
    reader: Store | None
    flags: tuple[np.ndarray, np.ndarray, np.ndarray]
    trouble: MaskwrightError | None
    segmenter: SegmenterSource


def read(request: Reading) -> Opened:
    """Find the scans at a path and read one of them: the one that is wanted, or else the one that stands for the path.

    Raises
    ------
    ScanError, GeometryError
        If there is none, or it cannot be read.
    """
    from maskwright.core.fingerprint import fingerprint
    from maskwright.io.scans import list_scans, open_scan

    lists = [list_scans(place) for place in (request.path, *request.also)]
    found = tuple(dict.fromkeys(Path(os.path.abspath(path)) for paths, _ in lists for path in paths))
    main = Path(os.path.abspath(lists[0][1]))
    path = request.wanted if request.wanted in found and request.wanted is not None else main
    volume = open_scan(path)
    identity = fingerprint(volume)
    intensity = intensity_for(volume.voxels, volume.modality)
    z, y, x = (np.zeros(n, bool) for n in volume.geometry.shape_zyx)
    source = request.encoding.segmenter
    bare = Opened(path, found, volume, identity, intensity, None, None, (z, y, x), None, source)
    return with_model(bare, request.encoding)


def with_model(opened: Opened, encoding: Encoding) -> Opened:
    """The same scan with the features of a model, loaded now if it was not yet, and nothing of the model before."""
    volume, source = opened.volume, encoding.segmenter
    store, reader, trouble = None, None, None
    flags = [np.zeros(n, bool) for n in volume.geometry.shape_zyx]
    try:
        segmenter = source()
        store, reader = (
            encoding.open_store(
                volume,
                opened.fingerprint,
                segmenter=segmenter,
                root=encoding.store_root,
                intensity=opened.intensity,
                budget_bytes=budget,
            )
            for budget in (encoding.budget_bytes, None)
        )
        flags = [np.array(reader.ready_flags(axis), bool) for axis in range(3)]
    except MaskwrightError as error:
        trouble = error
    except (
        Exception
    ) as error:  # a model or a store that fails in a way nobody foresaw must not keep the scan from opening
        trouble = plain(error, during="prepare the model")
    z, y, x = flags
    return replace(opened, store=store, reader=reader, flags=(z, y, x), trouble=trouble, segmenter=source)
