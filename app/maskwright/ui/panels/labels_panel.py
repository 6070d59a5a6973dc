"""The labels of the project: choose, add, rename, recolour, remove."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QLabel

from maskwright.core.labels import Label, LabelSet
from maskwright.ui.panels.panel import Panel, Row, Swatch, elided_label


class LabelsPanel(Panel):
    """One row a label; the active one names what is committed next."""

    chosen = Signal(int)  # label id
    add_wanted = Signal()
    edit_wanted = Signal(int)
    remove_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__("Labels", "No labels yet. Press + to add the first one.", most_rows=9)
        self.add_button("plus", "Add a label").clicked.connect(self.add_wanted)
        self._shown: tuple[object, ...] = ()

    def show_labels(self, labels: LabelSet, active: int | None, keys: dict[int, str]) -> None:
        """Show the labels in their order; `keys` has the shortcut of each that has one."""
        shown = (labels, active, tuple(sorted(keys.items())))
        if shown == self._shown:
            return
        self._shown = shown
        self.set_rows([self._row(label, is_active=label.id == active, key=keys.get(label.id, "")) for label in labels])
        for row, label in zip(self.rows(), labels, strict=True):
            if label.id == active:
                self.reveal(row)

    def _row(self, label: Label, *, is_active: bool, key: str) -> Row:
        row = Row(f"Label {label.name}")
        row.line.addWidget(Swatch(label.color))
        row.line.addWidget(elided_label(label.name), 1)
        edit = row.add_button("pencil", f"Rename or recolour {label.name}")
        remove = row.add_button("trash-2", f"Remove the label {label.name}")
        if key:
            chip = QLabel(key, alignment=Qt.AlignmentFlag.AlignCenter)
            chip.setProperty("kind", "key")
            chip.setToolTip(f"Press {key} to choose {label.name}")
            chip.setAccessibleName(f"Shortcut {key}")
            row.line.addWidget(chip)
        row.set_current(is_active)
        row.chosen.connect(partial(self.chosen.emit, label.id))
        row.activated.connect(partial(self.edit_wanted.emit, label.id))
        row.delete_pressed.connect(partial(self.remove_wanted.emit, label.id))
        edit.clicked.connect(partial(self.edit_wanted.emit, label.id))
        remove.clicked.connect(partial(self.remove_wanted.emit, label.id))
        return row
