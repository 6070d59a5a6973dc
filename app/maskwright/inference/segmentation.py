"""Segmentation: the answer to the prompts of one object, and what the next answer goes on from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from maskwright.core.features import CropBox

if TYPE_CHECKING:
    from maskwright.inference.uncertainty import Uncertainty


@dataclass(frozen=True, slots=True, eq=False)
class Zoomed:
    """The closer look at a small object.

    ``box`` is the part of the slice to look at. ``logits`` (h, w) float32 over the square encoder input of that part
    and ``score``, its predicted IoU, are what the head said there; without logits its features were not at hand.
    ``used`` tells whether the answer shows it: where it does not hold its own against the full view, it does not.
    """

    box: CropBox
    logits: np.ndarray | None = None
    score: float = 0.0
    used: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Answer to the prompts of one object.

    ``mask`` (Y, X) bool at the size of the slice; ``logits`` (h, w) float32 of the chosen candidate over the square
    encoder input, to be fed back; ``score`` predicted IoU, 0..1; ``state`` what some families remember; ``label`` the
    category that some families see in the mask, empty where they do not say; ``zoom`` the closer look that was taken
    or is wanted; ``ask`` computes where the model is unsure; ``missing`` the words that name nothing in the picture, as
    far as the model can tell, and that the answer leaves out.
    """

    mask: np.ndarray
    logits: np.ndarray
    score: float
    state: np.ndarray | None = None
    label: str = ""
    zoom: Zoomed | None = None
    ask: Callable[[], Uncertainty] | None = field(default=None, repr=False)
    missing: str = ""

    @property
    def not_found(self) -> bool:
        """Whether there is no mask because the words name nothing in the picture."""
        return bool(self.missing) and not self.mask.any()

    def not_found_sentence(self, where: str = "picture") -> str:
        """That nothing was found, for the user, or nothing where something was."""
        return f"No “{self.missing}” was found in this {where}." if self.not_found else ""

    @property
    def wants_crop(self) -> CropBox | None:
        """Part of the slice whose features would give a closer look, None where there is no need."""
        return self.zoom.box if self.zoom is not None and self.zoom.logits is None else None

    @property
    def uncertainty(self) -> Uncertainty | None:
        """Where the model is unsure of this mask; a few head runs when it is first asked for, none after that."""
        return None if self.ask is None else self.ask()

    @property
    def next_click(self) -> tuple[float, float, bool] | None:
        """Where a click would help most: (x, y, positive) in slice pixels, None where nothing is in doubt.

        As costly as `uncertainty`.
        """
        found = self.uncertainty
        return None if found is None else found.next_click
