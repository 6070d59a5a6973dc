"""Click says "this" or "not this"; a drag is a box."""

from __future__ import annotations

from maskwright.core.prompts import Point
from maskwright.ui.tools.gesture import DRAG_PX, Gesture, Host, Pointer, box_between


def smart(host: Host, press: Pointer) -> Gesture:
    """Left is the present sign, Shift + left and right are negative; a left drag in any direction is a box.

    The point is said on the press, so that its mask can be there before the button is up; a drag withdraws it.
    """
    if press.ctrl:
        host.pick_object(press.image_xy)
        return
    point = None
    negative = press.button == "right" or press.shift
    if host.is_inside(press.image_xy):
        point = Point(*press.image_xy, positive=host.sign and not negative)
        host.prompt(point)
    event = yield
    while event.phase == "move" and (negative or event.distance(press) < DRAG_PX):
        event = yield
    if event.phase == "release":
        return
    if point is not None:
        host.take_back(point)
    try:
        while event.phase == "move":
            host.show_box(box_between(host, press, event))
            event = yield
        box = box_between(host, press, event)
        if box is not None:
            host.prompt(box)
    finally:
        host.show_box(None)
