from __future__ import annotations

import pytest
from PySide6.QtCore import QRect, QRectF

from maskwright.ui.view_transform import ZOOM_MAX, ZOOM_MIN, ViewTransform


def test_there_and_back():
    t = ViewTransform(2.5, 10.0, -4.0, (1.0, 2.0))
    assert t.to_widget(*t.to_image(33.0, 71.0)) == pytest.approx((33.0, 71.0))
    assert t.to_widget(3.0, 5.0) == (3 * 5.0 + 10.0, 5 * 2.5 - 4.0)


def test_fit_centres_the_whole_slice_with_its_margin():
    t = ViewTransform.fit((100, 200), (440.0, 440.0), margin=20)
    assert t.zoom == 2.0
    assert t.image_rect((100, 200)) == QRectF(20, 120, 400, 200)


def test_fit_stretches_pixels_that_are_not_square():
    t = ViewTransform.fit((100, 100), (400.0, 400.0), aspect_yx=(1.0, 2.0))
    assert (t.scale_x, t.scale_y) == (4.0, 2.0)
    assert t.image_rect((100, 100)) == QRectF(0, 100, 400, 200)


def test_the_edge_of_the_picture_is_half_a_pixel_outside_the_first_centre():
    t = ViewTransform.fit((10, 10), (100.0, 100.0))
    assert t.to_widget(-0.5, -0.5) == (0.0, 0.0)
    assert t.to_widget(9.5, 9.5) == (100.0, 100.0)
    assert t.to_widget(0.0, 0.0) == (5.0, 5.0)


def test_zoom_keeps_the_point_under_the_pointer():
    t = ViewTransform.fit((300, 500), (640.0, 480.0))
    at = (123.0, 77.0)
    before = t.to_image(*at)
    zoomed = t.zoomed(3.0, at)
    assert zoomed.zoom == pytest.approx(t.zoom * 3)
    assert zoomed.to_image(*at) == pytest.approx(before)


def test_zoom_stays_within_its_limits():
    t = ViewTransform()
    assert t.zoomed(1e9, (0, 0)).zoom == ZOOM_MAX
    assert t.zoomed(1e-9, (0, 0)).zoom == ZOOM_MIN


def test_a_part_of_the_slice_always_stays_on_the_widget():
    t = ViewTransform.fit((100, 100), (200.0, 200.0)).panned(5000, -5000)
    rect = t.kept_in_reach((100, 100), (200.0, 200.0)).image_rect((100, 100))
    assert rect.left() == 200 - 48
    assert rect.bottom() == 48
    inside = ViewTransform.fit((100, 100), (200.0, 200.0))
    assert inside.kept_in_reach((100, 100), (200.0, 200.0)) == inside


def test_dirty_rect_covers_the_box_and_its_contour_and_no_more():
    t = ViewTransform(4.0, 2.0, 2.0)  # image pixel 0 covers widget 0 .. 4
    assert t.pixel_rect((2, 3, 5, 4)) == QRectF(8, 12, 12, 4)
    assert t.dirty_rect((2, 3, 5, 4), pad=3) == QRect(5, 9, 18, 10)


def test_impossible_zoom_is_a_programmers_error():
    with pytest.raises(ValueError, match="positive"):
        ViewTransform(0.0)
    with pytest.raises(ValueError, match="positive"):
        ViewTransform(1.0, aspect_yx=(0.0, 1.0))
