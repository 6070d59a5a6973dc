"""The only object that touches the session: verbs in, fine-grained signals out, failures caught in one place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt, Signal

from maskwright.core.errors import MaskwrightError
from maskwright.core.model_card import ModelCard
from maskwright.session.changes import Changes
from maskwright.session.session import Session
from maskwright.ui.actions import Situation

if TYPE_CHECKING:
    from maskwright.inference import Segmenter

_log = logging.getLogger(__name__)

MakeSession = Callable[[Callable[[Callable[[], None]], None], Callable[[Changes], None]], Session]
"""Builds the session from `post` and `on_changes`."""
LoadModel = Callable[[str], "Segmenter"]
"""Opens a model by id or folder, checked as a whole; called in a worker."""


class Bridge(QObject):
    """Carries out verbs on the main thread and tells the widgets which part to look at again.

    Everything that raises `MaskwrightError` ends in `failed`; nothing else is caught.
    """

    scan_changed = Signal()
    scans_changed = Signal()
    view_changed = Signal()
    prompts_changed = Signal()
    objects_changed = Signal()
    labels_changed = Signal()
    features_changed = Signal()
    history_changed = Signal()
    busy_changed = Signal()
    model_changed = Signal()  # another one answers
    preview_changed = Signal(object)  # rectangle (x0, y0, x1, y1)
    said = Signal(str)  # something to know
    done = Signal(str)  # something the user just did, such as an undo
    failed = Signal(object)  # MaskwrightError

    _posted = Signal(object)

    def __init__(self, make_session: MakeSession, *, load_model: LoadModel) -> None:
        super().__init__()
        self.asked_for: Path | None = None  # what the user opened and is not shown yet
        self._load_model = load_model
        self._closed = False
        self._posted.connect(self._run_posted, Qt.ConnectionType.QueuedConnection)
        self.session = make_session(self.post, self._apply)

    @property
    def card(self) -> ModelCard | None:
        """What the model in use is, once it is loaded."""
        return self.session.model_card

    def post(self, run: Callable[[], None]) -> None:
        """Run a function on the main thread later; callable from any thread, and a no-op after `close`."""
        if not self._closed:
            try:
                self._posted.emit(run)
            except RuntimeError:  # the window went while a worker was on its way
                _log.debug("posted after the end")

    def act(self, verb: Callable[[Session], Changes]) -> bool:
        """Carry out a verb and pass on what it changed; False when it failed, which `failed` has then told."""
        try:
            self.carry_out(verb)
        except MaskwrightError as error:
            self.failed.emit(error)
            return False
        return True

    def carry_out(self, verb: Callable[[Session], Changes]) -> None:
        """The same for a dialog that shows failures itself. Raises MaskwrightError."""
        self._apply(verb(self.session))

    def open(self, paths: list[Path]) -> None:
        """Open what lies at the paths in the background, as one list; what was open stays until that has worked."""
        if paths and self.act(lambda session: session.open_async(paths[0], also=paths[1:])):
            self.asked_for = paths[0].absolute()

    def use_model(self, model: str) -> None:
        """Let another model take over, loaded in the background; the one in use answers until then."""
        self.act(lambda session: session.use_model_async(partial(self._load_model, model), name=model))

    def step_scan(self, step: int) -> None:
        """Show the next (1) or previous (-1) scan of the list, in the background."""
        if step > 0:
            self.act(lambda session: session.next_scan(wait=False))
        else:
            self.act(lambda session: session.previous_scan(wait=False))

    def run_in_background(self, work: Callable[[], Any], done: Callable[[Any, MaskwrightError | None], None]) -> None:
        """Do work on a thread of its own; `done` gets its value or its failure on the main thread."""

        def run() -> None:
            try:
                value, failure = work(), None
            except MaskwrightError as error:
                value, failure = None, error
            except Exception as error:
                _log.exception("background work failed")
                value, failure = None, MaskwrightError(f"something unforeseen went wrong ({error})")
            self.post(lambda: done(value, failure))

        threading.Thread(target=run, name="background", daemon=True).start()

    def situation(self) -> Situation:
        """What the commands need to know."""
        session = self.session
        volume = session.volume
        return Situation(
            has_scan=volume is not None,
            is_volume=volume is not None and not volume.is_photo,
            many_slices=volume is not None and volume.n_slices() > 1,
            several_scans=len(session.scans) > 1,
            has_prompts=bool(session.prompts),
            has_preview=session.preview is not None or bool(session.prompts),
            has_objects=bool(session.annotation.objects),
            has_active_object=session.active_object is not None,
            can_undo=session.can_undo,
            can_redo=session.can_redo,
            takes_text=volume is not None and session.model_card is not None and "text" in session.model_card.prompts,
            n_labels=len(session.labels),
        )

    def close(self) -> None:
        """End the session; nothing arrives afterwards."""
        if not self._closed:
            self.session.close()
            self._closed = True

    def _run_posted(self, run: Callable[[], None]) -> None:
        if self._closed:
            return
        try:
            run()
        except MaskwrightError as error:
            self.failed.emit(error)

    def _apply(self, changes: Changes) -> None:
        signals = (
            (changes.model, self.model_changed),
            (changes.scan, self.scan_changed),
            (changes.scans, self.scans_changed),
            (changes.view and not changes.scan, self.view_changed),
            (changes.labels, self.labels_changed),
            (changes.objects, self.objects_changed),
            (changes.prompts, self.prompts_changed),
            (changes.features, self.features_changed),
            (changes.history, self.history_changed),
            (changes.busy, self.busy_changed),
        )
        if changes.preview is not None:
            self.preview_changed.emit(changes.preview)
        for changed, signal in signals:
            if changed:
                signal.emit()
        if changes.error is not None:
            self.failed.emit(changes.error)
        elif changes.message:
            (self.done if changes.history and not changes.scan else self.said).emit(changes.message)
