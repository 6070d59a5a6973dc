"""A sentence over the picture that goes away by itself: news that needs no answer."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QWidget

from maskwright.ui.icons import pixmap
from maskwright.ui.panels.panel import tool_button
from maskwright.ui.theme import UNIT, current_tokens

SHOWN_MS = 6000


class Notice(QFrame):
    """Floats at the top of the view; a click on the cross, or time, takes it away."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self.setObjectName("notice")
        self.setAccessibleName("Message")
        self._picture = QLabel()
        self._text = QLabel("")
        self._text.setWordWrap(True)
        close = tool_button("x", "Close the message", size=14)
        close.clicked.connect(self.hide)
        line = self._line = QHBoxLayout(self)
        line.setContentsMargins(UNIT + UNIT // 2, UNIT // 2, UNIT // 2, UNIT // 2)
        line.setSpacing(UNIT)
        line.addWidget(self._picture)
        line.addWidget(self._text, 1)
        line.addWidget(close)
        self._timer = QTimer(self, singleShot=True, interval=SHOWN_MS)
        self._timer.timeout.connect(self.hide)
        over.installEventFilter(self)
        self.hide()

    def say(self, text: str, *, error: bool = False) -> None:
        """Show a sentence; an error stays until it is closed."""
        t = current_tokens()
        name, color = ("triangle-alert", t.danger) if error else ("info", t.accent)
        self._picture.setPixmap(pixmap(name, 18, color, ratio=self.devicePixelRatioF()))
        self._text.setText(text)
        self.setAccessibleDescription(text)
        self.setProperty("kind", "error" if error else "")
        self.style().unpolish(self)
        self.style().polish(self)
        self._place()
        self.show()
        self.raise_()
        self._timer.stop() if error else self._timer.start()

    @property
    def text(self) -> str:
        """What is shown, or was shown last."""
        return self._text.text()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 (Qt)
        """Stay in place when the view changes its size."""
        if event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        over = self.parentWidget()
        if over is not None:
            wish = self._text.fontMetrics().horizontalAdvance(self._text.text()) + 12 * UNIT
            width = min(wish, max(over.width() - 4 * UNIT, 20 * UNIT), 80 * UNIT)
            self.setFixedWidth(width)
            self.setFixedHeight(max(self._line.heightForWidth(width), 5 * UNIT))
            self.move((over.width() - width) // 2, 2 * UNIT)
