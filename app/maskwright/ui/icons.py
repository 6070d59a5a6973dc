"""Icons of the one kept set (assets/icons), drawn in the colour of the text around them at any screen density."""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from maskwright.assets import icons_folder
from maskwright.ui.theme import current_tokens


class _TintedIcon(QIconEngine):
    """Draws an SVG whose strokes are `currentColor` in the colours of the present theme."""

    def __init__(self, name: str, color: str | None) -> None:
        super().__init__()
        self._name = name
        self._color = color

    def clone(self) -> QIconEngine:
        """Copy, as Qt asks."""
        return _TintedIcon(self._name, self._color)

    def paint(self, painter: QPainter, rect: object, mode: QIcon.Mode, state: QIcon.State) -> None:
        """Draw into the rectangle; faded when disabled, in the accent when switched on."""
        tokens = current_tokens()
        color = self._color or (tokens.accent if state == QIcon.State.On else tokens.text)
        painter.save()
        if mode == QIcon.Mode.Disabled:
            painter.setOpacity(0.38)
        renderer(self._name, color).render(painter, QRectF(rect))  # type: ignore[arg-type]
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        """The drawing on a transparent ground."""
        picture = QPixmap(size)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        self.paint(painter, QRectF(0, 0, size.width(), size.height()).toRect(), mode, state)
        painter.end()
        return picture


def icon(name: str, color: str | None = None) -> QIcon:
    """Icon by the name of its SVG; without a colour it follows the theme.

    Raises
    ------
    FileNotFoundError
        There is no such drawing in the set.
    """
    _svg(name)
    return QIcon(_TintedIcon(name, color))


def pixmap(name: str, size: int, color: str, *, ratio: float = 1.0) -> QPixmap:
    """One drawing as a square pixmap of `size` device-independent pixels."""
    picture = QPixmap(round(size * ratio), round(size * ratio))
    picture.setDevicePixelRatio(ratio)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    renderer(name, color).render(painter, QRectF(0, 0, size, size))
    painter.end()
    return picture


def app_icon() -> QIcon:
    """The program's own mark."""
    return QIcon(str(icons_folder() / "maskwright.svg"))


@cache
def renderer(name: str, color: str) -> QSvgRenderer:
    """Renderer of one drawing in one colour."""
    return QSvgRenderer(QByteArray(_svg(name).replace("currentColor", color).encode()))


@cache
def _svg(name: str) -> str:
    return (icons_folder() / f"{name}.svg").read_text(encoding="utf-8")
