"""A box round the object, by drag in any direction."""

from __future__ import annotations

from maskwright.ui.tools.gesture import DRAG_PX, Gesture, Host, Pointer, box_between


def box(host: Host, press: Pointer) -> Gesture:
    """Drag from corner to corner; a mere click does nothing. Dragging back to the start withdraws the box."""
    if press.button != "left":
        return
    try:
        event = yield
        while event.phase == "move":
            host.show_box(box_between(host, press, event))
            event = yield
        found = box_between(host, press, event)
        if found is not None and event.distance(press) >= DRAG_PX:
            host.prompt(found)
    finally:
        host.show_box(None)
