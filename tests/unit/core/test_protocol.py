"""The click protocol: where the next click goes, and when a curve has arrived."""

from __future__ import annotations

import numpy as np

from maskwright.core.protocol import clicks_to_reach, deepest_error

SHAPE = (40, 60)
NOTHING, ALL, FREE = np.zeros(SHAPE, bool), np.ones(SHAPE, bool), np.ones(SHAPE, np.float32)


def rectangle(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = NOTHING.copy()
    mask[y0:y1, x0:x1] = True
    return mask


def test_the_first_click_goes_into_the_middle_of_the_object() -> None:
    assert deepest_error(NOTHING, rectangle(10, 20, 21, 31), ALL, FREE) == (25, 15, True)


def test_the_frame_of_the_image_is_a_border() -> None:
    assert deepest_error(NOTHING, rectangle(0, 0, 11, 60), ALL, FREE) == (5, 5, True)
    assert deepest_error(NOTHING, ALL, ALL, FREE) == (19, 19, True)


def test_the_deeper_error_decides_the_sign() -> None:
    truth = rectangle(0, 0, 9, 9)
    surplus = rectangle(20, 20, 33, 33)
    assert deepest_error(surplus, truth, ALL, FREE) == (26, 26, False)
    assert deepest_error(rectangle(20, 20, 25, 25), truth, ALL, FREE) == (4, 4, True)


def test_on_a_tie_the_surplus_is_clicked() -> None:
    assert deepest_error(rectangle(20, 20, 29, 29), rectangle(0, 0, 9, 9), ALL, FREE) == (24, 24, False)


def test_a_part_that_is_right_is_no_error() -> None:
    truth = rectangle(5, 5, 30, 30)
    assert deepest_error(rectangle(5, 5, 30, 19), truth, ALL, FREE) == (24, 10, True)
    assert deepest_error(truth, truth, ALL, FREE) is None


def test_pixels_to_ignore_are_never_clicked() -> None:
    truth = rectangle(5, 5, 30, 30)
    valid = ~rectangle(5, 5, 30, 27)
    click = deepest_error(NOTHING, truth, valid, FREE)
    assert click is not None and click[0] == 28
    assert deepest_error(NOTHING, truth, ~truth, FREE) is None


def test_a_place_is_clicked_once() -> None:
    truth, free = rectangle(10, 20, 13, 23), FREE.copy()
    seen = set()
    while (click := deepest_error(NOTHING, truth, ALL, free)) is not None:
        assert click not in seen and truth[click[1], click[0]]
        seen.add(click)
        free[click[1], click[0]] = 0
    assert len(seen) == 9


def test_a_curve_arrives_at_its_first_click_over_the_threshold_or_counts_in_full() -> None:
    curves = np.array([[0.5, 0.8, 0.7, 0.95], [0.1, 0.2, 0.3, 0.4], [0.9, 0.9, 0.9, 0.9]])
    assert clicks_to_reach(curves, 0.8).tolist() == [2, 4, 1]
    assert clicks_to_reach(curves, 0.95).tolist() == [4, 4, 4]
