"""The dialog that names a label and gives it a colour."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import (
    QColorDialog,
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from maskwright.core.labels import PALETTE, Color, Label, LabelSet
from maskwright.ui.theme import UNIT


class LabelDialog(QDialog):
    """Name and colour of a new or an existing label; says at once when the name is taken."""

    def __init__(
        self, labels: LabelSet, color: Color, parent: QWidget | None = None, *, label: Label | None = None
    ) -> None:
        super().__init__(parent)
        self._labels = labels
        self._label = label
        self.color: Color = color if label is None else label.color
        self.setWindowTitle("Add a label" if label is None else "Change the label")
        self.setAccessibleName(self.windowTitle())
        self.setMinimumWidth(46 * UNIT)
        self._edit = QLineEdit("" if label is None else label.name)
        self._edit.setPlaceholderText("For example: Liver")
        self._edit.setAccessibleName("Name of the label")
        self._edit.textChanged.connect(self._check)
        self._problem = QLabel("")
        self._problem.setProperty("kind", "error")
        self._problem.setAccessibleName("Problem with the name")

        grid = QGridLayout()
        grid.setSpacing(UNIT // 2)
        self._swatches: dict[Color, QToolButton] = {}
        for i, one in enumerate(PALETTE):
            button = QToolButton()
            button.setCheckable(True)
            button.setIcon(_square(one))
            button.setIconSize(QSize(22, 22))
            button.setAccessibleName(f"Colour {QColor(*one).name()}")
            button.clicked.connect(partial(self._set_color, one))
            grid.addWidget(button, i // 8, i % 8)
            self._swatches[one] = button
        other = QPushButton("Other colour…")
        other.setProperty("kind", "quiet")
        other.setAccessibleName("Choose another colour")
        other.clicked.connect(self._ask_color)

        self._ok = QPushButton("Add" if label is None else "Save")
        self._ok.setProperty("kind", "primary")
        self._ok.setAccessibleName(self._ok.text())
        self._ok.setDefault(True)
        self._ok.clicked.connect(self.accept)
        cancel = QPushButton("Cancel")
        cancel.setAccessibleName("Cancel")
        cancel.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self._ok)

        whole = QVBoxLayout(self)
        whole.setContentsMargins(3 * UNIT, 3 * UNIT, 3 * UNIT, 2 * UNIT)
        whole.setSpacing(UNIT)
        name_caption = QLabel("&Name")
        name_caption.setBuddy(self._edit)
        whole.addWidget(name_caption)
        whole.addWidget(self._edit)
        whole.addWidget(self._problem)
        whole.addWidget(QLabel("Colour"))
        line = QHBoxLayout()
        line.addLayout(grid)
        line.addWidget(other)
        line.addStretch(1)
        whole.addLayout(line)
        whole.addSpacing(UNIT)
        whole.addLayout(buttons)
        self._set_color(self.color)
        self._check()

    @property
    def name(self) -> str:
        """The name as typed, without spaces at the ends."""
        return " ".join(self._edit.text().split())

    def set_name(self, name: str) -> None:
        """Type a name."""
        self._edit.setText(name)

    @property
    def problem(self) -> str:
        """Why the name cannot be used, or empty."""
        return self._problem.text()

    def _check(self) -> None:
        other = self._labels.by_name(self.name)
        taken = other is not None and (self._label is None or other.id != self._label.id)
        self._problem.setText(f"There is already a label “{self.name}”." if taken else "")
        self._ok.setEnabled(bool(self.name) and not taken)

    def _set_color(self, color: Color, *_: object) -> None:
        self.color = color
        for one, button in self._swatches.items():
            button.setChecked(one == color)

    def _ask_color(self) -> None:
        chosen = QColorDialog.getColor(QColor(*self.color), self, "Colour of the label")
        if chosen.isValid():
            self._set_color((chosen.red(), chosen.green(), chosen.blue()))


def _square(color: Color) -> QIcon:
    picture = QPixmap(22, 22)
    picture.fill(QColor(0, 0, 0, 0))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QColor(0, 0, 0, 60))
    painter.setBrush(QColor(*color))
    painter.drawRoundedRect(1, 1, 20, 20, 5, 5)
    painter.end()
    return QIcon(picture)
