"""When a command can be used: what the commands look at, and the answers that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Situation:
    """What the commands look at to know whether they make sense now."""

    has_scan: bool = False
    is_volume: bool = False  # a scan, not a photo
    many_slices: bool = False
    several_scans: bool = False
    has_prompts: bool = False
    has_preview: bool = False
    has_objects: bool = False
    has_active_object: bool = False
    can_undo: bool = False
    can_redo: bool = False
    takes_text: bool = False
    n_labels: int = 0


When = Callable[[Situation], bool]


def always(_: Situation) -> bool:
    """Usable at any time."""
    return True


def with_scan(now: Situation) -> bool:
    """Usable when something is open."""
    return now.has_scan


def with_volume(now: Situation) -> bool:
    """Usable when what is open is a scan."""
    return now.has_scan and now.is_volume


def with_slices(now: Situation) -> bool:
    """Usable when what is open has more than one slice."""
    return now.many_slices


def with_several(now: Situation) -> bool:
    """Usable when the project has more than one scan."""
    return now.several_scans
