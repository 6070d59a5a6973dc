"""The ACTIONS table as Qt actions: built once, switched on and off by the situation, re-keyed at any time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QActionGroup, QKeySequence
from PySide6.QtWidgets import QMenu, QMenuBar

from maskwright.ui.actions import ACTIONS, MENUS, Action, Situation
from maskwright.ui.icons import icon
from maskwright.ui.shortcuts import Shortcuts

if TYPE_CHECKING:
    from maskwright.ui.main_window import MainWindow


class ActionSet:
    """All commands of one window."""

    def __init__(self, window: MainWindow, shortcuts: Shortcuts) -> None:
        self.shortcuts: Shortcuts = {}
        self._actions: dict[str, QAction] = {}
        groups: dict[str, QActionGroup] = {}
        for entry in ACTIONS:
            action = QAction(entry.title, window)
            action.setObjectName(entry.id)
            if entry.icon:
                action.setIcon(icon(entry.icon))
                action.setIconVisibleInMenu(True)
            action.setCheckable(entry.checkable)
            if entry.group:
                group = groups.setdefault(entry.group, QActionGroup(window))
                group.addAction(action)
            action.triggered.connect(partial(_run, entry.run, window))
            window.addAction(action)
            self._actions[entry.id] = action
        self.set_shortcuts(shortcuts)
        self.update(Situation())

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    def set_shortcuts(self, shortcuts: Shortcuts) -> None:
        """Give every command these keys, and say so in its tip."""
        self.shortcuts = dict(shortcuts)
        for entry in ACTIONS:
            keys = [QKeySequence(key, QKeySequence.SequenceFormat.PortableText) for key in shortcuts.get(entry.id, ())]
            action = self._actions[entry.id]
            action.setShortcuts(keys)
            self._set_tip(entry, entry.title)

    def update(self, now: Situation) -> None:
        """Switch commands on and off."""
        for entry in ACTIONS:
            self._actions[entry.id].setEnabled(entry.when(now))

    def set_title(self, action_id: str, title: str) -> None:
        """Name what a command would do now, such as what undo takes back."""
        entry = next(one for one in ACTIONS if one.id == action_id)
        self._actions[action_id].setText(title)
        self._set_tip(entry, title)

    def fill_menus(self, bar: QMenuBar) -> dict[str, QMenu]:
        """Menus of the menu bar, by key."""
        menus = {key: bar.addMenu(title) for key, title in MENUS.items()}
        for key, menu in menus.items():
            menu.setAccessibleName(MENUS[key].replace("&", ""))
        for entry in ACTIONS:
            if entry.menu:
                if entry.separator:
                    menus[entry.menu].addSeparator()
                menus[entry.menu].addAction(self._actions[entry.id])
        return menus

    def key_text(self, action_id: str) -> str:
        """First key of a command as the user reads it, or empty."""
        keys = self._actions[action_id].shortcuts()
        return keys[0].toString(QKeySequence.SequenceFormat.NativeText) if keys else ""

    def _set_tip(self, entry: Action, title: str) -> None:
        keys = ", ".join(
            key.toString(QKeySequence.SequenceFormat.NativeText) for key in self._actions[entry.id].shortcuts()
        )
        first = f"{title.rstrip('…')} ({keys})" if keys else title.rstrip("…")
        self._actions[entry.id].setToolTip(f"{first}\n{entry.tip}" if entry.tip else first)


def _run(run: Callable[[MainWindow], object], window: MainWindow, *_: object) -> None:
    run(window)
