"""The window as a user meets it, over a fake model: clicks, keys, slices, waiting."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from maskwright.core.prompts import Box, Point
from maskwright.core.volume import View
from tests.unit.ui.conftest import CTRL, LEFT, MIDDLE, NONE, RIGHT, SHIFT, until

Key = Qt.Key


def wheel(view, at: QPoint, notches: int, modifier=NONE) -> None:
    event = QWheelEvent(
        QPointF(at),
        QPointF(view.mapToGlobal(at)),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        modifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(view, event)


def test_an_empty_window_says_what_to_do(driver):
    assert driver.window.welcome.isVisible()
    assert not driver.window.sidebar.isVisible()
    assert driver.window.status_line.texts == ("Open a scan or a photo to begin.",)


def test_one_click_is_one_head_run_and_no_encode(driver, photo):
    driver.open(photo)
    assert driver.segmenter.encoded == 1
    driver.click(100, 75)
    assert driver.segmenter.segmented == 1
    assert driver.segmenter.encoded == 1
    (point,) = driver.session.prompts.items
    assert isinstance(point, Point) and point.positive
    assert (point.x, point.y) == pytest.approx((100, 75), abs=0.5)
    assert driver.session.preview_mask[75, 100]


def test_the_mask_is_painted_where_it_is_and_nowhere_else(driver, photo):
    driver.open(photo)
    before = driver.pixel(100, 67), driver.pixel(130, 67)
    driver.click(100, 75)
    assert driver.pixel(100, 67) != before[0]
    assert driver.pixel(130, 67) == before[1]


def test_the_time_from_click_to_painted_mask_is_told_once_a_click(driver, photo):
    driver.open(photo)
    told = []
    driver.view.event_to_paint.connect(told.append)
    driver.click(100, 75)
    until(lambda: told)
    driver.view.repaint()
    assert len(told) == 1
    assert driver.view.last_event_to_paint_ms == told[0] > 0
    driver.drag((20, 20), (60, 60))
    until(lambda: len(told) == 2)


def test_a_preview_repaints_only_its_own_rectangle(driver, photo):
    driver.open(photo)
    painted = []
    original = driver.view.paintEvent

    def spy(event):
        painted.extend(event.region())
        original(event)

    driver.click(20, 20, button=RIGHT)  # an empty mask; brings the prompt bar, which floats over the view
    driver.view.paintEvent = spy
    driver.click(100, 75)
    until(lambda: painted)
    reach = 14 * driver.view.transform.zoom
    bar = driver.window.prompt_bar.geometry().adjusted(-8, -8, 8, 8)  # it grows with its text
    for rect in painted:
        assert bar.contains(rect) or (rect.width() <= 2 * reach and rect.height() <= 2 * reach)
    assert reach * 2 < driver.view.width() / 2


def test_right_and_shift_clicks_are_negative(driver, photo):
    driver.open(photo)
    driver.click(100, 75)
    driver.click(60, 75, button=RIGHT)
    driver.click(60, 40, modifier=SHIFT)
    assert [p.positive for p in driver.session.prompts] == [True, False, False]


def test_t_turns_the_sign_of_a_plain_click(driver, photo):
    driver.open(photo)
    driver.key(Key.Key_T)
    driver.click(100, 75)
    assert [p.positive for p in driver.session.prompts] == [False]
    driver.key(Key.Key_T)
    driver.click(60, 75)
    assert [p.positive for p in driver.session.prompts] == [False, True]


@pytest.mark.parametrize(("start", "end"), [((40, 30), (90, 80)), ((90, 80), (40, 30)), ((40, 80), (90, 30))])
def test_a_drag_is_one_box_and_one_undo_step(driver, photo, start, end):
    driver.open(photo)
    driver.drag(start, end)
    (box,) = driver.session.prompts.items
    assert isinstance(box, Box)
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((40.5, 30.5, 90.5, 80.5), abs=0.6)
    driver.key(Key.Key_Z, CTRL)
    assert not driver.session.prompts
    assert not driver.session.can_undo


def test_the_box_tool_ignores_clicks(driver, photo):
    driver.open(photo)
    driver.key(Key.Key_B)
    driver.click(100, 75)
    assert not driver.session.prompts
    driver.drag((40, 30), (90, 80))
    assert len(driver.session.prompts) == 1
    driver.key(Key.Key_P)
    driver.click(100, 75)
    assert len(driver.session.prompts) == 2


def test_enter_commits_with_the_active_label_escape_clears(driver, photo):
    driver.open(photo)
    driver.window.bridge.act(lambda s: s.add_label("Liver"))
    driver.key(Key.Key_1)
    driver.click(100, 75)
    driver.key(Key.Key_Return)
    driver.key(Key.Key_2)
    driver.click(50, 75)
    driver.key(Key.Key_Enter)
    names = [driver.session.labels.get(o.label_id).name for o in driver.session.annotation.objects]
    assert names == ["Object", "Liver"]
    driver.click(150, 75)
    driver.key(Key.Key_Escape)
    assert not driver.session.prompts
    assert len(driver.session.annotation.objects) == 2


def test_undo_and_redo_by_all_their_keys(driver, photo):
    driver.open(photo)
    driver.click(100, 75)
    driver.key(Key.Key_Return)
    assert len(driver.session.annotation.objects) == 1
    driver.key(Key.Key_Z, CTRL)
    assert (len(driver.session.annotation.objects), len(driver.session.prompts)) == (0, 1)
    driver.key(Key.Key_Z, CTRL)
    assert len(driver.session.prompts) == 0
    driver.key(Key.Key_Z, CTRL | SHIFT)
    assert len(driver.session.prompts) == 1
    driver.key(Key.Key_Y, CTRL)
    assert len(driver.session.annotation.objects) == 1
    assert driver.window.actions_["edit.undo"].text() == "Undo commit Object"


def test_shift_enter_goes_on_with_the_same_object(driver, volume):
    driver.open(volume)
    driver.click(30, 20)
    driver.key(Key.Key_Return, SHIFT)
    assert driver.session.active_object == 1
    driver.key(Key.Key_PageDown)
    driver.click(30, 20)
    driver.key(Key.Key_Return)
    (one,) = driver.session.annotation.objects
    assert [view.index for view in one.masks] == [4, 5]
    driver.key(Key.Key_N)
    assert driver.session.active_object is None


def test_keys_the_wheel_and_the_bar_go_through_the_slices(driver, volume):
    driver.open(volume)
    assert driver.session.view == View(0, 4)
    for key, index in (
        (Key.Key_PageDown, 5),
        (Key.Key_Down, 6),
        (Key.Key_PageUp, 5),
        (Key.Key_Up, 4),
        (Key.Key_Home, 0),
        (Key.Key_Up, 0),
        (Key.Key_End, 8),
    ):
        driver.key(key)
        assert driver.session.view.index == index
    wheel(driver.view, driver.at(30, 20), 2)
    assert driver.session.view.index == 6
    driver.window.slice_bar.slider.setValue(1)
    assert driver.session.view.index == 1
    assert driver.window.slice_bar.slider.value() == 1


def test_each_slice_shows_its_own_pixels(driver, volume):
    driver.open(volume)
    driver.key(Key.Key_Home)
    dark = driver.pixel(30, 20)
    driver.key(Key.Key_End)
    assert driver.pixel(30, 20)[0] > dark[0] + 100


def test_ctrl_wheel_zooms_to_the_pointer(driver, volume):
    driver.open(volume)
    at = driver.at(10, 30)
    before, zoom = driver.view.transform.to_image(at.x(), at.y()), driver.view.transform.zoom
    wheel(driver.view, at, 3, CTRL)
    assert driver.view.transform.zoom == pytest.approx(zoom * 1.18**3)
    assert driver.view.transform.to_image(at.x(), at.y()) == pytest.approx(before)
    assert driver.session.view.index == 4


def test_the_plain_wheel_zooms_a_photo(driver, photo):
    driver.open(photo)
    zoom = driver.view.transform.zoom
    wheel(driver.view, driver.at(100, 75), 1)
    assert driver.view.transform.zoom > zoom
    driver.key(Key.Key_F)
    assert driver.view.transform.zoom == pytest.approx(zoom)


def test_pixels_have_their_shape_in_millimetres(driver, volume):
    driver.open(volume)
    assert driver.view.transform.scale_x == pytest.approx(2 * driver.view.transform.scale_y)


def test_middle_drag_and_space_drag_move_the_picture_and_say_nothing(driver, photo):
    driver.open(photo)
    for space in (False, True):
        before = driver.view.transform
        if space:
            QTest.keyPress(driver.view, Key.Key_Space)
        start = driver.at(100, 75)
        button = LEFT if space else MIDDLE
        QTest.mousePress(driver.view, button, NONE, start)
        QTest.mouseMove(driver.view, start + QPoint(30, 20))
        QTest.mouseRelease(driver.view, button, NONE, start + QPoint(40, 20))
        if space:
            QTest.keyRelease(driver.view, Key.Key_Space)
        assert driver.view.transform.offset_x == pytest.approx(before.offset_x + 40)
        assert driver.view.transform.offset_y == pytest.approx(before.offset_y + 20)
    assert not driver.session.prompts


def test_a_click_on_a_slice_that_is_not_ready_waits_visibly_and_goes_first(driver, volume):
    driver.segmenter.gate.clear()
    driver.open(volume, ready=False)
    driver.key(Key.Key_Home)
    driver.click(30, 20, wait=False)
    assert driver.session.waiting
    assert driver.view.scene.waiting_at == pytest.approx((30, 20), abs=0.5)
    assert driver.view.scene.prompts == driver.session.prompts.items
    assert driver.window.prompt_bar.isVisible()
    assert "Preparing this slice; the mask follows." in driver.window.status_line.texts
    driver.segmenter.gate.set()
    until(lambda: driver.session.preview_is_current)
    assert driver.view.scene.waiting_at is None
    assert driver.view.scene.preview is not None
    order = driver.stores.only.writes
    assert order.index(View(0, 0)) <= 1  # after at most the one that was under way


def test_the_window_answers_while_the_encoder_works(driver, volume):
    driver.segmenter.gate.clear()
    driver.open(volume, ready=False)
    driver.key(Key.Key_PageDown)
    driver.key(Key.Key_L)
    assert driver.session.view.index == 5
    assert driver.window.flows.dialog is not None


def test_the_slice_bar_shows_what_is_ready_and_what_is_annotated(driver, volume):
    driver.open(volume)
    assert driver.window.slice_bar.slider.ready.all()
    driver.click(30, 20)
    driver.key(Key.Key_Return)
    assert driver.window.slice_bar.slider.annotated == {4}
    assert driver.window.slice_bar.isVisible()


def test_a_photo_has_no_slice_bar_and_no_window_tool(driver, photo):
    driver.open(photo)
    assert not driver.window.slice_bar.isVisible()
    assert not driver.window.actions_["tool.window"].isEnabled()


def test_the_status_line_tells_place_value_and_time(driver, volume):
    driver.open(volume)
    driver.click(30, 20)
    QTest.mouseMove(driver.view, driver.at(10, 7))
    texts = driver.window.status_line.texts
    assert "x 10  y 7  ·  L 20.0  P 7.0  S 12.0 mm" in texts
    assert "Value 407" in texts
    assert any(text.startswith("Click to mask ") for text in texts)


def test_window_and_level_change_the_picture_and_not_the_mask(driver, volume):
    driver.open(volume)
    driver.click(30, 20)
    mask, runs = driver.session.preview_mask.copy(), driver.segmenter.segmented
    grey, window = driver.pixel(5, 5), driver.window.display.window
    driver.key(Key.Key_W)
    driver.drag((20, 30), (20, 10))
    assert driver.window.display.window.level < window.level
    assert driver.pixel(5, 5)[0] > grey[0]
    assert driver.segmenter.segmented == runs
    assert np.array_equal(driver.session.preview_mask, mask)
    driver.window.display.reset_window()
    assert driver.window.display.window == window


def test_escape_while_dragging_drops_the_gesture(driver, photo):
    driver.open(photo)
    QTest.mousePress(driver.view, LEFT, NONE, driver.at(40, 30))
    QTest.mouseMove(driver.view, driver.at(90, 80))
    assert driver.view.scene.drag_box is not None
    driver.key(Key.Key_Escape)
    assert driver.view.scene.drag_box is None
    QTest.mouseRelease(driver.view, LEFT, NONE, driver.at(90, 80))
    assert not driver.session.prompts
