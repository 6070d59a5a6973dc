"""Where a text prompt is typed: one line that offers the words the model knows."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QStringListModel, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QCompleter, QLineEdit, QListView

from maskwright.ui.theme import UNIT

MOST_OFFERED = 10


class TextField(QLineEdit):
    """Enter, or a click on what is offered, says the words; Escape leaves."""

    said = Signal(str)
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("What to find")
        self.setPlaceholderText("What to find, such as “left kidney”")
        self.setMinimumWidth(36 * UNIT)
        self.setClearButtonEnabled(True)
        self._words = QStringListModel(self)
        completer = QCompleter(self._words, self)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setMaxVisibleItems(MOST_OFFERED)
        self.popup = QListView()
        self.popup.setAccessibleName("Words the model knows")
        completer.setPopup(self.popup)
        self.setCompleter(completer)
        completer.activated.connect(self._say)
        self.returnPressed.connect(lambda: self._say(self.text()))

    def begin(self, words: Sequence[str], text: str = "") -> None:
        """Show ``text`` to be typed over, and offer ``words``."""
        if self._words.stringList() != list(words):
            self._words.setStringList(list(words))
        self.setText(text)
        self.selectAll()
        self.show()
        self.setFocus()

    def offered(self) -> list[str]:
        """Words that fit what is typed."""
        completer = self.completer()
        completer.setCompletionPrefix(self.text())
        model = completer.completionModel()
        return [str(model.index(row, 0).data()) for row in range(model.rowCount())]

    def _say(self, text: str) -> None:
        if self.isVisible():  # a chosen word arrives twice: from the list and as Enter
            self.hide()
            self.said.emit(" ".join(text.split()))

    def event(self, event: QEvent) -> bool:
        """Keep every key to the line while it is typed in; the window's shortcuts are not meant."""
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt)
        """Leave on Escape."""
        if event.key() == Qt.Key.Key_Escape:
            self.hide()
            self.left.emit()
        else:
            super().keyPressEvent(event)
