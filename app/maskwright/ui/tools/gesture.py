"""The words gestures are written in: pointer events, the host they act on, and the table of tools."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from maskwright.core.prompts import Box, Point

DRAG_PX = 6.0  # widget px from where a click becomes a drag


@dataclass(frozen=True, slots=True)
class Pointer:
    """One event of the mouse or pen: widget px, image (x, y) and what is held."""

    phase: Literal["press", "move", "release"]
    widget_xy: tuple[float, float]
    image_xy: tuple[float, float]
    button: Literal["left", "right", "middle"]
    shift: bool = False
    ctrl: bool = False

    def distance(self, other: Pointer) -> float:
        """Widget px between two events."""
        return math.dist(self.widget_xy, other.widget_xy)


class Host(Protocol):
    """What a gesture may do to the view it runs on."""

    @property
    def sign(self) -> bool:
        """Whether a plain left click is positive."""
        ...

    def is_inside(self, image_xy: tuple[float, float]) -> bool:
        """Whether a point lies on the slice."""
        ...

    def clamped(self, image_xy: tuple[float, float]) -> tuple[float, float]:
        """Nearest point on the slice, up to its outer edge."""
        ...

    def prompt(self, prompt: Point | Box) -> None:
        """Say something to the model."""
        ...

    def take_back(self, prompt: Point | Box) -> None:
        """Withdraw what was said last, if it is still the last."""
        ...

    def show_box(self, box: Box | None) -> None:
        """Show the box under the finger."""
        ...

    def pan(self, dx: float, dy: float) -> None:
        """Move the picture by widget px."""
        ...

    def change_window(self, dx: float, dy: float) -> None:
        """Change width (right is wider) and level (up is brighter) by widget px."""
        ...

    def pick_object(self, image_xy: tuple[float, float]) -> None:
        """Make the topmost object under a point the active one."""
        ...


Gesture = Generator[None, Pointer, None]
Start = Callable[[Host, Pointer], Gesture]


def box_between(host: Host, a: Pointer, b: Pointer) -> Box | None:
    """Box of two corners in any order, cut to the slice; None when less than one pixel is left.

    The corners are where the pointer was, so the half-open box reaches from edge to edge: +0.5 turns pixel centres
    into the box's own count.
    """
    (ax, ay), (bx, by) = host.clamped(a.image_xy), host.clamped(b.image_xy)
    box = Box(ax + 0.5, ay + 0.5, bx + 0.5, by + 0.5)
    return box if box.x1 - box.x0 >= 1 and box.y1 - box.y0 >= 1 else None
