from __future__ import annotations

from typing import Any

from maskwright.core.prompts import Box, Point
from maskwright.ui.tools.box import box
from maskwright.ui.tools.gesture import Gesture, Pointer, Start
from maskwright.ui.tools.pan import pan
from maskwright.ui.tools.smart import smart
from maskwright.ui.tools.table import TOOLS, tool_by_id
from maskwright.ui.tools.window_level import window_level


class Notes:
    """A host that writes down what a gesture does; widget px are ten times image px."""

    def __init__(self, sign: bool = True) -> None:
        self.sign = sign
        self.said: list[object] = []
        self.box: Box | None = None

    def is_inside(self, image_xy) -> bool:
        return all(-0.5 <= v < 99.5 for v in image_xy)

    def clamped(self, image_xy):
        return min(max(image_xy[0], -0.5), 99.5), min(max(image_xy[1], -0.5), 99.5)

    def prompt(self, prompt) -> None:
        self.said.append(prompt)

    def take_back(self, prompt) -> None:
        self.said.append(("back", prompt))

    def show_box(self, box) -> None:
        self.box = box

    def pan(self, dx, dy) -> None:
        self.said.append((dx, dy))

    def change_window(self, dx, dy) -> None:
        self.said.append((dx, dy))

    def pick_object(self, image_xy) -> None:
        self.said.append(("pick", image_xy))


def pointer(phase, x, y, *, button: Any = "left", **held: Any) -> Pointer:
    return Pointer(phase, (10 * x, 10 * y), (x, y), button, **held)


def play(start: Start, host: Notes, path, *, button: Any = "left", release: bool = True, **held: Any) -> Gesture:
    """Press at the first point, move through the rest, release at the last."""
    gesture = start(host, pointer("press", *path[0], button=button, **held))
    try:
        next(gesture)
        for point in path[1:]:
            gesture.send(pointer("move", *point, button=button, **held))
        if release:
            gesture.send(pointer("release", *path[-1], button=button, **held))
    except StopIteration:
        pass
    return gesture


def test_a_click_is_a_positive_point_and_is_said_on_the_press():
    host = Notes()
    play(smart, host, [(30.0, 40.0)], release=False)
    assert host.said == [Point(30.0, 40.0, positive=True)]


def test_right_click_and_shift_click_are_negative():
    for button, shift in (("right", False), ("left", True)):
        host = Notes()
        play(smart, host, [(30.0, 40.0)], button=button, shift=shift)
        assert host.said == [Point(30.0, 40.0, positive=False)]


def test_the_sign_turns_a_plain_click_negative_and_leaves_the_right_button_negative():
    for button in ("left", "right"):
        host = Notes(sign=False)
        play(smart, host, [(30.0, 40.0)], button=button)
        assert host.said == [Point(30.0, 40.0, positive=False)]


def test_a_hand_that_trembles_still_clicks():
    host = Notes()
    play(smart, host, [(30.0, 40.0), (30.3, 40.3), (30.5, 40.2)])
    assert host.said == [Point(30.0, 40.0)]


def test_a_drag_in_any_direction_is_the_same_box_and_withdraws_the_point():
    corners = [(20.0, 30.0), (50.0, 60.0)]
    for a, b in (corners, corners[::-1], [(20.0, 60.0), (50.0, 30.0)], [(50.0, 30.0), (20.0, 60.0)]):
        host = Notes()
        play(smart, host, [a, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), b])
        assert host.said == [Point(*a), ("back", Point(*a)), Box(20.5, 30.5, 50.5, 60.5)]
        assert host.box is None


def test_a_box_is_cut_to_the_slice():
    host = Notes()
    play(smart, host, [(90.0, 90.0), (95.0, 120.0), (150.0, 130.0)])
    assert host.said[-1] == Box(90.5, 90.5, 100.0, 100.0)


def test_a_drag_from_outside_is_a_box_without_a_point():
    host = Notes()
    play(smart, host, [(-5.0, 10.0), (20.0, 20.0), (30.0, 40.0)])
    assert host.said == [Box(0.0, 10.5, 30.5, 40.5)]


def test_a_click_outside_says_nothing():
    host = Notes()
    play(smart, host, [(-5.0, 10.0)])
    assert host.said == []


def test_a_negative_drag_stays_a_point():
    host = Notes()
    play(smart, host, [(20.0, 20.0), (40.0, 40.0)], button="right")
    assert host.said == [Point(20.0, 20.0, positive=False)]


def test_ctrl_click_picks_an_object():
    host = Notes()
    play(smart, host, [(20.0, 20.0)], ctrl=True)
    assert host.said == [("pick", (20.0, 20.0))]


def test_a_cancelled_box_leaves_nothing_on_the_screen():
    host = Notes()
    gesture = play(box, host, [(20.0, 20.0), (40.0, 40.0)], release=False)
    assert host.box == Box(20.5, 20.5, 40.5, 40.5)
    gesture.close()
    assert host.box is None
    assert host.said == []


def test_the_box_tool_ignores_a_click_and_a_return_to_the_start():
    for path in ([(20.0, 20.0)], [(20.0, 20.0), (40.0, 40.0), (20.1, 20.1)]):
        host = Notes()
        play(box, host, path)
        assert host.said == []


def test_pan_and_window_pass_on_each_step_and_the_release():
    for start in (pan, window_level):
        host = Notes()
        play(start, host, [(0.0, 0.0), (1.0, 2.0), (3.0, 2.0)])
        assert host.said == [(10.0, 20.0), (20.0, 0.0), (0.0, 0.0)]


def test_every_tool_has_an_id_of_its_own():
    assert len({tool.id for tool in TOOLS}) == len(TOOLS)
    assert tool_by_id("box").start is box
