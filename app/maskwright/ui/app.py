"""Builds the parts and runs the window: the only place where the window's dependencies meet."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

from maskwright.core.errors import MaskwrightError
from maskwright.session.changes import Changes
from maskwright.session.jobs import Post
from maskwright.session.models import load_whole
from maskwright.session.project import Project, default_store_root
from maskwright.session.session import Session
from maskwright.session.settings import Settings
from maskwright.ui.bridge import Bridge
from maskwright.ui.icons import app_icon
from maskwright.ui.main_window import MainWindow
from maskwright.ui.theme import apply_theme, system_tokens, tokens_of
from maskwright.ui.window_settings import WindowSettings

if TYPE_CHECKING:
    from maskwright.inference import Segmenter

_log = logging.getLogger(__name__)


def run(
    paths: Sequence[Path] = (),
    *,
    project: Path | None = None,
    model: str = "default",
    store: Path | None = None,
    threads: int | None = None,
    store_budget_bytes: int | None = None,
    ready: Callable[[MainWindow], None] | None = None,
) -> int:
    """Show the window, open the paths and stay until it is closed.

    Parameters
    ----------
    paths
        Scans, photos or folders to open at once.
    project
        Project folder; by default each path has one of its own.
    model, threads
        Model id or folder, and how many threads it may use.
    store, store_budget_bytes
        Folder of the stored features, and how much all of them may take, None for no limit.
    ready
        Called with the window when it is on the screen, before anything is opened; benchmarks and tests drive it here.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    MaskwrightError
        The project that was asked for cannot be used.
    """
    app = application()
    window = build_window(
        load=segmenter_source(model, threads=threads),
        model=model,
        threads=threads,
        project=project,
        store=store,
        store_budget_bytes=store_budget_bytes,
    )
    window.show()
    signal.signal(signal.SIGINT, lambda *_: window.close())
    wake = QTimer(interval=200)  # lets Python see Ctrl-C while Qt waits
    wake.timeout.connect(lambda: None)
    wake.start()
    if paths:
        QTimer.singleShot(0, lambda: window.bridge.open(list(paths)))
    if ready is not None:
        QTimer.singleShot(0, lambda: ready(window))
    code = app.exec()
    window.bridge.close()
    return code


def application() -> QApplication:
    """The Qt application in the theme of the desktop, made on the first call; follows the desktop when that changes."""
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    if app.property("maskwright_theme") is None:
        app.setApplicationName("maskwright")
        app.setDesktopFileName("maskwright")
        app.setWindowIcon(app_icon())
        apply_theme(tokens_of(Settings().get("theme")))
        app.styleHints().colorSchemeChanged.connect(lambda _: follow_theme(app))
    return app


def follow_theme(app: QApplication) -> None:
    """Give all windows the theme that the desktop now asks for, unless the user chose one."""
    if Settings().get("theme") != "system":
        return
    apply_theme(system_tokens())
    for widget in app.topLevelWidgets():
        if isinstance(widget, MainWindow):
            widget.retheme()


def segmenter_source(model: str, *, threads: int | None = None) -> Callable[[], Segmenter]:
    """What loads the model when the first scan is opened, in a worker."""

    def load() -> Segmenter:
        from maskwright.inference import load_segmenter

        return load_segmenter(model, threads=threads)

    return load


def build_window(
    *,
    load: Callable[[], Segmenter],
    model: str = "default",
    threads: int | None = None,
    project: Path | None = None,
    store: Path | None = None,
    store_budget_bytes: int | None = None,
) -> MainWindow:
    """The window with its session, not shown yet; ``load`` opens ``model`` when the first scan is.

    Raises MaskwrightError when the project cannot be used.
    """
    opened = None if project is None else Project.open(project)
    settings = Settings()

    def make(post: Post, on_changes: Callable[[Changes], None]) -> Session:
        return Session(
            project=opened,
            segmenter=load,
            model=model,
            store_root=store or Path(settings.get("store_folder") or default_store_root()),
            post=post,
            on_changes=on_changes,
            store_budget_bytes=store_budget_bytes,
            encode_ahead=settings.get("encode_ahead"),
        )

    try:
        bridge = Bridge(make, load_model=partial(load_whole, threads=threads))
        return MainWindow(bridge, WindowSettings(settings))
    except MaskwrightError:
        if opened is not None:
            opened.close()
        raise
