"""A volume whose array runs to the right, to the front and up: the window mirrors what is shown and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QRectF
from PySide6.QtTest import QTest

from maskwright.core.prompts import Point
from maskwright.core.volume import View
from maskwright.ui.theme import DARK, LIGHT, apply_theme
from tests.unit.ui.conftest import CTRL, LEFT, NONE, RIGHT, until


@pytest.fixture
def ras(tmp_path: Path) -> Path:
    """A volume of 5 slices of 40 x 60 in RAS order; the value is 60 y + x."""
    import SimpleITK

    voxels = np.broadcast_to(np.arange(2400, dtype=np.int16).reshape(40, 60), (5, 40, 60))
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    image.SetOrigin((29.5, 19.5, -2.0))
    path = tmp_path / "ras.nii.gz"
    SimpleITK.WriteImage(image, str(path))
    return path


def test_a_click_lands_on_the_array_pixel_that_is_shown_there(driver, ras):
    driver.open(ras)
    rect = driver.view.transform.image_rect((40, 60))
    pixel = rect.width() / 60
    at = QPoint(round(rect.left() + 10.5 * pixel), round(rect.top() + 4.5 * pixel))  # 11th from the left, 5th from top
    QTest.mouseClick(driver.view, LEFT, NONE, at)
    until(lambda: driver.session.preview_is_current)
    (point,) = driver.session.prompts.items
    assert isinstance(point, Point)
    assert (round(point.x), round(point.y)) == (59 - 10, 39 - 4)
    assert driver.session.preview_mask[35, 49] and not driver.session.preview_mask[4, 10]
    x, y = driver.view.transform.to_widget(point.x, point.y)
    assert abs(x - at.x()) < 1 and abs(y - at.y()) < 1  # the dot is under the finger


def test_the_last_pixel_of_the_array_is_at_the_top_left(driver, ras):
    driver.open(ras)
    rect = driver.view.transform.image_rect((40, 60)).toAlignedRect()
    image = driver.view.grab().toImage()
    values = [
        image.pixelColor(at + step).red()
        for at, step in (
            (rect.topLeft(), QPoint(3, 3)),
            (rect.topRight(), QPoint(-3, 3)),
            (rect.bottomLeft(), QPoint(3, -3)),
            (rect.bottomRight(), QPoint(-3, -3)),
        )
    ]
    assert values == sorted(values, reverse=True) and values[0] > 240 and values[-1] < 15


def test_the_pointer_reads_the_array_and_the_patient(driver, ras):
    driver.open(ras)
    QTest.mouseMove(driver.view, driver.at(49, 35))
    texts = driver.window.status_line.texts
    assert f"Value {60 * 35 + 49}" in texts
    assert any(text.startswith("x 49  y 35  ·  R 1") and "A 1" in text for text in texts), texts


def test_picking_meets_the_object_under_the_pointer(driver, ras):
    driver.open(ras)
    driver.click(45, 26)
    driver.window.bridge.act(lambda s: s.commit())
    until(lambda: driver.session.annotation.objects)
    one = driver.session.annotation.objects[0]
    assert one.masks[driver.session.view].to_array()[26, 45]
    driver.window.bridge.act(lambda s: s.set_active_object(None))
    driver.click(14, 13, modifier=CTRL, wait=False)
    assert driver.session.active_object is None
    driver.click(45, 26, modifier=CTRL, wait=False)
    assert driver.session.active_object == one.id


def test_a_preview_repaints_only_its_own_rectangle(driver, ras):
    driver.open(ras)
    painted = []
    original = driver.view.paintEvent

    def spy(event):
        painted.extend(event.region())
        original(event)

    driver.click(1, 1, button=RIGHT)  # an empty mask; brings the prompt bar, which floats over the view
    driver.view.paintEvent = spy
    driver.click(45, 26)
    reach = 14 * driver.view.transform.zoom
    at = QRectF(driver.at(45, 26), driver.at(45, 26)).adjusted(-reach, -reach, reach, reach).toAlignedRect()
    bar = driver.window.prompt_bar.geometry().adjusted(-8, -8, 8, 8)  # it grows with its text
    until(lambda: [rect for rect in painted if not bar.contains(rect)])
    assert all(bar.contains(rect) or at.contains(rect) for rect in painted), painted
    assert at.width() < driver.view.width() / 2


def test_the_stored_arrays_keep_their_order(driver, ras):
    driver.open(ras)
    before = driver.view.transform
    driver.window.bridge.act(lambda s: s.set_view(View(0, 1)))
    assert driver.view.transform == before and before.flip_x and before.flip_y
    assert int(driver.session.volume.voxels[0, 0, 1]) == 1


@pytest.mark.parametrize("tokens", [LIGHT, DARK])
def test_a_placed_volume_has_letters_in_both_themes(driver, ras, tokens):
    apply_theme(tokens)
    try:
        driver.window.retheme()
        driver.open(ras)
        assert driver.view.scene.edges == ("R", "A", "L", "P")
        assert driver.view.scene.widget_wh == (driver.view.width(), driver.view.height())
    finally:
        apply_theme(LIGHT)


def test_a_photo_is_never_mirrored_and_has_no_letters(driver, ras, photo):
    driver.open(ras)
    driver.open(photo)
    assert driver.view.scene.edges == ()
    assert not driver.view.transform.flip_x and not driver.view.transform.flip_y
