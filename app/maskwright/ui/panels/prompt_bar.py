"""The small bar over the picture that says what Enter and Escape will do."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from maskwright.core.labels import Label
from maskwright.ui.panels.panel import Swatch
from maskwright.ui.theme import UNIT


class PromptBar(QFrame):
    """Floats at the bottom of the view while there are prompts."""

    commit_wanted = Signal()
    clear_wanted = Signal()

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self.setObjectName("promptBar")
        self.setAccessibleName("Present prompts")
        self._swatch = Swatch((128, 128, 128))
        self._text = QLabel("")
        self._clear = QPushButton("Clear")
        self._clear.setProperty("kind", "quiet")
        self._clear.setToolTip("Take all prompts away (Esc)")
        self._clear.setAccessibleName("Clear the prompts")
        self._commit = QPushButton("Commit")
        self._commit.setProperty("kind", "primary")
        self._commit.setToolTip("Keep this mask (Enter)")
        self._commit.setAccessibleName("Commit the mask")
        self._clear.clicked.connect(self.clear_wanted)
        self._commit.clicked.connect(self.commit_wanted)
        line = QHBoxLayout(self)
        line.setContentsMargins(2 * UNIT, UNIT, UNIT, UNIT)
        line.setSpacing(UNIT)
        for widget in (self._swatch, self._text, self._clear, self._commit):
            line.addWidget(widget)
        over.installEventFilter(self)
        self.hide()

    def show_state(self, *, count: int, label: Label | None, ready: bool, waiting: str, adds_to: str = "") -> None:
        """Say how many prompts there are and what they will become.

        They become a new object or, with `adds_to`, more of that one. `waiting` is said instead while there is no mask.
        """
        if count == 0:
            self.hide()
            return
        prompts = "1 prompt" if count == 1 else f"{count} prompts"
        if label is not None:
            self._swatch.set_color(label.color)
        name = label.name if label is not None else "Object"
        self._text.setText(waiting or f"{f'Adds to {adds_to}' if adds_to else f'New {name}'} · {prompts}")
        self._commit.setEnabled(ready)
        self.adjustSize()
        self._place()
        self.show()
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 (Qt)
        """Stay at the bottom when the view changes its size."""
        if event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        over = self.parentWidget()
        if over is not None:
            self.move((over.width() - self.width()) // 2, over.height() - self.height() - 2 * UNIT)
