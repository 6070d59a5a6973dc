"""The dialog that lists every command with its keys and lets them be changed."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from maskwright.ui.actions import ACTIONS, MENUS, action_by_id
from maskwright.ui.shortcuts import Shortcuts, default_shortcuts, normal, owner
from maskwright.ui.theme import UNIT

_PLACES = {**{key: title.replace("&", "") for key, title in MENUS.items()}, "": "Labels"}


class ShortcutsDialog(QDialog):
    """Choose a command, press the new keys, Assign; a key that another command has is refused and that one named."""

    def __init__(self, shortcuts: Shortcuts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.shortcuts: Shortcuts = dict(shortcuts)
        self.setWindowTitle("Keyboard shortcuts")
        self.setAccessibleName("Keyboard shortcuts")
        self.resize(72 * UNIT, 76 * UNIT)
        self._find = QLineEdit()
        self._find.setPlaceholderText("Find a command or a key")
        self._find.setAccessibleName("Find a command or a key")
        self._find.setClearButtonEnabled(True)
        self._find.textChanged.connect(self._filter)
        self._table = QTableWidget(len(ACTIONS), 3)
        self._table.setAccessibleName("Commands and their keys")
        self._table.setHorizontalHeaderLabels(["Command", "Menu", "Keys"])
        self._table.verticalHeader().hide()
        self._table.setShowGrid(False)
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(2, QHeaderView.ResizeMode.ResizeToContents)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for row, action in enumerate(ACTIONS):
            for column, text in enumerate((action.title, _PLACES[action.menu], "")):
                item = QTableWidgetItem(text)
                item.setData(Qt.ItemDataRole.UserRole, action.id)
                self._table.setItem(row, column, item)
        self._table.itemSelectionChanged.connect(self._selected)

        self._keys = QKeySequenceEdit()
        self._keys.setMaximumSequenceLength(1)
        self._keys.setAccessibleName("New keys")
        self._keys.setClearButtonEnabled(True)
        self._assign = _button("Assign", "Give the keys to the command", self._do_assign)
        self._remove = _button("Remove keys", "Leave the command without keys", self._do_remove)
        self._default = _button("Default", "Give the command its own keys back", self._do_default)
        line = QHBoxLayout()
        line.setSpacing(UNIT)
        line.addWidget(self._keys, 1)
        for button in (self._assign, self._remove, self._default):
            line.addWidget(button)
        self._says = QLabel("Choose a command, then press the keys it should have.")
        self._says.setWordWrap(True)
        self._says.setProperty("kind", "muted")

        everything = _button("Restore all defaults", "Give every command its own keys back", self._do_defaults)
        cancel = _button("Cancel", "Cancel", self.reject)
        save = _button("Save", "Save the shortcuts", self.accept)
        save.setProperty("kind", "primary")
        buttons = QHBoxLayout()
        buttons.addWidget(everything)
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(save)
        for button in (everything, cancel, save, self._assign, self._remove, self._default):
            button.setAutoDefault(False)

        whole = QVBoxLayout(self)
        whole.setContentsMargins(3 * UNIT, 3 * UNIT, 3 * UNIT, 2 * UNIT)
        whole.setSpacing(UNIT)
        whole.addWidget(self._find)
        whole.addWidget(self._table, 1)
        whole.addLayout(line)
        whole.addWidget(self._says)
        whole.addSpacing(UNIT)
        whole.addLayout(buttons)
        self._fill()
        self._selected()

    def choose(self, action_id: str) -> None:
        """Choose a command in the table."""
        self._table.selectRow(next(i for i, action in enumerate(ACTIONS) if action.id == action_id))

    def assign(self, action_id: str, key: str) -> str:
        """Give a command a key besides no other; returns why not, or an empty text."""
        wanted = normal(key)
        if not wanted:
            return "Press the keys first."
        other = owner(self.shortcuts, wanted, other_than=action_id)
        if other is not None:
            return f"{_shown((wanted,))} already belongs to “{action_by_id(other).title}”. Remove it there first."
        self.shortcuts[action_id] = (wanted,)
        self._fill()
        return ""

    @property
    def said(self) -> str:
        """The last answer below the table."""
        return self._says.text()

    def _current(self) -> str | None:
        items = self._table.selectedItems()
        return items[0].data(Qt.ItemDataRole.UserRole) if items else None

    def _selected(self) -> None:
        for widget in (self._keys, self._assign, self._remove, self._default):
            widget.setEnabled(self._current() is not None)

    def _do_assign(self) -> None:
        action_id = self._current()
        if action_id is None:
            return
        keys = self._keys.keySequence().toString(QKeySequence.SequenceFormat.PortableText)
        refused = self.assign(action_id, keys)
        self._say(
            refused or f"“{action_by_id(action_id).title}” now has {_shown(self.shortcuts[action_id])}.", bool(refused)
        )
        if not refused:
            self._keys.clear()

    def _do_remove(self) -> None:
        action_id = self._current()
        if action_id is not None:
            self.shortcuts[action_id] = ()
            self._fill()

    def _do_default(self) -> None:
        action_id = self._current()
        if action_id is None:
            return
        wanted = default_shortcuts()[action_id]
        for key in wanted:
            other = owner(self.shortcuts, key, other_than=action_id)
            if other is not None:
                text = f"{_shown((key,))} now belongs to “{action_by_id(other).title}”. Remove it there first."
                self._say(text, True)  # noqa: FBT003
                return
        self.shortcuts[action_id] = wanted
        self._fill()

    def _do_defaults(self) -> None:
        self.shortcuts = default_shortcuts()
        self._fill()

    def _say(self, text: str, is_error: bool) -> None:  # noqa: FBT001
        self._says.setText(text)
        self._says.setProperty("kind", "error" if is_error else "muted")
        self._says.style().unpolish(self._says)
        self._says.style().polish(self._says)

    def _fill(self) -> None:
        for row, action in enumerate(ACTIONS):
            item = self._table.item(row, 2)
            if item is not None:
                item.setText(_shown(self.shortcuts.get(action.id, ())))

    def _filter(self, text: str) -> None:
        wanted = text.casefold()
        for row in range(self._table.rowCount()):
            cells = [self._table.item(row, column) for column in range(3)]
            self._table.setRowHidden(row, not any(cell and wanted in cell.text().casefold() for cell in cells))


def _shown(keys: tuple[str, ...]) -> str:
    native = QKeySequence.SequenceFormat.NativeText
    return ", ".join(QKeySequence(key, QKeySequence.SequenceFormat.PortableText).toString(native) for key in keys)


def _button(text: str, name: str, run: object) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(name)
    button.clicked.connect(run)
    return button
