"""The click protocol: where the next click goes, and when a curve has arrived."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from maskwright.core.protocol import (
    central_point,
    clicks_to_reach,
    deepest_error,
    largest_drop,
    middle_stroke,
    random_error,
    size_class,
)

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


def test_a_stroke_goes_down_the_middle_and_stays_off_the_ends() -> None:
    stroke = middle_stroke(rectangle(10, 5, 19, 50) | rectangle(30, 5, 36, 20))  # the larger part
    assert stroke.dtype == np.float32 and len(stroke) == 7
    assert stroke[:, 1].tolist() == [14.0] * 7 and 9 <= stroke[:, 0].min() and stroke[:, 0].max() <= 45
    upright = middle_stroke(rectangle(2, 20, 38, 25))
    assert upright[:, 0].tolist() == [22.0] * 7 and np.ptp(upright[:, 1]) > 20


def test_a_stroke_never_leaves_the_object() -> None:
    bow = rectangle(5, 5, 35, 55) & ~rectangle(12, 12, 40, 48)  # three sides of a frame
    stroke = middle_stroke(bow)
    assert len(stroke) > 1
    for start, end in zip(stroke[:-1], stroke[1:], strict=True):
        x, y = np.linspace(start, end, 200).round().astype(int).T
        assert bow[y, x].all()


def test_a_stroke_of_a_pixel_is_a_point() -> None:
    assert middle_stroke(rectangle(7, 9, 8, 10)).tolist() == [[9.0, 7.0]]
    assert len(middle_stroke(rectangle(7, 9, 9, 11))) >= 1


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


def squared_depth(error: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The rule as papers write it, on the whole image: squared distances, which are whole numbers on a grid.

    OpenCV 5 gives the same small array roots that differ in the last bit from call to call, so that which of two points
    equally deep comes first is chance; their depth is not.
    """
    padded = np.pad(error.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1].astype(np.float64)
    return np.rint(distance**2) * free


def test_the_box_round_the_error_gives_a_click_of_the_whole_image() -> None:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:70, :110]
    seen = 0
    for round_ in range(40):
        disks = [(x - rng.integers(0, 110)) ** 2 + (y - rng.integers(0, 70)) ** 2 <= r**2 for r in (6, 14, 14, 20)]
        truth, valid = disks[0] | disks[1], rng.random(truth_shape := x.shape) < 0.999
        prediction = (
            np.roll(truth, int(rng.integers(-3, 4)), 1) | disks[2 + round_ % 2] if round_ % 3 else truth & ~truth
        )
        free = np.ones(truth_shape, np.float32)
        for _ in range(5):
            click = deepest_error(prediction, truth, valid, free)
            missed = squared_depth(truth & ~prediction & valid, free)
            surplus = squared_depth(~truth & prediction & valid, free)
            deepest = max(missed.max(), surplus.max())
            if click is None:
                assert deepest == 0
                break
            assert deepest > 0 and (missed if click[2] else surplus)[click[1], click[0]] == deepest
            free[click[1], click[0]] = 0
            seen += 1
    assert seen > 150


def test_random_errors_are_wrong_pixels_of_both_signs() -> None:
    truth, prediction = rectangle(10, 10, 20, 20), rectangle(12, 10, 24, 20)
    valid, rng = ~rectangle(22, 0, 40, 60), np.random.default_rng(1)
    clicks = [random_error(prediction, truth, valid, rng) for _ in range(200)]
    assert {c[:2] for c in clicks if c is not None and c[2]} == {(x, y) for x in range(10, 20) for y in (10, 11)}
    assert {c[:2] for c in clicks if c is not None and not c[2]} == {(x, y) for x in range(10, 20) for y in (20, 21)}
    assert random_error(truth, truth, ALL, rng) is None


def test_the_first_random_point_is_near_the_centre_of_the_object() -> None:
    truth, rng = rectangle(10, 20, 21, 31), np.random.default_rng(1)
    points = [central_point(truth, rng) for _ in range(300)]
    far = [np.hypot(x - 25, y - 15) for x, y in points]
    assert max(far) < 4.6 and len(set(points)) > 40
    assert central_point(rectangle(3, 4, 4, 5), rng) == (4, 3)


@pytest.mark.parametrize(
    ("share", "name"),
    [(0.0, "<1 %"), (0.01, "1-5 %"), (0.0499, "1-5 %"), (0.05, "5-20 %"), (0.2, ">20 %"), (1, ">20 %")],
)
def test_sizes_are_shares_of_the_image(share: float, name: str) -> None:
    assert size_class(share) == name


def test_a_slow_slide_is_a_drop_as_well() -> None:
    assert largest_drop(np.array([0.5, 0.6, 0.7])) == (0.0, 0)
    fall, at = largest_drop(np.array([0.5, 0.8, 0.79, 0.78, 0.9, 0.89]))
    assert (round(fall, 6), at) == (0.02, 4)
    assert largest_drop(np.array([0.5] * 10 + [0.1])) == (0.0, 0)
