"""The Qt binding itself: PySide6 6.12.0 lost a reference to None with every void call, until Python died of it."""

from __future__ import annotations

import sys

from PySide6.QtGui import QPen


def test_void_calls_do_not_use_up_none(qt):
    pen = QPen()
    before = sys.getrefcount(None)
    for _ in range(500):
        pen.setCosmetic(True)
    assert abs(sys.getrefcount(None) - before) < 50
