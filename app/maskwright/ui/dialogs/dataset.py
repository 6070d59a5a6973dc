"""The dialogs that write a dataset and read one back: format, folder, and a report of what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from maskwright.core.errors import MaskwrightError
from maskwright.ui.icons import pixmap
from maskwright.ui.theme import UNIT, current_tokens, font


@dataclass(frozen=True, slots=True)
class Choice:
    """A format to choose; `refusal` says why it cannot be used for what is open, or is empty."""

    name: str
    title: str
    says: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    format: str
    folder: Path
    overwrite: bool = False


Done = Callable[[str, MaskwrightError | None], None]
"""Called on the main thread with lines of a report, or with the failure."""
Start = Callable[[Request, Done], None]


class DatasetDialog(QDialog):
    """Format, folder, a button; while it runs a bar, afterwards the report or the failure in the same place."""

    def __init__(
        self,
        choices: Sequence[Choice],
        start: Start,
        parent: QWidget | None = None,
        *,
        title: str,
        verb: str,
        folder: Path,
        says: str,
        may_overwrite: bool,
    ) -> None:
        super().__init__(parent)
        self._start = start
        self._verb = verb
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self.setMinimumWidth(68 * UNIT)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(3 * UNIT, 3 * UNIT, 3 * UNIT, 2 * UNIT)
        whole.setSpacing(UNIT)
        head = QLabel(title)
        head.setFont(font(1.25, bold=True))
        whole.addWidget(head)
        intro = QLabel(says)
        intro.setProperty("kind", "muted")
        intro.setWordWrap(True)
        whole.addWidget(intro)
        whole.addSpacing(UNIT)

        self._group = QButtonGroup(self)
        self._radios: dict[str, QRadioButton] = {}
        for choice in choices:
            radio = QRadioButton(choice.title)
            radio.setAccessibleName(f"Format {choice.title}")
            radio.setEnabled(not choice.refusal)
            line = QLabel(choice.refusal or choice.says)
            line.setProperty("kind", "muted")
            line.setWordWrap(True)
            line.setContentsMargins(3 * UNIT + 2, 0, 0, UNIT // 2)
            self._group.addButton(radio)
            self._radios[choice.name] = radio
            pair = QVBoxLayout()
            pair.setSpacing(0)
            pair.addWidget(radio)
            pair.addWidget(line)
            whole.addLayout(pair)
        first = next((radio for radio in self._radios.values() if radio.isEnabled()), None)
        if first is not None:
            first.setChecked(True)
        whole.addSpacing(UNIT)

        self._folder = QLineEdit(str(folder))
        self._folder.setAccessibleName("Folder")
        self._folder.textChanged.connect(self._check)
        browse = QPushButton("Browse…")
        browse.setAccessibleName("Choose the folder")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        caption = QLabel("&Folder")
        caption.setBuddy(self._folder)
        whole.addWidget(caption)
        line = QHBoxLayout()
        line.setSpacing(UNIT)
        line.addWidget(self._folder, 1)
        line.addWidget(browse)
        whole.addLayout(line)
        self._overwrite = QCheckBox("Replace what is in the folder")
        self._overwrite.setAccessibleName(self._overwrite.text())
        self._overwrite.setVisible(may_overwrite)
        whole.addWidget(self._overwrite)

        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._bar.setTextVisible(False)
        self._bar.setAccessibleName("Working")
        self._bar.hide()
        self._mark = QLabel(alignment=Qt.AlignmentFlag.AlignTop)
        self._report = QLabel("")
        self._report.setWordWrap(True)
        self._report.setTextFormat(Qt.TextFormat.PlainText)
        self._report.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        result = QHBoxLayout()
        result.setSpacing(UNIT)
        result.addWidget(self._mark)
        result.addWidget(self._report, 1)
        whole.addSpacing(UNIT)
        whole.addWidget(self._bar)
        whole.addLayout(result)

        self._close = QPushButton("Cancel")
        self._close.setAccessibleName("Close")
        self._close.setAutoDefault(False)
        self._close.clicked.connect(self.reject)
        self._go = QPushButton(verb)
        self._go.setProperty("kind", "primary")
        self._go.setAccessibleName(verb)
        self._go.setDefault(True)
        self._go.clicked.connect(self.go)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self._close)
        buttons.addWidget(self._go)
        whole.addSpacing(UNIT)
        whole.addLayout(buttons)
        self._check()

    def choose(self, format_name: str, folder: Path, *, overwrite: bool = False) -> None:
        """Fill in the dialog."""
        self._radios[format_name].setChecked(True)
        self._folder.setText(str(folder))
        self._overwrite.setChecked(overwrite)

    @property
    def request(self) -> Request | None:
        """What is filled in, or None while something is missing."""
        name = next((name for name, radio in self._radios.items() if radio.isChecked() and radio.isEnabled()), None)
        text = self._folder.text().strip()
        if name is None or not text:
            return None
        return Request(name, Path(text).expanduser(), self._overwrite.isChecked())

    @property
    def report(self) -> str:
        """What is said about the last run."""
        return self._report.text()

    def go(self) -> None:
        """Run what is filled in."""
        request = self.request
        if request is None or self._bar.isVisible():
            return
        self._bar.show()
        self._go.setEnabled(False)
        self._say("", "")
        self._start(request, self._done)

    def _done(self, report: str, error: MaskwrightError | None) -> None:
        self._bar.hide()
        self._go.setEnabled(True)
        self._close.setText("Close")
        if error is None:
            self._say(report, "good")
        else:
            self._say(str(error), "error")

    def _say(self, text: str, kind: str) -> None:
        t = current_tokens()
        self._report.setText(text)
        self._report.setProperty("kind", "error" if kind == "error" else "")
        self._report.setAccessibleName(f"Result: {text}")
        self._report.style().unpolish(self._report)
        self._report.style().polish(self._report)
        drawings = {"good": ("circle-check", t.good), "error": ("circle-alert", t.danger)}
        if kind in drawings:
            self._mark.setPixmap(pixmap(drawings[kind][0], 18, drawings[kind][1], ratio=self.devicePixelRatioF()))
        else:
            self._mark.clear()
        self.adjustSize()

    def _check(self) -> None:
        self._go.setEnabled(self.request is not None)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Choose a folder", self._folder.text())
        if chosen:
            self._folder.setText(chosen)
