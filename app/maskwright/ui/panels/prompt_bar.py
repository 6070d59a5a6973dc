"""The small bar over the picture that says what Enter and Escape will do, and in which words are typed."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from maskwright.core.labels import Label
from maskwright.ui.panels.panel import Swatch
from maskwright.ui.panels.text_field import TextField
from maskwright.ui.theme import UNIT


class PromptBar(QFrame):
    """Floats at the bottom of the view while there are prompts, or words are typed."""

    commit_wanted = Signal()
    clear_wanted = Signal()
    label_wanted = Signal()  # the suggested one
    text_said = Signal(str)
    text_left = Signal()

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self.setObjectName("promptBar")
        self.setAccessibleName("Present prompts")
        self._swatch = Swatch((128, 128, 128))
        self._text = QLabel("")
        self._clear = QPushButton("Clear")
        self._clear.setProperty("kind", "quiet")
        self._clear.setToolTip("Take all prompts away (Esc)")
        self._clear.setAccessibleName("Clear the prompts")
        self._commit = QPushButton("Commit")
        self._commit.setProperty("kind", "primary")
        self._commit.setToolTip("Keep this mask (Enter)")
        self._commit.setAccessibleName("Commit the mask")
        self._label = QPushButton("")
        self._label.setProperty("kind", "quiet")
        self._label.setAccessibleName("Make the words the label")
        self.field = TextField()
        self.field.said.connect(self._said)
        self.field.left.connect(self._left)
        self._label.clicked.connect(self.label_wanted)
        self._clear.clicked.connect(self.clear_wanted)
        self._commit.clicked.connect(self.commit_wanted)
        line = QHBoxLayout(self)
        line.setContentsMargins(2 * UNIT, UNIT, UNIT, UNIT)
        line.setSpacing(UNIT)
        for widget in (self._swatch, self._text, self.field, self._label, self._clear, self._commit):
            line.addWidget(widget)
        self.field.hide()
        self._label.hide()
        self._count = 0
        over.installEventFilter(self)
        self.hide()

    @property
    def text(self) -> str:
        """What the bar says."""
        return self._text.text()

    def begin_text(self, words: Sequence[str], text: str = "") -> None:
        """Let words be typed; `words` are offered meanwhile, `text` is there to be changed."""
        self.show()
        self.raise_()
        self.field.begin(words, text)
        self._arrange()

    def show_state(
        self,
        *,
        count: int,
        label: Label | None,
        ready: bool,
        waiting: str,
        adds_to: str = "",
        words: str = "",
        suggested: str = "",
    ) -> None:
        """Say how many prompts there are and what they will become.

        They become a new object or, with `adds_to`, more of that one. `waiting` is said instead while there is no mask.
        `words` are those of a text prompt; `suggested` is the name of a label that the object may get.
        """
        self._count = count
        if count == 0:
            self._arrange()
            return
        prompts = "1 prompt" if count == 1 else f"{count} prompts"
        if label is not None:
            self._swatch.set_color(label.color)
        name = label.name if label is not None else "Object"
        said = f"“{words}” · " if words else ""
        self._text.setText(waiting or f"{said}{f'Adds to {adds_to}' if adds_to else f'New {name}'} · {prompts}")
        self._commit.setEnabled(ready)
        self._label.setText(f"Label it “{suggested}”" if suggested else "")
        self._label.setToolTip(f"Make “{suggested}” the label of this object (Y)")
        self._label.setAccessibleName(f"Label it {suggested}" if suggested else "Make the words the label")
        self._arrange()

    def _said(self, text: str) -> None:
        self._arrange()
        self.text_said.emit(text)

    def _left(self) -> None:
        self._arrange()
        self.text_left.emit()

    def _arrange(self) -> None:
        """Show the line while it is typed in, else the prompts, else nothing."""
        typing = not self.field.isHidden()
        if not typing and self._count == 0:
            self.hide()
            return
        for widget in (self._swatch, self._text, self._clear, self._commit):
            widget.setVisible(not typing)
        self._label.setVisible(not typing and bool(self._label.text()))
        self.adjustSize()
        self._place()
        self.show()
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 (Qt)
        """Stay at the bottom when the view changes its size."""
        if event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def _place(self) -> None:
        over = self.parentWidget()
        if over is not None:
            self.move((over.width() - self.width()) // 2, over.height() - self.height() - 2 * UNIT)
