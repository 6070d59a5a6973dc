"""What is encoded, a slice or a part of it, and the parts whose features are kept in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from maskwright.core.features import CropBox, Features
from maskwright.core.volume import View

CROPS = 6
"""Parts of slices whose features are kept; they are never stored."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to encode: a slice, or a part of it."""

    view: View
    box: CropBox | None = None


class CropShelf:
    """Features of parts of slices, the least recently used forgotten first."""

    def __init__(self, kept: int = CROPS) -> None:
        self._kept = kept
        self._known: OrderedDict[Target, Features] = OrderedDict()

    def put(self, target: Target, features: Features) -> None:
        """Keep features."""
        self._known[target] = features
        self._known.move_to_end(target)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)

    def of(self, view: View) -> Mapping[CropBox, Features]:
        """Those of one slice, as they are now."""
        return {one.box: features for one, features in self._known.items() if one.view == view and one.box is not None}

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()
