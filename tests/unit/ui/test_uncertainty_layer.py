"""Where the model is unsure: the tint, the mark of the proposed click, and the switch that shows both."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor

from maskwright.ui.layers import LAYERS, DoubtShape, Scene, paint_doubt, paint_next_click, paint_preview, paint_prompts
from maskwright.ui.picture import heat_of
from maskwright.ui.readout import doubt_text
from maskwright.ui.view_transform import ViewTransform
from tests.unit.ui.conftest import until
from tests.unit.ui.test_picture import painted, rgb

GREY = (90, 90, 90)


def scene(values: np.ndarray, next_click: tuple[float, float, bool] | None = None) -> Scene:
    return Scene(ViewTransform(4.0, 2.0, 2.0), QColor(*GREY), doubt=DoubtShape(heat_of(values), next_click))


def apart(one: tuple[int, int, int], other: tuple[int, int, int]) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def test_the_tint_grows_with_doubt_and_is_clear_where_there_is_none(qt):
    values = np.zeros((3, 5), np.float32)  # a width that rows are padded for
    values[1] = (0, 0.25, 0.5, 0.75, 1.0)
    image = painted(scene(values))
    seen = [rgb(image, 4 * x + 2, 6) for x in range(5)]
    assert seen[0] == GREY
    steps = [apart(one, GREY) for one in seen]
    assert steps == sorted(steps) and len(set(steps)) == 5
    red, green, blue = seen[4]
    assert red > 150 and green < 60 and blue > 120
    assert rgb(image, 2, 2) == GREY and rgb(image, 60, 60) == GREY


def test_values_beyond_the_range_are_cut_to_it(qt):
    image = painted(scene(np.array([[-1.0, 2.0]], np.float32)))
    full = painted(scene(np.array([[0.0, 1.0]], np.float32)))
    assert rgb(image, 2, 2) == GREY and rgb(image, 6, 2) == rgb(full, 6, 2) != GREY


def test_no_doubt_paints_nothing(qt):
    image = painted(Scene(ViewTransform(4.0, 2.0, 2.0), QColor(*GREY)))
    assert all(rgb(image, x, y) == GREY for x in range(0, 120, 7) for y in range(0, 80, 7))
    image = painted(scene(np.zeros((10, 10), np.float32)))
    assert all(rgb(image, x, y) == GREY for x in range(0, 120, 7) for y in range(0, 80, 7))


@pytest.mark.parametrize("positive", [True, False])
def test_the_proposed_click_is_a_hollow_ring_with_its_sign(qt, *, positive: bool):
    image = painted(scene(np.zeros((20, 30), np.float32), (10.0, 8.0, positive)))
    x, y = 42, 34  # centre of pixel (10, 8)
    assert apart(rgb(image, x, y), GREY) > 150  # the middle of the sign
    assert apart(rgb(image, x + 3, y), GREY) > 100 and (apart(rgb(image, x, y + 3), GREY) > 100) == positive
    ring = [rgb(image, round(x + 9 * np.cos(a)), round(y + 9 * np.sin(a))) for a in np.linspace(0, 2 * np.pi, 60)]
    assert np.mean([apart(one, GREY) > 60 for one in ring]) > 0.8
    assert len({one for one in ring if sum(one) > 500}) > 0 and any(sum(one) < 200 for one in ring)  # dashes
    assert rgb(image, x + 4, y + 4) == GREY and rgb(image, x + 16, y) == GREY


def test_the_tint_lies_over_the_mask_and_under_the_prompts():
    order = [LAYERS.index(one) for one in (paint_preview, paint_doubt, paint_next_click, paint_prompts)]
    assert order == sorted(order)


def test_what_is_said_names_the_place():
    assert doubt_text(0.254, (12.4, 30.6, True)) == (
        "Unsure of this mask: 25 %. A click on the object at x 12, y 31 would help most, if the model is wrong there."
    )
    assert "beside the object at x 1, y 2" in doubt_text(0.9, (1.0, 2.0, False))
    assert doubt_text(0.04, None) == "Unsure of this mask: 4 %. No click stands out."


def test_u_shows_and_hides_it(driver, photo):
    driver.open(photo)
    assert not driver.window.actions_["view.uncertainty"].isChecked()
    driver.click(100, 75)
    before = driver.pixel(100, 67)
    driver.key(Qt.Key.Key_U)
    until(lambda: driver.view.scene.doubt is not None)
    assert driver.segmenter.doubted == 1 and driver.window.actions_["view.uncertainty"].isChecked()
    assert driver.view.scene.doubt.next_click == (3, 4, True)
    assert apart(driver.pixel(100, 67), before) > 40
    assert any(text.startswith("Unsure of this mask: 25 %") for text in driver.window.status_line.texts)
    driver.key(Qt.Key.Key_U)
    assert driver.view.scene.doubt is None and driver.pixel(100, 67) == before
    assert not driver.window.actions_["view.uncertainty"].isChecked()
    assert not any("Unsure" in text for text in driver.window.status_line.texts)
    assert not driver.session.can_redo and len(driver.session.prompts) == 1


def test_it_follows_the_clicks_and_goes_with_the_prompts(driver, photo):
    driver.open(photo)
    driver.key(Qt.Key.Key_U)
    driver.click(100, 75)
    until(lambda: driver.view.scene.doubt is not None)
    first = driver.view.scene.doubt
    driver.click(60, 75)
    until(lambda: driver.view.scene.doubt is not None and driver.view.scene.doubt is not first)
    assert driver.segmenter.segmented == 2 and driver.segmenter.doubted == 2
    driver.key(Qt.Key.Key_Escape)
    assert driver.view.scene.doubt is None


def test_without_a_scan_there_is_nothing_to_switch(driver):
    assert not driver.window.actions_["view.uncertainty"].isEnabled()
    assert driver.window.actions_["view.uncertainty"].toolTip().startswith("Show where the model is unsure (U)")
