"""A titled list of rows, the shape that every panel of the side bar has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from maskwright.ui.icons import icon
from maskwright.ui.theme import UNIT

_ROW_HEIGHT = 4 * UNIT + 2
_Widget = TypeVar("_Widget", bound=QWidget)


def named(widget: _Widget, name: str) -> _Widget:
    """The widget, under the name by which the style sheet knows it."""
    widget.setObjectName(name)
    return widget


class Swatch(QWidget):
    """A small square in a label's colour."""

    def __init__(self, color: tuple[int, int, int], *, size: int = 14) -> None:
        super().__init__()
        self._color = QColor(*color)
        self.setFixedSize(size, size)
        self.setAccessibleName(f"Colour {self._color.name()}")

    def set_color(self, color: tuple[int, int, int]) -> None:
        """Show another colour."""
        self._color = QColor(*color)
        self.setAccessibleName(f"Colour {self._color.name()}")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt)
        """A rounded square with a thin edge, so that pale colours show on white."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QColor(0, 0, 0, 70))
        painter.setBrush(self._color)
        painter.drawRoundedRect(self.rect().toRectF().adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)


class Row(QFrame):
    """One line of a panel, chosen by a click or by Space; its buttons show on the current one and under the pointer."""

    chosen = Signal()
    activated = Signal()  # double click or F2
    delete_pressed = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName("row")
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFixedHeight(_ROW_HEIGHT)
        self._fleeting: list[QWidget] = []
        self._current = False
        self.line = QHBoxLayout(self)
        self.line.setContentsMargins(UNIT, 2, UNIT // 2, 2)
        self.line.setSpacing(UNIT)

    def add_button(self, icon_name: str, name: str, *, fleeting: bool = True) -> QToolButton:
        """Button at the end of the row; a fleeting one shows only on the current row and under the pointer."""
        button = tool_button(icon_name, name, size=15)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        if fleeting:
            policy = button.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            button.setSizePolicy(policy)
            button.hide()
            self._fleeting.append(button)
        self.line.addWidget(button)
        return button

    def set_current(self, current: bool) -> None:  # noqa: FBT001 (a Qt-like setter)
        """Mark as the current row."""
        self._current = current
        self.setProperty("current", current)
        self.setAccessibleDescription("current" if current else "")
        self.style().unpolish(self)
        self.style().polish(self)
        self._show_fleeting(current)

    def _show_fleeting(self, show: bool) -> None:  # noqa: FBT001
        for button in self._fleeting:
            button.setVisible(show)

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802 (Qt)
        """Offer the buttons."""
        self._show_fleeting(True)
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802 (Qt)
        """Take the buttons away again, unless the row is current."""
        self._show_fleeting(self._current)
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """Choose the row."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:  # noqa: N802 (Qt)
        """Open the row."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.activated.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802 (Qt)
        """Space chooses, F2 opens, Delete deletes."""
        signals = {Qt.Key.Key_Space: self.chosen, Qt.Key.Key_F2: self.activated, Qt.Key.Key_Delete: self.delete_pressed}
        signal = signals.get(Qt.Key(event.key()))
        if signal is None:
            super().keyPressEvent(event)
        else:
            signal.emit()


class Panel(QWidget):
    """A title with a count, buttons beside it, rows below, and a sentence that says what to do when there are none.

    With `most_rows` the panel is as high as its rows, up to that many; without it takes the room that is left.
    """

    def __init__(self, title: str, empty: str, *, most_rows: int | None = None) -> None:
        super().__init__()
        self._most_rows = most_rows
        self.setAccessibleName(title)
        self._title = named(QLabel(title), "panelTitle")
        self._count = QLabel("")
        self._count.setProperty("kind", "count")
        self._count.setAccessibleName(f"Number of {title.lower()}")
        head = named(QWidget(), "panelHead")
        head.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._head = QHBoxLayout(head)
        self._head.setContentsMargins(2 * UNIT, UNIT, UNIT, UNIT // 2)
        self._head.setSpacing(UNIT)
        self._head.addWidget(self._title)
        self._head.addWidget(self._count)
        self._head.addStretch(1)

        self._empty = QLabel(empty)
        self._empty.setProperty("kind", "muted")
        self._empty.setWordWrap(True)
        self._empty.setContentsMargins(2 * UNIT, UNIT // 2, 2 * UNIT, UNIT)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._empty.setAccessibleName(f"{title}: {empty}")

        self._rows_holder = named(QWidget(), "rows")
        self._rows = QVBoxLayout(self._rows_holder)
        self._rows.setContentsMargins(UNIT, 0, UNIT, UNIT)
        self._rows.setSpacing(2)
        self._rows.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidget(self._rows_holder)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setAccessibleName(f"List of {title.lower()}")

        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(head)
        whole.addWidget(self._empty, 0 if most_rows else 1)
        whole.addWidget(self._scroll, 1)
        self.set_rows(())

    def add_button(self, icon_name: str, name: str) -> QToolButton:
        """Button in the head of the panel."""
        button = tool_button(icon_name, name)
        self._head.addWidget(button)
        return button

    def set_rows(self, rows: Sequence[Row], *, count: str | None = None) -> None:
        """Show these rows instead of the present ones."""
        while self._rows.count() > 1:
            item = self._rows.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for i, row in enumerate(rows):
            self._rows.insertWidget(i, row)
        self._count.setText(str(len(rows)) if count is None else count)
        self._count.setVisible(bool(rows))
        self._empty.setVisible(not rows)
        self._scroll.setVisible(bool(rows))
        if self._most_rows is None:
            self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        elif rows:
            height = min(len(rows), self._most_rows) * (_ROW_HEIGHT + 2) + UNIT
            self._scroll.setFixedHeight(height)
            self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def rows(self) -> list[Row]:
        """The rows that are shown, in order."""
        items = [self._rows.itemAt(i) for i in range(self._rows.count())]
        found = [None if item is None else item.widget() for item in items]
        return [row for row in found if isinstance(row, Row)]

    def reveal(self, row: Row) -> None:
        """Scroll so that the row is in sight."""
        self._scroll.ensureWidgetVisible(row, 0, UNIT)


def tool_button(icon_name: str, name: str, *, size: int = 18) -> QToolButton:
    """Flat icon button with an accessible name that is also its tip."""
    button = QToolButton()
    button.setIcon(icon(icon_name))
    button.setIconSize(QSize(size, size))
    button.setToolTip(name)
    button.setAccessibleName(name)
    button.setAutoRaise(True)
    return button


def elided_label(text: str) -> QLabel:
    """Label that gives way in a narrow row instead of pushing the buttons out."""
    label = ElidedLabel(text)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label


class ElidedLabel(QLabel):
    """Label that shows an ellipsis where it has no room, and its whole text as a tip."""

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt)
        """Text cut to the width."""
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.setFont(self.font())
        shown = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, self.width())
        self.setToolTip("" if shown == self.text() else self.text())
        painter.drawText(self.rect(), int(self.alignment() | Qt.AlignmentFlag.AlignVCenter), shown)
