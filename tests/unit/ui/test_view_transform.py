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


MIRRORED = ViewTransform(4.0, 60.0, 50.0, (1.0, 1.0), flip_x=True, flip_y=True)


def test_a_mirrored_slice_runs_the_other_way():
    assert MIRRORED.to_widget(0.0, 0.0) == (60.0, 50.0)
    assert MIRRORED.to_widget(3.0, 5.0) == (60 - 12, 50 - 20)
    assert MIRRORED.to_image(48.0, 30.0) == (3.0, 5.0)
    assert MIRRORED.pixels_to_widget().map(3.5, 5.5) == (48.0, 30.0)


def test_rectangles_of_a_mirrored_slice_are_the_right_way_round():
    assert MIRRORED.pixel_rect((0, 0, 1, 1)) == QRectF(58, 48, 4, 4)
    assert MIRRORED.pixel_rect((2, 3, 5, 4)) == QRectF(42, 36, 12, 4)
    assert MIRRORED.dirty_rect((2, 3, 5, 4), pad=3) == QRect(39, 33, 18, 10)
    assert MIRRORED.image_rect((10, 12)) == QRectF(14, 12, 48, 40)


def test_mirrors_change_neither_the_fit_nor_the_reach():
    plain = ViewTransform(aspect_yx=(1.0, 2.0))
    mirrored = ViewTransform(aspect_yx=(1.0, 2.0), flip_x=True, flip_y=True)
    for moved in (
        lambda t: t.fitted((100, 70), (400.0, 300.0), margin=16),
        lambda t: t.fitted((100, 70), (400.0, 300.0)).panned(900, -900).kept_in_reach((100, 70), (400.0, 300.0)),
    ):
        assert moved(mirrored).image_rect((100, 70)) == moved(plain).image_rect((100, 70))
        assert moved(mirrored).flip_x and moved(mirrored).flip_y


def test_zoom_keeps_the_point_under_the_pointer_in_a_mirrored_slice():
    at = (33.0, 21.0)
    zoomed = MIRRORED.zoomed(3.0, at)
    assert zoomed.to_image(*at) == pytest.approx(MIRRORED.to_image(*at))
    assert (zoomed.step_x, zoomed.step_y, zoomed.scale_x) == (-12.0, -12.0, 12.0)


def test_impossible_zoom_is_a_programmers_error():
    with pytest.raises(ValueError, match="positive"):
        ViewTransform(0.0)
    with pytest.raises(ValueError, match="positive"):
        ViewTransform(1.0, aspect_yx=(0.0, 1.0))
