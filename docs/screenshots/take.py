"""Takes the screenshots of the documentation: ``python docs/screenshots/take.py [FOLDER]``.

It starts the real window on the bundled samples with the default model, clicks as a user would, and saves what is on
the screen. No display is needed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["MASKWRIGHT_HOME"] = tempfile.mkdtemp(prefix="maskwright-screenshots-")

import onnxruntime  # noqa: E402, F401 (before Qt, as the program does it)
from PySide6.QtCore import QPoint, Qt  # noqa: E402
from PySide6.QtGui import QFont, QFontDatabase  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402
from PySide6.QtWidgets import QApplication  # noqa: E402

from maskwright.assets import sample_photo, sample_volume  # noqa: E402
from maskwright.core.volume import View  # noqa: E402
from maskwright.ui.app import application, build_window, segmenter_source  # noqa: E402
from maskwright.ui.main_window import MainWindow  # noqa: E402
from maskwright.ui.theme import DARK, LIGHT, Tokens, apply_theme  # noqa: E402

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
PATIENCE_S = 300.0


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    app = application()
    if "Inter" in QFontDatabase.families():
        app.setFont(QFont("Inter", 10))
    welcome(folder / "welcome.png")
    photo(folder / "photo.png")
    volume(folder / "window.png")
    return 0


def welcome(path: Path) -> None:
    window = shown(LIGHT)
    save(window, path)


def photo(path: Path) -> None:
    window = shown(LIGHT)
    session = window.session
    window.bridge.open([sample_photo()])
    until(lambda: session.ready.size and session.ready.all())
    window.bridge.act(lambda s: s.rename_label(1, "Cup and saucer"))
    window.bridge.act(lambda s: s.add_label("Table"))
    press(window, Qt.Key.Key_1)
    for x, y, button in ((290, 120, LEFT), (150, 280, LEFT), (300, 310, LEFT), (115, 340, RIGHT)):
        click(window, x, y, button)
    save(window, path)


def volume(path: Path) -> None:
    window = shown(DARK)
    session = window.session
    window.bridge.open([sample_volume()])
    until(lambda: session.volume is not None)
    window.bridge.act(lambda s: s.set_view(View(0, 94)))
    window.bridge.act(lambda s: s.rename_label(1, "Lateral ventricles"))
    until(lambda: session.ready.sum() >= 12 and session.ready[94])
    for index in (95, 94):
        window.bridge.act(lambda s, index=index: s.set_view(View(0, index)))
        click(window, 88, 119)
        click(window, 109, 119)
        click(window, 98, 119, RIGHT)
        click(window, 88, 135)
        click(window, 108, 135)
        if index == 95:
            press(window, Qt.Key.Key_Return)
            until(lambda: session.annotation.objects)
            window.bridge.act(lambda s: s.set_active_object(1))
    QTest.mouseMove(window.slice_view, place(window, 109, 119))
    save(window, path)


def shown(tokens: Tokens) -> MainWindow:
    apply_theme(tokens)
    window = build_window(load=segmenter_source("default"))
    window.resize(1280, 820)
    window.show()
    until(window.isVisible)
    return window


def place(window: MainWindow, x: float, y: float) -> QPoint:
    wx, wy = window.slice_view.transform.to_widget(x, y)
    return QPoint(round(wx), round(wy))


def click(window: MainWindow, x: float, y: float, button: Qt.MouseButton = LEFT) -> None:
    QTest.mouseClick(window.slice_view, button, Qt.KeyboardModifier.NoModifier, place(window, x, y))
    until(lambda: window.session.preview_is_current)


def press(window: MainWindow, key: Qt.Key) -> None:
    window.activateWindow()
    QTest.keyClick(window.slice_view, key)


def until(done: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("the window never came to that")
        QApplication.processEvents()
        time.sleep(0.002)
    QApplication.processEvents()


def save(window: MainWindow, path: Path) -> None:
    end = time.monotonic() + 3.5  # the news in the status line has gone by then
    until(lambda: time.monotonic() > end)
    if window.errors:
        raise RuntimeError(str(window.errors[0].error))
    if not window.grab().save(str(path)):
        raise OSError(f"cannot write {path}")
    print(path)
    window.close()


if __name__ == "__main__":
    sys.exit(main())
