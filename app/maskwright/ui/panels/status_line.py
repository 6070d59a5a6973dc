"""The line at the bottom: what is going on, where the pointer is, how fast the last mask came."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QLabel, QStatusBar

from maskwright.ui.theme import numeric_font

NEWS_MS = 3000


class StatusLine(QStatusBar):
    """Left: what is going on. Right: position, value, zoom and the time from the last click to its mask."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Status")
        self.setSizeGripEnabled(False)
        self._state = self._label("State", stretch=1)
        self._state_text = ""
        self._news = QTimer(self, singleShot=True, interval=NEWS_MS)
        self._news.timeout.connect(lambda: self._set(self._state, self._state_text))
        self._place = self._label("Position")
        self._value = self._label("Value")
        self._window = self._label("Window and level")
        self._zoom = self._label("Zoom")
        self._click = self._label("Time from click to mask")

    def set_state(self, text: str) -> None:
        """Say what is going on."""
        self._state_text = text
        if not self._news.isActive():
            self._set(self._state, text)

    def set_news(self, text: str) -> None:
        """Say for a moment what was just done."""
        self._set(self._state, text)
        self._news.start()

    def set_pointer(self, place: str, value: str) -> None:
        """Say where the pointer is and what lies there; empty outside."""
        self._set(self._place, place)
        self._set(self._value, value)

    def set_window(self, text: str) -> None:
        """Say which window is shown."""
        self._set(self._window, text)

    def set_zoom(self, zoom: float | None) -> None:
        """Say how large the picture is shown."""
        self._set(self._zoom, "" if zoom is None else f"{zoom * 100:.0f} %")

    def set_click_ms(self, ms: float | None) -> None:
        """Say how long the last mask took."""
        self._set(self._click, "" if ms is None else f"Click to mask {ms:.0f} ms")

    @property
    def texts(self) -> tuple[str, ...]:
        """All that is said, from left to right."""
        labels = (self._state, self._place, self._value, self._window, self._zoom, self._click)
        return tuple(label.text() for label in labels if label.text())

    def _label(self, name: str, *, stretch: int = 0) -> QLabel:
        label = QLabel("")
        label.setFont(numeric_font())
        label.setAccessibleName(name)
        if stretch:
            self.addWidget(label, stretch)
        else:
            self.addPermanentWidget(label)
            label.hide()
        return label

    def _set(self, label: QLabel, text: str) -> None:
        if label.text() != text:
            label.setText(text)
            label.setAccessibleDescription(text)
        if label is not self._state:
            label.setVisible(bool(text))
