"""Move the picture under the pointer."""

from __future__ import annotations

from maskwright.ui.tools.gesture import Gesture, Host, Pointer


def pan(host: Host, press: Pointer) -> Gesture:
    """The point under the pointer stays under it."""
    last = press
    while True:
        event = yield
        host.pan(event.widget_xy[0] - last.widget_xy[0], event.widget_xy[1] - last.widget_xy[1])
        if event.phase == "release":
            return
        last = event
