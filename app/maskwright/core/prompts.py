"""Prompts: what a user says to the model about one object on one slice.

Coordinates are (x, y) pixels of the slice, pixel centres on integers; boxes are half-open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


def _finite(*values: float) -> None:
    if not all(math.isfinite(v) for v in values):
        raise ValueError(f"prompt coordinates must be finite, got {values}")


@dataclass(frozen=True, slots=True)
class Point:
    """A click: positive means object, negative means background."""

    x: float
    y: float
    positive: bool = True

    def __post_init__(self) -> None:
        _finite(self.x, self.y)


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box; corners may be given in any order and are stored as x0 <= x1, y0 <= y1."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        _finite(self.x0, self.y0, self.x1, self.y1)
        for low, high in (("x0", "x1"), ("y0", "y1")):
            a, b = sorted((getattr(self, low), getattr(self, high)))
            object.__setattr__(self, low, a)
            object.__setattr__(self, high, b)


@dataclass(frozen=True, slots=True, eq=False)
class Scribble:
    """A stroke, ``xy`` (N, 2) float32 vertices with N >= 1 in drawing order."""

    xy: np.ndarray
    positive: bool = True

    def __post_init__(self) -> None:
        xy = np.array(self.xy, np.float32, copy=True)
        if xy.ndim != 2 or xy.shape[1] != 2 or len(xy) == 0:
            raise ValueError(f"a scribble needs (N, 2) vertices with N >= 1, got {xy.shape}")
        if not np.isfinite(xy).all():
            raise ValueError("scribble vertices must be finite")
        xy.setflags(write=False)
        object.__setattr__(self, "xy", xy)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scribble):
            return NotImplemented
        return self.positive == other.positive and np.array_equal(self.xy, other.xy)

    def __hash__(self) -> int:
        return hash((self.xy.tobytes(), self.positive))

    def resampled(self, step: float, *, most: int = 24) -> np.ndarray:
        """Points along the stroke at equal arc length, (M, 2) float32, M <= ``most``.

        ``step`` is the wanted distance in pixels; a long stroke gets a wider one. Equal arc length keeps the
        drawing speed out of the mask.
        """
        xy = np.asarray(self.xy, np.float64)
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(xy, axis=0).T))])
        count = int(min(most, max(1, round(along[-1] / step) + 1)))
        at = np.linspace(0.0, along[-1], count) if count > 1 else np.array([along[-1] / 2])
        return np.stack([np.interp(at, along, xy[:, 0]), np.interp(at, along, xy[:, 1])], 1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Text:
    """Words that name what to segment."""

    text: str


Prompt = Point | Box | Scribble | Text


@dataclass(frozen=True, slots=True)
class Prompts:
    """All prompts of one object on one slice, oldest first. Immutable: ``add`` gives a new value."""

    items: tuple[Prompt, ...] = ()

    def add(self, prompt: Prompt) -> Prompts:
        """These prompts and one more."""
        if not isinstance(prompt, Prompt):
            raise TypeError(f"not a prompt: {prompt!r}")
        return Prompts((*self.items, prompt))

    def without_last(self) -> Prompts:
        """These prompts less the newest one (nothing to remove is fine)."""
        return Prompts(self.items[:-1])

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.items)

    @property
    def box(self) -> Box | None:
        """The newest box; a new box replaces an older one."""
        return next((p for p in reversed(self.items) if isinstance(p, Box)), None)

    @property
    def text(self) -> str:
        """The newest text, empty where there is none."""
        return next((p.text for p in reversed(self.items) if isinstance(p, Text)), "")


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """Plain values for the journal and for ``--json``."""
    if isinstance(prompt, Point):
        return {"kind": "point", "x": prompt.x, "y": prompt.y, "positive": prompt.positive}
    if isinstance(prompt, Box):
        return {"kind": "box", "x0": prompt.x0, "y0": prompt.y0, "x1": prompt.x1, "y1": prompt.y1}
    if isinstance(prompt, Scribble):
        return {"kind": "scribble", "xy": prompt.xy.tolist(), "positive": prompt.positive}
    return {"kind": "text", "text": prompt.text}


def prompt_from_json(value: Mapping[str, Any]) -> Prompt:
    """Reverse of :func:`prompt_to_json`. Raises ValueError for an unknown kind."""
    fields = {k: v for k, v in value.items() if k != "kind"}
    kinds = {"point": Point, "box": Box, "scribble": Scribble, "text": Text}
    if value.get("kind") not in kinds:
        raise ValueError(f"unknown prompt kind {value.get('kind')!r}")
    if value["kind"] == "scribble":
        fields["xy"] = np.asarray(fields["xy"], np.float32).reshape(-1, 2)
    return kinds[value["kind"]](**fields)
