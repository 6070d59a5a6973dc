"""The dialog for a failure: what happened, which file, what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from maskwright.core.errors import MaskwrightError
from maskwright.ui.icons import pixmap
from maskwright.ui.theme import UNIT, current_tokens, font


class ErrorDialog(QDialog):
    """Shows a `MaskwrightError`; its text can be selected and copied."""

    def __init__(
        self, error: MaskwrightError, parent: QWidget | None = None, *, title: str = "That did not work"
    ) -> None:
        super().__init__(parent)
        self.error = error
        self.setWindowTitle(title)
        self.setModal(True)
        self.setMinimumWidth(60 * UNIT)
        picture = QLabel(alignment=Qt.AlignmentFlag.AlignTop)
        picture.setPixmap(pixmap("triangle-alert", 32, current_tokens().danger, ratio=self.devicePixelRatioF()))
        picture.setAccessibleName("Error")
        what = _text(_sentence(error.what), name="What happened")
        what.setFont(font(1.1, bold=True))
        words = QVBoxLayout()
        words.setSpacing(UNIT)
        words.addWidget(what)
        rows = QGridLayout()
        rows.setHorizontalSpacing(2 * UNIT)
        rows.setVerticalSpacing(UNIT // 2)
        rows.setColumnStretch(1, 1)
        if error.path is not None:
            rows.addWidget(_caption("Where"), 0, 0)
            rows.addWidget(_text(str(error.path), name="Which file"), 0, 1)
        if error.hint:
            rows.addWidget(_caption("What to do"), 1, 0)
            rows.addWidget(_text(error.hint, name="What to do"), 1, 1)
        words.addLayout(rows)

        copy = QPushButton("Copy text")
        copy.setAccessibleName("Copy the text of the error")
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(str(error)))
        close = QPushButton("Close")
        close.setProperty("kind", "primary")
        close.setAccessibleName("Close")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(copy)
        buttons.addWidget(close)

        top = QHBoxLayout()
        top.setSpacing(2 * UNIT)
        top.addWidget(picture)
        top.addLayout(words, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(3 * UNIT, 3 * UNIT, 3 * UNIT, 2 * UNIT)
        whole.setSpacing(3 * UNIT)
        whole.addLayout(top)
        whole.addLayout(buttons)
        self.setAccessibleName(title)
        self.setAccessibleDescription(str(error))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _caption(text: str) -> QLabel:
    label = QLabel(text, alignment=Qt.AlignmentFlag.AlignTop)
    label.setProperty("kind", "muted")
    return label


def _text(text: str, *, name: str) -> QLabel:
    label = QLabel(text)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    label.setAccessibleName(f"{name}: {text}")
    return label
