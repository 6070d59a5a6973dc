"""What this program is, which model answers the clicks, and under which licences."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QDialog, QFormLayout, QHBoxLayout, QLabel, QPushButton, QTabWidget, QVBoxLayout, QWidget

from maskwright.ui.icons import app_icon
from maskwright.ui.theme import UNIT, font

Facts = Sequence[tuple[str, str]]


class AboutDialog(QDialog):
    """Name and version above; model and system below, each a list of plain facts."""

    def __init__(self, version: str, model: Facts, system: Facts, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About maskwright")
        self.setAccessibleName("About maskwright")
        self.setMinimumWidth(64 * UNIT)
        mark = QLabel(alignment=Qt.AlignmentFlag.AlignTop)
        mark.setPixmap(app_icon().pixmap(QSize(64, 64)))
        mark.setAccessibleName("Mark of maskwright")
        title = QLabel("maskwright")
        title.setFont(font(1.6, bold=True))
        says = QLabel(
            f"Version {version}. Interactive annotation and segmentation of scans and photos.\n"
            "Apache License 2.0. Icons: Lucide (ISC). Not a medical device: results need a trained eye."
        )
        says.setProperty("kind", "muted")
        says.setWordWrap(True)
        words = QVBoxLayout()
        words.setSpacing(UNIT // 2)
        words.addWidget(title)
        words.addWidget(says)
        top = QHBoxLayout()
        top.setSpacing(2 * UNIT)
        top.addWidget(mark)
        top.addLayout(words, 1)
        tabs = QTabWidget()
        tabs.setAccessibleName("Details")
        tabs.addTab(facts_page(model), "Model")
        tabs.addTab(facts_page(system), "System")
        close = QPushButton("Close")
        close.setProperty("kind", "primary")
        close.setAccessibleName("Close")
        close.setDefault(True)
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(close)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(3 * UNIT, 3 * UNIT, 3 * UNIT, 2 * UNIT)
        whole.setSpacing(2 * UNIT)
        whole.addLayout(top)
        whole.addWidget(tabs, 1)
        whole.addLayout(buttons)


def facts_page(facts: Facts) -> QWidget:
    """Facts one under the other, each a name and a text that can be copied; nothing in them is taken for markup."""
    page = QWidget()
    form = QFormLayout(page)
    form.setContentsMargins(2 * UNIT, 2 * UNIT, 2 * UNIT, 2 * UNIT)
    form.setHorizontalSpacing(2 * UNIT)
    form.setVerticalSpacing(UNIT)
    for name, value in facts:
        text = QLabel(value)
        text.setTextFormat(Qt.TextFormat.PlainText)
        text.setWordWrap(True)
        text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        text.setAccessibleName(f"{name}: {value}")
        caption = QLabel(name)
        caption.setProperty("kind", "muted")
        form.addRow(caption, text)
    return page
