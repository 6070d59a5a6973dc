"""The menu bar and the two tool bars: one row on top for the scan, one column on the left for the tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLabel, QMenu, QSizePolicy, QToolBar, QToolButton, QWidget

from maskwright.core.window import Window
from maskwright.ui.icons import icon
from maskwright.ui.tools.table import TOOLS

if TYPE_CHECKING:
    from maskwright.ui.main_window import MainWindow

_TOP = "file.open file.open_folder | edit.undo edit.redo | view.zoom_out view.fit view.zoom_in view.masks"


class ToolBars:
    """Bars of one window, and the menu of windows for scans."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        menus = window.actions_.fill_menus(window.menuBar())
        window.menuBar().setAccessibleName("Menu")
        self._presets = QMenu("Window presets", window)
        self._presets.aboutToShow.connect(self._fill_presets)
        self._presets.setIcon(icon("contrast"))
        menus["view"].addMenu(self._presets)

        self._top = _bar(window, "Scan", Qt.ToolBarArea.TopToolBarArea, size=18)
        for word in _TOP.split():
            if word == "|":
                self._top.addSeparator()
            else:
                self._add(self._top, word)
        self._window_button = QToolButton()
        self._window_button.setText(" Window")
        self._window_button.setIcon(icon("contrast"))
        self._window_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._window_button.setProperty("kind", "text")
        self._window_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._window_button.setMenu(self._presets)
        self._window_button.setToolTip(
            "Window presets. Brightness and contrast of the picture; masks do not depend on it."
        )
        self._window_button.setAccessibleName("Window presets")
        self._scans_separator = self._top.addSeparator()
        for word in ("view.previous_scan", "view.next_scan"):
            self._add(self._top, word)
        self._window_separator = self._top.addSeparator()
        self._window_action = self._top.addWidget(self._window_button)
        space = QWidget()
        space.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        space.setAccessibleName("")
        self._top.addWidget(space)
        self._name = QLabel("")
        self._name.setProperty("kind", "muted")
        self._name.setAccessibleName("Open scan")
        self._name.setContentsMargins(8, 0, 8, 0)
        self._top.addWidget(self._name)
        self._add(self._top, "file.export", text="Export")

        self._tools = _bar(window, "Tools", Qt.ToolBarArea.LeftToolBarArea, size=22)
        self._tools.setObjectName("tools")
        for tool in TOOLS:
            self._add(self._tools, f"tool.{tool.id}")
        self._tools.addSeparator()
        self._add(self._tools, "tool.sign")
        self._add(self._tools, "tool.text")
        self.show_scan()

    def show_scan(self) -> None:
        """Show what makes sense for what is open."""
        volume, scan = self._window.session.volume, self._window.session.scan
        shows = volume is not None and not volume.is_photo and not volume.is_rgb
        self._window_action.setVisible(shows)
        self._window_separator.setVisible(shows)
        self._tools.setVisible(volume is not None)
        self._window.actions_["tool.window"].setVisible(shows or volume is None)
        self._name.setText("" if scan is None else self._described())

    def show_scans(self, count: int) -> None:
        """Offer to step through the scans when there are several."""
        self._scans_separator.setVisible(count > 1)
        for word in ("view.previous_scan", "view.next_scan", "view.scan_done"):
            self._window.actions_[word].setVisible(count > 1)

    def _described(self) -> str:
        volume = self._window.session.volume
        if volume is None:
            return ""
        z, y, x = volume.geometry.shape_zyx
        if volume.is_photo:
            return f"{x} × {y}"
        name = volume.modality.upper() if volume.modality in ("ct", "mr", "pet") else volume.modality
        spacing = " × ".join(f"{mm:.3g}" for mm in reversed(volume.geometry.spacing_zyx_mm))
        return f"{name}  {x} × {y} × {z}  ·  {spacing} mm".strip()

    def _add(self, bar: QToolBar, action_id: str, *, text: str = "") -> None:
        action = self._window.actions_[action_id]
        bar.addAction(action)
        button = bar.widgetForAction(action)
        if isinstance(button, QToolButton):
            button.setAccessibleName(action.text().rstrip("…"))
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            if text:
                action.setIconText(f" {text}")  # a gap between icon and word
                button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
                button.setProperty("kind", "text")

    def _fill_presets(self) -> None:
        menu, display = self._presets, self._window.display
        menu.clear()
        menu.addAction(self._window.actions_["view.reset_window"])
        presets = display.presets()
        if presets:
            menu.addSeparator()
        for name, window in presets.items():
            menu.addAction(self._preset(name, window))

    def _preset(self, name: str, window: Window) -> QAction:
        action = QAction(f"{name}   L {window.level:g}  W {window.width:g}", self._presets)
        action.setCheckable(True)
        action.setChecked(window == self._window.display.window)
        action.triggered.connect(lambda: self._window.display.set_window(window))
        return action


def _bar(window: MainWindow, title: str, area: Qt.ToolBarArea, *, size: int) -> QToolBar:
    bar = QToolBar(title, window)
    bar.setAccessibleName(title)
    bar.setMovable(False)
    bar.setFloatable(False)
    bar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
    bar.setIconSize(QSize(size, size))
    window.addToolBar(area, bar)
    return bar
