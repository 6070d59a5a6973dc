"""Preview: prompts of one unfinished object -> segmentation, on the head lane, and the memory of those known.

The answer to n prompts is the head run on them with the answer to the first n - 1 as `previous`. It therefore depends
on the prompts and the slice alone: not on how fast they came, not on what was undone between, not on a restart.
A closer look at a small object is the exception: it replaces the answer on the screen when it is there, and what is
clicked after that goes on from it (decision 0015).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from maskwright.core.errors import StoreError
from maskwright.core.features import CropBox, Features
from maskwright.core.prompts import Prompts
from maskwright.core.volume import View
from maskwright.session.changes import Rectangle
from maskwright.session.precompute import Store

if TYPE_CHECKING:
    from maskwright.inference import Segmentation, Segmenter

KEPT_BYTES = 96 * 2**20
"""Memory for answers that undo may come back to."""


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """An answer and the rectangle around its mask, None when that is empty."""

    segmentation: Segmentation
    box: Rectangle | None

    @classmethod
    def of(cls, segmentation: Segmentation) -> Preview:
        """Preview with its box found; what a script may ask of the answer would keep the features alive and goes."""
        if segmentation.ask is not None:
            segmentation = replace(segmentation, ask=None)
        rows = np.flatnonzero(segmentation.mask.any(axis=1))
        if rows.size == 0:
            return cls(segmentation, None)
        y0, y1 = int(rows[0]), int(rows[-1]) + 1
        columns = np.flatnonzero(segmentation.mask[y0:y1].any(axis=0))
        return cls(segmentation, (int(columns[0]), y0, int(columns[-1]) + 1, y1))

    @property
    def nbytes(self) -> int:
        """Memory it takes, in bytes."""
        one = self.segmentation
        parts = (one.mask, one.logits, one.state, None if one.zoom is None else one.zoom.logits)
        return sum(part.nbytes for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class PreviewKey:
    """What an answer belongs to; ``scan`` is the fingerprint."""

    scan: str
    view: View
    prompts: Prompts

    def before(self) -> PreviewKey:
        """Key of the answer that this one goes on from."""
        return PreviewKey(self.scan, self.view, self.prompts.without_last())


class Previews:
    """Answers by prompts, the least recently used forgotten first."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._known: OrderedDict[PreviewKey, Preview] = OrderedDict()

    def get(self, key: PreviewKey) -> Preview | None:
        """Answer to these prompts, if it is known."""
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def nearest(self, key: PreviewKey) -> tuple[PreviewKey, Preview] | None:
        """Answer to the most of the first prompts that is known."""
        while key.prompts:
            found = self.get(key)
            if found is not None:
                return key, found
            key = key.before()
        return None

    def put(self, key: PreviewKey, preview: Preview) -> None:
        """Remember an answer."""
        self._known[key] = preview
        self._known.move_to_end(key)
        total = sum(one.nbytes for one in self._known.values())
        while total > self._kept_bytes and len(self._known) > 1:
            total -= self._known.popitem(last=False)[1].nbytes


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Frozen: what the head lane needs. ``features`` are there when they were encoded just now, else they are read.

    ``crops`` are those of parts of the slice, for a closer look.
    """

    key: PreviewKey
    known: tuple[PreviewKey, Preview] | None
    features: Features | None
    reader: Store | None
    crops: Mapping[CropBox, Features] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """All answers computed on the way, the wanted one last, and the features they came from.

    ``lost`` when the stored features could not be read.
    """

    previews: tuple[tuple[PreviewKey, Preview], ...]
    lost: StoreError | None = None
    features: Features | None = None


class Head:
    """Work of the head lane; keeps the last features and answer, which the next request nearly always needs."""

    def __init__(self, segmenter: Callable[[], Segmenter]) -> None:
        self._segmenter = segmenter
        self._features: tuple[str, View, Features] | None = None
        self._last: tuple[PreviewKey, Preview] | None = None

    def run(self, request: Request) -> Answer:
        """Answer a request. Raises ModelError when the head cannot run."""
        key = request.key
        try:
            features = self._features_of(request)
        except StoreError as error:
            return Answer((), lost=error)
        start = request.known
        if self._last is not None and _begins(self._last[0], key) and _length(self._last) > _length(start):
            start = self._last
        if start is not None and start[0] == key:
            return Answer((start,), features=features)
        near = features.with_crops(request.crops.get)
        out: list[tuple[PreviewKey, Preview]] = []
        segmenter = self._segmenter()
        for count in range(_length(start) + 1, len(key.prompts) + 1):
            prompts = Prompts(key.prompts.items[:count])
            previous = start[1].segmentation if start is not None else None
            start = (
                PreviewKey(key.scan, key.view, prompts),
                Preview.of(segmenter.segment(near, prompts, previous=previous)),
            )
            out.append(start)
        self._last = start
        return Answer(tuple(out), features=features)

    def _features_of(self, request: Request) -> Features:
        scan, view = request.key.scan, request.key.view
        features = request.features
        if features is None:
            if self._features is not None and self._features[:2] == (scan, view):
                return self._features[2]
            if request.reader is None:
                raise StoreError(f"no features of slice {view.index}", hint="Encode this slice first.")
            if not request.reader.ready(view):
                request.reader.refresh()
            features = request.reader.read(view)
        self._features = (scan, view, features)
        return features


def _begins(one: PreviewKey, other: PreviewKey) -> bool:
    count = len(one.prompts)
    return (one.scan, one.view) == (other.scan, other.view) and one.prompts.items == other.prompts.items[:count]


def _length(start: tuple[PreviewKey, Preview] | None) -> int:
    return 0 if start is None else len(start[0].prompts)
