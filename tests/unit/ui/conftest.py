"""A window over a fake segmenter, and the means to drive it like a user."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from maskwright.core.errors import MaskwrightError
from maskwright.session.changes import Changes
from maskwright.session.session import Session
from maskwright.ui import app as ui_app
from maskwright.ui.bridge import Bridge
from maskwright.ui.main_window import MainWindow
from maskwright.ui.window_settings import WindowSettings
from tests.fakes import FakeSegmenter, MemoryStores

NONE = Qt.KeyboardModifier.NoModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL = Qt.KeyboardModifier.ControlModifier
LEFT, RIGHT, MIDDLE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton


@pytest.fixture(scope="session")
def qt() -> QApplication:
    return ui_app.application()


def until(done: Callable[[], object], *, seconds: float = 15.0) -> None:
    """Let Qt work until something is true; fails when it never is."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "that never happened"
        QApplication.processEvents()
        time.sleep(0.001)
    QApplication.processEvents()


@dataclass
class Driver:
    """A window and what a user does with mouse and keys, in image pixels."""

    window: MainWindow
    segmenter: FakeSegmenter
    stores: MemoryStores
    models: dict[str, FakeSegmenter | MaskwrightError]  # what loading another model gives

    @property
    def session(self) -> Session:
        return self.window.session

    @property
    def view(self):
        return self.window.slice_view

    def at(self, x: float, y: float) -> QPoint:
        wx, wy = self.view.transform.to_widget(x, y)
        return QPoint(round(wx), round(wy))

    def open(self, path: Path, *, ready: bool = True) -> None:
        self.window.bridge.open([path])
        until(lambda: self.session.scan is not None and self.session.scan.path == path or self.window.errors)
        if ready:
            until(lambda: not self.session.ready.size or self.session.ready.all())

    def click(self, x: float, y: float, *, button=LEFT, modifier=NONE, wait: bool = True) -> None:
        QTest.mouseClick(self.view, button, modifier, self.at(x, y))
        if wait:
            until(lambda: self.session.preview_is_current)

    def drag(self, start, end, *, button=LEFT, modifier=NONE, wait: bool = True) -> None:
        a, b = self.at(*start), self.at(*end)
        QTest.mousePress(self.view, button, modifier, a)
        for i in (1, 2, 3, 4):
            QTest.mouseMove(self.view, a + (b - a) * i / 4)
        QTest.mouseRelease(self.view, button, modifier, b)
        if wait:
            until(lambda: self.session.preview_is_current)

    def key(self, key, modifier=NONE) -> None:
        if not self.window.isActiveWindow():  # after a dialog the window manager does this
            self.window.activateWindow()
            until(self.window.isActiveWindow)
        QTest.keyClick(self.view, key, modifier)
        QApplication.processEvents()

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """Colour on the screen at an image point."""
        color = self.view.grab().toImage().pixelColor(self.at(x, y))
        return color.red(), color.green(), color.blue()


@pytest.fixture
def driver(qt: QApplication, tmp_path: Path) -> Iterator[Driver]:
    segmenter, stores = FakeSegmenter(), MemoryStores()

    def make(post, on_changes: Callable[[Changes], None]) -> Session:
        return Session(
            project=None,
            segmenter=segmenter,
            store_root=tmp_path / "store",
            post=post,
            on_changes=on_changes,
            open_store=stores,
        )

    models: dict[str, FakeSegmenter | MaskwrightError] = {}

    def load_model(model: str) -> FakeSegmenter:
        found = models[model]
        if isinstance(found, MaskwrightError):
            raise found
        return found

    window = MainWindow(Bridge(make, load_model=load_model), WindowSettings())
    window.resize(1000, 720)
    window.show()
    until(window.isVisible)
    yield Driver(window, segmenter, stores, models)
    segmenter.gate.set()
    segmenter.head_gate.set()
    segmenter.doubt_gate.set()
    for dialog in [*window.errors, window.flows.dialog]:
        if dialog is not None:
            dialog.close()
    window.close()
    window.deleteLater()
    QApplication.processEvents()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A grey photo of 200 x 150 px, 100 everywhere."""
    path = tmp_path / "photo ü.png"
    ok, data = cv2.imencode(".png", np.full((150, 200, 3), 100, np.uint8))
    assert ok
    path.write_bytes(data.tobytes())
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of three photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in (1, 2, 10):
        ok, data = cv2.imencode(".png", np.full((60, 80, 3), 20 * i, np.uint8))
        assert ok
        (folder / f"p{i}.png").write_bytes(data.tobytes())
    return folder


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume of 9 slices of 40 x 60, spacing 3 x 1 x 2 mm (z, y, x); the value is 100 z + y."""
    import SimpleITK

    voxels = (np.arange(9)[:, None, None] * 100 + np.arange(40)[None, :, None] + np.zeros((1, 1, 60))).astype(np.int16)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetSpacing((2.0, 1.0, 3.0))
    path = tmp_path / "volume.nii.gz"
    SimpleITK.WriteImage(image, str(path))
    return path


def named_widgets(root: QWidget) -> list[QWidget]:
    """All widgets under one that a user can reach."""
    return [root, *root.findChildren(QWidget)]
