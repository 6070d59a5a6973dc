"""Brightness and contrast of a scan by dragging; the model never sees the difference."""

from __future__ import annotations

from maskwright.ui.tools.gesture import Gesture, Host, Pointer


def window_level(host: Host, press: Pointer) -> Gesture:
    """Right widens the window, up raises the brightness."""
    last = press
    while True:
        event = yield
        host.change_window(event.widget_xy[0] - last.widget_xy[0], event.widget_xy[1] - last.widget_xy[1])
        if event.phase == "release":
            return
        last = event
