"""What the status line and the list of images say, as pure functions of the session."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from maskwright.core.volume import View
from maskwright.session.session import Session
from maskwright.ui.panels.scans_panel import ScanLine

_HOW = "Click on an object. Right click: not part of it. Drag: a box."
_STATUS = {"new": "", "started": "in work", "done": "done"}


def place_text(session: Session, at: tuple[float, float] | None) -> str:
    """Pixel under the pointer and, for a scan, where it lies in the patient."""
    volume, view = session.volume, session.view
    if at is None or volume is None or view is None:
        return ""
    column, row = _pixel(at)
    if volume.is_photo:
        return f"x {column}  y {row}"
    x, y, z = volume.geometry.index_to_mm(np.array(_xyz(view, at)))
    sides = "  ".join(
        f"{letters[0] if value >= 0 else letters[1]} {abs(value):.1f}"
        for value, letters in ((x, "LR"), (y, "PA"), (z, "SI"))
    )
    return f"x {column}  y {row}  ·  {sides} mm"


def value_text(session: Session, at: tuple[float, float] | None) -> str:
    """Value of the voxel under the pointer, in Hounsfield units for CT."""
    volume, view = session.volume, session.view
    if at is None or volume is None or view is None:
        return ""
    column, row = _pixel(at)
    value = volume.slice_at(view.axis, view.index)[row, column]
    if volume.is_rgb:
        return "RGB " + " ".join(str(int(part)) for part in value)
    text = f"{float(value):.4g}" if value.dtype.kind == "f" else str(int(value))
    return f"{text} HU" if volume.modality == "ct" else f"Value {text}"


def state_text(session: Session) -> str:
    """What is going on, in one short sentence."""
    if session.opening is not None:
        return f"Opening {session.opening.name} …"
    if session.loading_model:
        return f"Loading the model {Path(session.loading_model).name} …"
    if session.volume is None:
        return "Open a scan or a photo to begin."
    ready, count = int(np.count_nonzero(session.ready)), len(session.ready)
    if session.waiting:
        return "Preparing this slice; the mask follows." if count > 1 else "Preparing the picture; the mask follows."
    if session.uncertainty is not None:
        return doubt_text(session.uncertainty.score, session.uncertainty.next_click)
    if count == 1:
        return _HOW if ready else "Preparing the picture …"
    if ready < count:
        return f"{ready} of {count} slices ready for clicks"
    return _HOW if not session.annotation.objects else f"All {count} slices ready for clicks"


def doubt_text(score: float, next_click: tuple[float, float, bool] | None) -> str:
    """How unsure the model is of its mask, and which click would help most."""
    said = f"Unsure of this mask: {100 * score:.0f} %."
    if next_click is None:
        return f"{said} No click stands out."
    x, y, positive = next_click
    kind = "on the object" if positive else "beside the object"
    return f"{said} A click {kind} at x {x:.0f}, y {y:.0f} would help most, if the model is wrong there."


def scan_lines(session: Session) -> list[ScanLine]:
    """Rows of the list of images."""
    return [ScanLine(entry.name, _STATUS[entry.status]) for entry in session.scans]


def _pixel(at: tuple[float, float]) -> tuple[int, int]:
    return int(np.floor(at[0] + 0.5)), int(np.floor(at[1] + 0.5))


def _xyz(view: View, at: tuple[float, float]) -> tuple[float, float, float]:
    column, row = at
    return {0: (column, row, view.index), 1: (column, view.index, row), 2: (view.index, column, row)}[view.axis]
