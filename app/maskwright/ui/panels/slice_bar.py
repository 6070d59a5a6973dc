"""The slider through the slices: which features are ready, which slices are annotated, where we are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QSlider, QWidget

from maskwright.ui.panels.panel import tool_button
from maskwright.ui.theme import UNIT, current_tokens, numeric_font

_TRACK = 6  # px, the band that fills as features get ready


class SliceSlider(QSlider):
    """A slider whose track fills where features are ready and carries a mark where a slice is annotated."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self.setAccessibleName("Slice")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setPageStep(10)
        self.ready = np.zeros(0, np.bool_)
        self.annotated: frozenset[int] = frozenset()
        self.encoding: int | None = None

    def sizeHint(self) -> QSize:  # noqa: N802 (Qt)
        """Height for track, marks and handle."""
        return QSize(240, 4 * UNIT)

    def value_at(self, x: float) -> int:
        """Slice under a widget column."""
        left, width = self._span()
        count = self.maximum() + 1
        return min(max(int((x - left) / width * count), 0), self.maximum())

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """Go to the slice under the pointer."""
        self.setSliderDown(True)
        self.setValue(self.value_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """Scrub."""
        if self.isSliderDown():
            self.setValue(self.value_at(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """Done scrubbing."""
        self.setSliderDown(False)

    def _span(self) -> tuple[float, float]:
        return float(UNIT), max(self.width() - 2.0 * UNIT, 1.0)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt)
        """Track, ready bands, marks, handle."""
        t = current_tokens()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        left, width = self._span()
        count = self.maximum() + 1
        step = width / count
        top = (self.height() - _TRACK) / 2
        painter.setBrush(QColor(t.line))
        painter.drawRoundedRect(QRectF(left, top, width, _TRACK), 3, 3)
        ready = QColor(t.accent)
        ready.setAlpha(130)
        painter.setBrush(ready)
        for first, last in _runs(self.ready[:count]):
            painter.drawRoundedRect(QRectF(left + first * step, top, (last - first) * step, _TRACK), 3, 3)
        if self.encoding is not None:
            painter.setBrush(QColor(t.warn))
            painter.drawRect(QRectF(left + self.encoding * step, top, max(step, 2.0), _TRACK))
        painter.setBrush(QColor(t.text))
        for index in self.annotated:
            x = left + (index + 0.5) * step
            painter.drawEllipse(QRectF(x - 2.0, top + _TRACK + 3.0, 4.0, 4.0))
        x = left + (self.value() + 0.5) * step
        handle = QRectF(x - 4, self.height() / 2 - 9, 8, 18)
        painter.setBrush(QColor(t.surface))
        painter.drawRoundedRect(handle.adjusted(-2, -2, 2, 2), 6, 6)
        painter.setBrush(QColor(t.accent if self.isEnabled() else t.muted))
        painter.drawRoundedRect(handle, 4, 4)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QColor(t.accent))
            painter.drawRoundedRect(self.rect().toRectF().adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)


class SliceBar(QWidget):
    """Buttons, slider and "slice 45 of 91"."""

    slice_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("sliceBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Slices")
        self.slider = SliceSlider()
        self.slider.valueChanged.connect(self._chosen)
        self.slider.setMouseTracking(False)
        previous = tool_button("chevron-left", "Previous slice")
        following = tool_button("chevron-right", "Next slice")
        previous.clicked.connect(lambda: self.slider.setValue(self.slider.value() - 1))
        following.clicked.connect(lambda: self.slider.setValue(self.slider.value() + 1))
        for button in (previous, following):
            button.setAutoRepeat(True)
        self._text = QLabel("")
        self._text.setFont(numeric_font())
        self._text.setMinimumWidth(13 * UNIT)
        self._text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        line = QHBoxLayout(self)
        line.setContentsMargins(UNIT, UNIT // 2, 2 * UNIT, UNIT // 2)
        line.setSpacing(UNIT // 2)
        line.addWidget(previous)
        line.addWidget(self.slider, 1)
        line.addWidget(following)
        line.addWidget(self._text)

    def set_slices(self, count: int, index: int) -> None:
        """Show how many slices there are and which one is shown; chooses nothing."""
        self.slider.blockSignals(True)  # noqa: FBT003 (Qt)
        self.slider.setRange(0, max(count - 1, 0))
        self.slider.setValue(index)
        self.slider.blockSignals(False)  # noqa: FBT003
        self._text.setText(f"Slice {index + 1} of {count}")
        self.slider.update()

    def set_features(self, ready: np.ndarray, encoding: int | None) -> None:
        """Show which slices have features, and which one is being encoded."""
        self.slider.ready = np.asarray(ready, np.bool_)
        self.slider.encoding = encoding
        count = int(np.count_nonzero(self.slider.ready))
        self.slider.setAccessibleDescription(f"{count} of {self.slider.maximum() + 1} slices are ready for clicks")
        self.slider.setToolTip(
            f"{count} of {self.slider.maximum() + 1} slices answer a click at once. Dots mark annotated slices."
        )
        self.slider.update()

    def set_annotated(self, indices: Iterable[int]) -> None:
        """Show which slices have objects."""
        self.slider.annotated = frozenset(indices)
        self.slider.update()

    def _chosen(self, index: int) -> None:
        self._text.setText(f"Slice {index + 1} of {self.slider.maximum() + 1}")
        self.slice_chosen.emit(index)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
