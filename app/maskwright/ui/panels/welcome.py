"""What the window shows before anything is open: what it does and how to begin."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from maskwright.ui.icons import app_icon, icon
from maskwright.ui.panels.panel import named
from maskwright.ui.theme import UNIT, current_tokens, font

_INVITES = "Drop a file or a folder here, then click on what you want to outline."
_KINDS = "DICOM · NIfTI · NRRD · MetaImage · TIFF · PNG · JPEG"


class Welcome(QWidget):
    """A drop zone with the ways to open something."""

    open_file_wanted = Signal()
    open_folder_wanted = Signal()
    sample_wanted = Signal(str)  # "photo" or "volume"
    recent_wanted = Signal(object)  # Path

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("welcome")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName("Welcome")
        self._zone = named(QFrame(), "dropZone")
        self._zone.setFixedWidth(70 * UNIT)
        self._zone.setAccessibleName("Drop zone")
        inner = QVBoxLayout(self._zone)
        inner.setContentsMargins(6 * UNIT, 6 * UNIT, 6 * UNIT, 5 * UNIT)
        inner.setSpacing(UNIT)

        mark = QLabel(alignment=Qt.AlignmentFlag.AlignCenter)
        mark.setPixmap(app_icon().pixmap(QSize(56, 56)))
        mark.setFixedHeight(56)
        mark.setAccessibleName("maskwright")
        title = QLabel("Open a scan or a photo", alignment=Qt.AlignmentFlag.AlignCenter)
        title.setFont(font(1.7, bold=True))
        self._says = QLabel(_INVITES, alignment=Qt.AlignmentFlag.AlignCenter)
        self._says.setProperty("kind", "muted")
        kinds = QLabel(_KINDS, alignment=Qt.AlignmentFlag.AlignCenter)
        kinds.setProperty("kind", "muted")
        inner.addWidget(mark)
        inner.addSpacing(UNIT)
        inner.addWidget(title)
        inner.addWidget(self._says)
        inner.addWidget(kinds)
        inner.addSpacing(2 * UNIT)

        self._tinted: list[tuple[QPushButton, str, str]] = []
        self._open = QPushButton("Open file…")
        self._tinted.append((self._open, "file-image", "on_accent"))
        self._open.setProperty("kind", "primary")
        self._open.setAccessibleName("Open a file")
        folder = QPushButton(icon("folder-open"), "Open folder…")
        folder.setAccessibleName("Open a folder")
        line = QHBoxLayout()
        line.setSpacing(UNIT)
        line.addStretch(1)
        line.addWidget(self._open)
        line.addWidget(folder)
        line.addStretch(1)
        inner.addLayout(line)
        inner.addSpacing(2 * UNIT)

        samples = QHBoxLayout()
        samples.setSpacing(0)
        samples.addStretch(1)
        try_it = QLabel("Or try a sample:")
        try_it.setProperty("kind", "muted")
        samples.addWidget(try_it)
        for kind, text, picture in (("photo", "Photo", "image"), ("volume", "Brain volume", "brain")):
            button = QPushButton(text)
            self._tinted.append((button, picture, "accent"))
            button.setProperty("kind", "quiet")
            button.setAccessibleName(f"Open the sample {text.lower()}")
            button.clicked.connect(lambda _=False, kind=kind: self.sample_wanted.emit(kind))
            samples.addWidget(button)
        samples.addStretch(1)
        inner.addLayout(samples)

        self._recent = QVBoxLayout()
        self._recent.setSpacing(0)
        whole = QVBoxLayout(self)
        whole.addStretch(1)
        whole.addWidget(self._zone, 0, Qt.AlignmentFlag.AlignHCenter)
        whole.addSpacing(2 * UNIT)
        whole.addLayout(self._recent)
        whole.addStretch(2)
        self._open.clicked.connect(self.open_file_wanted)
        folder.clicked.connect(self.open_folder_wanted)
        self.retheme()

    def retheme(self) -> None:
        """Draw the icons in the colours of the present theme."""
        for button, name, token in self._tinted:
            button.setIcon(icon(name, getattr(current_tokens(), token)))

    def show_recent(self, paths: Sequence[Path]) -> None:
        """Offer what was opened last."""
        while (item := self._recent.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        if paths:
            head = QLabel("Opened last")
            head.setProperty("kind", "muted")
            self._recent.addWidget(head, 0, Qt.AlignmentFlag.AlignHCenter)
        for path in paths:
            button = QPushButton(path.name)
            button.setProperty("kind", "quiet")
            button.setToolTip(str(path))
            button.setAccessibleName(f"Open {path.name} again")
            button.clicked.connect(partial(self.recent_wanted.emit, path))
            self._recent.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)

    def set_drag_over(self, over: bool) -> None:  # noqa: FBT001 (a Qt-like setter)
        """Show that what is dragged may be dropped."""
        self._zone.setProperty("over", over)
        self._zone.style().unpolish(self._zone)
        self._zone.style().polish(self._zone)

    def set_busy(self, text: str) -> None:
        """Show what is being opened, or the usual words when empty."""
        self._says.setText(text or _INVITES)
