"""The time an adaptation may take, all of it together."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds from now on; ``now`` gives the time in seconds."""

    def __init__(self, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._now = now
        self._start = now()

    @property
    def used(self) -> float:
        """Seconds since the start."""
        return self._now() - self._start

    @property
    def share(self) -> float:
        """Part of the time that is used, 1 and more when it is over."""
        return self.used / self.seconds if self.seconds > 0 else 1.0
