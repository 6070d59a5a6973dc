"""Runs the real `main()` and plays a script of mouse and keys: ``python -m tests.e2e.drive SCRIPT MODEL OUT ARGS``.

A script is a generator over the window; it yields what to wait for. It tells what it sees as lines of JSON on stdout.
The model is ``default``, or ``fake`` for the quick one of the tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from maskwright.__main__ import main
from maskwright.ui.app import application
from maskwright.ui.dialogs.dataset import DatasetDialog
from maskwright.ui.main_window import MainWindow

Script = Iterator[Callable[[], object]]
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE = Qt.KeyboardModifier.NoModifier
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
Key = Qt.Key
PATIENCE_S = 120.0


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def state(window: MainWindow) -> dict[str, object]:
    """Everything that must survive."""
    session = window.session
    digest = hashlib.sha256()
    for one in session.annotation.objects:
        for view, mask in one.masks.items():
            digest.update(f"{one.id} {one.label_id} {one.visible} {view.axis} {view.index}".encode() + mask.to_bytes())
    return {
        "objects": [
            [session.labels.get(one.label_id).name, one.visible, sum(mask.area for mask in one.masks.values())]
            for one in session.annotation.objects
        ],
        "digest": digest.hexdigest(),
        "labels": [label.name for label in session.labels],
        "prompts": len(session.prompts),
        "preview": 0 if session.preview_mask is None else int(session.preview_mask.sum()),
        "view": [session.view.axis, session.view.index] if session.view else None,
        "undo": session.undo_text,
        "redo": session.redo_text,
    }


def click(window: MainWindow, x: float, y: float, *, button=LEFT) -> Callable[[], object]:
    """Click on an image point; true once the mask that answers it is on the screen."""
    view = window.slice_view
    wx, wy = view.transform.to_widget(x, y)
    QTest.mouseClick(view, button, NONE, QPoint(round(wx), round(wy)))
    return lambda: window.session.preview_is_current


def drag(window: MainWindow, start: tuple[float, float], end: tuple[float, float]) -> Callable[[], object]:
    view = window.slice_view
    a, b = (QPoint(*(round(v) for v in view.transform.to_widget(*at))) for at in (start, end))
    QTest.mousePress(view, LEFT, NONE, a)
    QTest.mouseMove(view, a + (b - a) / 2)
    QTest.mouseMove(view, b)
    QTest.mouseRelease(view, LEFT, NONE, b)
    return lambda: window.session.preview_is_current


def key(window: MainWindow, which: Key, modifier=NONE) -> None:
    window.activateWindow()
    QTest.keyClick(window.slice_view, which, modifier)


def size(window: MainWindow) -> tuple[int, int]:
    """Rows and columns of the slice."""
    assert window.session.volume is not None
    return window.session.volume.slice_shape()


def is_open(window: MainWindow) -> bool:
    return window.session.volume is not None and window.stack.currentIndex() == 1


def annotate(window: MainWindow, out: str) -> Script:
    """Click, commit, undo, redo, relabel, export; then leave prompts lying and wait to be killed."""
    yield lambda: is_open(window)
    session = window.session
    height, width = size(window)
    yield click(window, width * 0.5, height * 0.35)
    yield lambda: window.slice_view.last_event_to_paint_ms is not None
    say(step="clicked", ms_to_paint=window.slice_view.last_event_to_paint_ms, **state(window))
    yield click(window, width * 0.1, height * 0.1, button=RIGHT)
    key(window, Key.Key_Return)
    yield lambda: session.annotation.objects
    say(step="committed", **state(window))
    key(window, Key.Key_Z, CTRL)
    say(step="undone", **state(window))
    key(window, Key.Key_Z, CTRL | SHIFT)
    say(step="redone", **state(window))
    window.bridge.act(lambda s: s.add_label("Größe 2"))
    yield drag(window, (width * 0.75, height * 0.7), (width * 0.55, height * 0.45))
    key(window, Key.Key_Return)
    yield lambda: len(session.annotation.objects) == 2
    window.objects_panel.visible_wanted.emit(1, False)
    window.flows.export()
    dialog = window.flows.dialog
    assert isinstance(dialog, DatasetDialog)
    dialog.choose("coco", Path(out))
    dialog.go()
    yield lambda: dialog.report
    say(step="exported", report=dialog.report)
    dialog.reject()
    yield click(window, width * 0.3, height * 0.6)
    say(step="ready to be killed", **state(window))
    view = window.slice_view  # a gesture is under the finger when the process ends
    QTest.mousePress(view, LEFT, SHIFT, QPoint(*(round(v) for v in view.transform.to_widget(2, 2))))
    yield lambda: False


def look(window: MainWindow, out: str) -> Script:
    """Tell what is there, then undo all of it and redo all of it."""
    yield lambda: is_open(window)
    session = window.session
    yield lambda: session.preview_is_current
    say(step="reopened", **state(window))
    count = 0
    while session.can_undo:
        key(window, Key.Key_Z, CTRL)
        count += 1
    say(step="all undone", count=count, **state(window))
    while session.can_redo:
        key(window, Key.Key_Y, CTRL)
    yield lambda: session.preview_is_current
    say(step="all redone", **state(window))
    window.close()


def waiting(window: MainWindow, out: str) -> Script:
    """Open a volume and click on a slice far away from the first, long before it is ready."""
    yield lambda: is_open(window)
    session, view = window.session, window.slice_view
    key(window, Key.Key_End)
    for _ in range(40):
        key(window, Key.Key_PageUp)
    height, width = size(window)
    answered = click(window, width * 0.5, height * 0.5)
    QApplication.processEvents()
    say(step="clicked", waiting=session.waiting, ring=view.scene.waiting_at is not None, dots=len(view.scene.prompts))
    yield answered
    yield lambda: view.scene.waiting_at is None
    say(step="answered", ready=int(session.ready.sum()), of=len(session.ready), **state(window))
    key(window, Key.Key_Return, SHIFT)
    yield lambda: session.annotation.objects
    key(window, Key.Key_PageUp)
    yield click(window, width * 0.5, height * 0.5)
    key(window, Key.Key_Return)
    yield lambda: len(session.annotation.objects[0].masks) == 2
    say(step="two slices", **state(window))
    window.close()


SCRIPTS = {"annotate": annotate, "look": look, "waiting": waiting}


class Player:
    """Advances a script whenever what it waits for has come true."""

    def __init__(self, script: Callable[[MainWindow, str], Script], out: str) -> None:
        self._make, self._out = script, out
        self._script: Script | None = None
        self._awaited: Callable[[], object] = lambda: True
        self._since = time.monotonic()
        self._timer = QTimer(interval=3)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def _tick(self) -> None:
        window = next((w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow)), None)
        if window is None or not window.isVisible():
            return
        if window.errors:
            self._end(4, error=str(window.errors[0].error))
        if self._script is None:
            self._script = self._make(window, self._out)
        if self._awaited():
            self._since = time.monotonic()
            self._timer.stop()  # an event loop inside a step must not begin the next one
            try:
                self._awaited = next(self._script)
            except StopIteration:
                return
            self._timer.start()
        elif time.monotonic() - self._since > PATIENCE_S:
            self._end(3, error="that never happened")

    def _end(self, code: int, **facts: object) -> None:
        say(step="failed", **facts)
        os._exit(code)


def run(script: str, model: str, out: str, arguments: list[str]) -> int:
    if model == "fake":
        import maskwright.inference
        from tests.fakes import FakeSegmenter

        maskwright.inference.load_segmenter = lambda *_, **__: FakeSegmenter()  # type: ignore[assignment]
    application()
    player = Player(SCRIPTS[script], out)
    code = main(arguments)
    del player
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
