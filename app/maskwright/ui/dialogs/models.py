"""The dialog that lists the installed models, says what each is, and takes one into use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from maskwright.ui.dialogs.about import Facts, facts_page
from maskwright.ui.theme import UNIT, current_tokens


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model as the dialog shows it: its id, its name, where it stands, and all that is known of it.

    `usable` is whether it can be taken into use now; `refused` whether something is wrong with it.
    """

    id: str
    name: str
    size: str
    state: str
    facts: Facts
    usable: bool
    refused: bool = False


class ModelsDialog(QDialog):
    """Models above, what is known of the chosen one below. It asks; whoever opened it does."""

    use_wanted = Signal(str)  # id
    import_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: tuple[ModelLine, ...] = ()
        self._busy = False
        self.setWindowTitle("Models")
        self.setAccessibleName("Models")
        self.resize(100 * UNIT, 84 * UNIT)
        intro = QLabel("The model that is in use answers your clicks. Prompts that are not committed yet stay.")
        intro.setProperty("kind", "muted")
        intro.setWordWrap(True)
        self._table = QTableWidget(0, 4)
        self._table.setAccessibleName("Installed models")
        self._table.setHorizontalHeaderLabels(["Id", "Name", "Size", "State"])
        self._table.verticalHeader().hide()
        self._table.setShowGrid(False)
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.setMinimumHeight(20 * UNIT)
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(3, QHeaderView.ResizeMode.Stretch)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self._table.itemSelectionChanged.connect(self._show_chosen)
        self._table.itemDoubleClicked.connect(lambda _: self.use())
        self._details = QScrollArea()
        self._details.setWidgetResizable(True)
        self._details.setAccessibleName("About the chosen model")
        self._says = QLabel("")
        self._says.setTextFormat(Qt.TextFormat.PlainText)
        self._says.setWordWrap(True)
        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Working")
        self._bar.hide()
        self._import = _button("Import a model folder…", "Copy the folder of a model to the installed ones")
        self._import.clicked.connect(lambda: self.import_wanted.emit())
        close = _button("Close", "Close")
        close.clicked.connect(self.accept)
        self._use = _button("Use", "Use the chosen model")
        self._use.setProperty("kind", "primary")
        self._use.clicked.connect(self.use)
        buttons = QHBoxLayout()
        buttons.addWidget(self._import)
        buttons.addStretch(1)
        buttons.addWidget(close)
        buttons.addWidget(self._use)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(3 * UNIT, 3 * UNIT, 3 * UNIT, 2 * UNIT)
        whole.setSpacing(UNIT)
        whole.addWidget(intro)
        whole.addWidget(self._table, 2)
        whole.addWidget(self._details, 3)
        whole.addWidget(self._says)
        whole.addWidget(self._bar)
        whole.addSpacing(UNIT)
        whole.addLayout(buttons)
        self._show_chosen()

    def show_lines(self, lines: Sequence[ModelLine]) -> None:
        """Show these models; the choice stays where its model is still there."""
        before, chosen = self._lines, self.chosen
        self._lines = tuple(lines)
        self._table.blockSignals(True)
        self._table.setRowCount(len(lines))
        for row, line in enumerate(lines):
            for column, text in enumerate((line.id, line.name, line.size, line.state)):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                if column == 3 and line.refused:
                    item.setForeground(QColor(current_tokens().danger))
                self._table.setItem(row, column, item)
        self._table.blockSignals(False)
        if [one.id for one in before] != [one.id for one in lines]:
            self.choose("" if chosen is None else chosen.id)
        else:
            self._show_chosen()

    @property
    def lines(self) -> tuple[ModelLine, ...]:
        """What is shown."""
        return self._lines

    @property
    def chosen(self) -> ModelLine | None:
        """The model that is chosen in the list."""
        row = self._table.currentRow()
        return self._lines[row] if 0 <= row < len(self._lines) else None

    def choose(self, model: str) -> None:
        """Choose a model by its id, or the first one where there is none of this id."""
        rows = [i for i, line in enumerate(self._lines) if line.id == model] or [0]
        self._table.selectRow(rows[0])
        self._show_chosen()

    def use(self) -> None:
        """Ask for the chosen model, if it can be used."""
        if self._use.isEnabled() and self.chosen is not None:
            self.use_wanted.emit(self.chosen.id)

    @property
    def can_use(self) -> bool:
        """Whether the chosen model can be taken into use now."""
        return self._use.isEnabled()

    def set_busy(self, text: str) -> None:
        """Say what is being done, and take no wishes meanwhile; empty when it is over."""
        was, self._busy = self._busy, bool(text)
        self._bar.setVisible(self._busy)
        self._import.setEnabled(not self._busy)
        if text or was:
            self.say(text)
        self._show_chosen()

    @property
    def said(self) -> str:
        """The last sentence below the list."""
        return self._says.text()

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Say something below the list."""
        self._says.setText(text)
        self._says.setAccessibleName(f"Result: {text}")
        self._says.setProperty("kind", "error" if is_error else "muted")
        self._says.style().unpolish(self._says)
        self._says.style().polish(self._says)

    def _show_chosen(self) -> None:
        line = self.chosen
        self._use.setEnabled(line is not None and line.usable and not self._busy)
        page = facts_page(() if line is None else line.facts)
        self._details.setWidget(page)


def _button(text: str, name: str) -> QPushButton:
    button = QPushButton(text)
    button.setAccessibleName(name)
    button.setAutoDefault(False)
    return button
