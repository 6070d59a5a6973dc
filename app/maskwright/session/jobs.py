"""Lanes: one worker thread each, latest wins. Frozen requests go in, values come back through `post`."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maskwright.core.errors import MaskwrightError

Post = Callable[[Callable[[], None]], None]
"""Runs a function on the main thread later; callable from any thread."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: its value, or the error; ``stale`` when a newer job was asked for meanwhile."""

    value: Any = None
    error: MaskwrightError | None = None
    stale: bool = False


@dataclass(frozen=True, slots=True)
class _Job:
    generation: int
    work: Callable[[], Any]
    done: Callable[[Outcome], None]


class Lane:
    """One thread that runs one job after the other.

    A job that waits is replaced by a newer one and never runs. A job that runs is finished, and its outcome is marked
    as stale if a newer one came. An exception in a job is an outcome like any other; the thread goes on.
    The methods belong to the main thread; ``work`` runs on the lane's own, ``done`` again on the main thread.
    """

    def __init__(self, name: str, post: Post) -> None:
        self.name = name
        self._post = post
        self._wake = threading.Condition()
        self._waiting: _Job | None = None
        self._running: _Job | None = None
        self._generation = 0
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs, waits, or has not been answered yet."""
        return self._waiting is not None or self._running is not None

    def submit(self, work: Callable[[], Any], done: Callable[[Outcome], None]) -> None:
        """Run ``work`` next; ``done`` gets its outcome. Does nothing after `stop`."""
        with self._wake:
            if self._stopped:
                return
            self._generation += 1
            self._waiting = _Job(self._generation, work, done)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"maskwright {self.name}", daemon=True)
                self._thread.start()
            self._wake.notify()

    def cancel(self) -> None:
        """Drop the job that waits and make the one that runs stale."""
        with self._wake:
            self._generation += 1
            self._waiting = None

    def stop(self, *, timeout_s: float = 10.0) -> bool:
        """End the thread after the job that runs; True when it ended in time. No outcome arrives after this call."""
        with self._wake:
            self._stopped = True
            self._waiting = None
            self._wake.notify()
        if self._thread is None or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting is not None or self._stopped)
                if self._stopped:
                    return
                job, self._waiting = self._waiting, None
                self._running = job
            assert job is not None
            value, error = None, None
            try:
                value = job.work()
            except BaseException as raised:  # a dead thread would leave the user waiting without a word
                error = plain(raised, during=self.name)
            self._post(lambda job=job, value=value, error=error: self._answer(job, value, error))
            del job, value, error  # a waiting thread would otherwise keep a whole scan alive

    def _answer(self, job: _Job, value: Any, error: MaskwrightError | None) -> None:
        with self._wake:
            if self._running is job:
                self._running = None
            if self._stopped:
                return
            stale = job.generation != self._generation
        job.done(Outcome(value, error, stale))


def plain(error: BaseException, *, during: str) -> MaskwrightError:
    """What a worker raised, as an error that can be shown; what nobody foresaw also goes to the log, with its trace."""
    if isinstance(error, MaskwrightError):
        return error
    if isinstance(error, MemoryError):
        return MaskwrightError(f"not enough memory to {during}", hint="Close other programs and try again.")
    _log.error("the lane %r failed", during, exc_info=error)
    return MaskwrightError(
        f"could not {during} ({type(error).__name__}: {error})", hint="Please report this; nothing is lost."
    )
