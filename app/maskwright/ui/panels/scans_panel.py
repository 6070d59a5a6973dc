"""The scans or photos of the project, when there is more than one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QLabel

from maskwright.ui.panels.panel import Panel, Row, elided_label


@dataclass(frozen=True, slots=True)
class ScanLine:
    """What one row shows."""

    name: str
    detail: str


class ScansPanel(Panel):
    """One row a scan, in the order D and A go through."""

    chosen = Signal(int)  # index

    def __init__(self) -> None:
        super().__init__("Images", "Nothing open.", most_rows=8)
        self._shown: tuple[object, ...] = ()

    def show_scans(self, scans: Sequence[ScanLine], current: int | None) -> None:
        """Show the scans and which one is open."""
        shown = (tuple(scans), current)
        if shown == self._shown:
            return
        self._shown = shown
        rows = []
        for i, scan in enumerate(scans):
            row = Row(f"Image {scan.name}")
            row.line.addWidget(elided_label(scan.name), 1)
            detail = QLabel(scan.detail)
            detail.setProperty("kind", "muted")
            row.line.addWidget(detail)
            row.set_current(i == current)
            row.chosen.connect(partial(self.chosen.emit, i))
            rows.append(row)
        count = "" if current is None else f"{current + 1} of {len(scans)}"
        self.set_rows(rows, count=count)
        if current is not None and current < len(rows):
            self.reveal(rows[current])
