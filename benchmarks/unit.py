"""The unit of this machine: ten 1024 x 1024 float32 matrix products, so that figures of two machines compare."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np


def unit_ms() -> float:
    """Median time of ten products over five tries, milliseconds."""
    a = np.random.default_rng(0).random((1024, 1024), np.float32)

    def ten() -> None:
        for _ in range(10):
            np.matmul(a, a)

    return median_ms(ten, repeat=5)


def median_ms(work: Callable[[], object], *, repeat: int, warm_up: int = 1) -> float:
    """Median of ``repeat`` runs after ``warm_up`` unmeasured ones, milliseconds."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)
