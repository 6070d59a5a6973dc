"""Runs the C++ readers without the warnings they write past Python onto the user's terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

# The descriptors belong to the process, so two readers must not save and restore them crosswise.
_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send what native code writes to the standard error and output to nowhere, and ITK's warnings with it.

    What matters of it reaches the user as a ScanError. Python's own output to the same descriptors is lost meanwhile,
    also from other threads: keep the block short.
    """
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    with _ONE_AT_A_TIME, _descriptors_to_nowhere():
        yield


@contextlib.contextmanager
def _descriptors_to_nowhere() -> Iterator[None]:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    saved: list[tuple[int, int]] = []
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except OSError:
        yield
        return
    try:
        for descriptor in (1, 2):
            with contextlib.suppress(OSError):  # a windowed program may have no terminal at all
                saved.append((descriptor, os.dup(descriptor)))
                os.dup2(nowhere, descriptor)
        yield
    finally:
        for descriptor, original in saved:
            os.dup2(original, descriptor)
            os.close(original)
        os.close(nowhere)
