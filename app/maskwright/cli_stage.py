"""Runs a session without a window: waits for its workers on the main thread."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from maskwright.core.errors import MaskwrightError

if TYPE_CHECKING:
    from maskwright.session.changes import Changes

SLOWEST_SECONDS = 600.0


@dataclass(slots=True)
class Stage:
    """What a session without a window stands on: workers hand their answers to a queue, and whoever waits runs them."""

    waiting: queue.SimpleQueue[Callable[[], None]] = field(default_factory=queue.SimpleQueue)
    error: MaskwrightError | None = None

    def post(self, work: Callable[[], None]) -> None:
        """Run this when somebody waits; called by the workers."""
        self.waiting.put(work)

    def on_changes(self, changes: Changes) -> None:
        """Keep the first failure."""
        self.error = self.error or changes.error

    def until(self, reached: Callable[[], bool]) -> None:
        """Run what the workers answer until this holds. Raises their MaskwrightError, or one after ten minutes."""
        end = time.monotonic() + SLOWEST_SECONDS
        while not reached():
            try:
                self.waiting.get(timeout=max(0.0, end - time.monotonic()))()
            except queue.Empty:
                raise MaskwrightError("nothing was answered for ten minutes", hint="Run maskwright doctor.") from None
            if self.error is not None:
                raise self.error
