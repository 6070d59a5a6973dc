"""Stop: asks work on another thread to give way soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """The work gave way before it was done, because it was asked to."""


class Stop:
    """A wish that can be made once, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._event = threading.Event()
        self._calls: list[Callable[[], None]] = []

    @property
    def is_set(self) -> bool:
        """Whether the work is to give way."""
        return self._event.is_set()

    def set(self) -> None:
        """Ask the work to give way. Returns at once; asking twice is fine."""
        with self._lock:
            self._event.set()
            for call in self._calls:
                call()

    def check(self) -> None:
        """Raise Stopped if the work is to give way."""
        if self.is_set:
            raise Stopped

    def rest(self, seconds: float) -> None:
        """Do nothing for a while; raises Stopped as soon as the work is to give way."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Have ``call`` run, on the thread that asks, if the wish comes (or came) before the block is left."""
        with self._lock:
            self._calls.append(call)
            if self.is_set:
                call()
        try:
            yield
        finally:
            with self._lock:
                self._calls.remove(call)
