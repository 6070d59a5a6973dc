"""Simulated users: where they click, what their boxes and strokes look like, and how their prompts are batched."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright_models.data.clicks import (
    BACKGROUND,
    CORNER0,
    CORNER1,
    FOREGROUND,
    PAD,
    SimulatedUser,
    batch_prompts,
    depth,
    pick,
    to_input,
)

SIDE = 64
ALL = np.ones((SIDE, SIDE), bool)
SEEDS = range(200)


def rectangle(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y0:y1, x0:x1] = True
    return mask


TRUTH = rectangle(10, 20, 31, 41)


def user(seed: int, truth: np.ndarray = TRUTH, valid: np.ndarray = ALL) -> SimulatedUser:
    return SimulatedUser(truth, valid, np.random.default_rng(seed))


def cells(one: SimulatedUser, *labels: float) -> list[tuple[int, int]]:
    """Map pixels (x, y) that the prompts of these labels lie in."""
    at = [(np.array(xy) + 0.5) / 2 - 0.5 for xy, label in zip(one.coords, one.labels, strict=True) if label in labels]
    return [(round(float(x)), round(float(y))) for x, y in at]


def test_depth_counts_the_frame_of_the_map_as_a_border() -> None:
    deep = depth(rectangle(0, 0, 5, 64))
    assert deep[2, 30] == 3 and deep[0, 30] == 1 and deep[4, 30] == 1 and deep[5, 30] == 0
    assert depth(ALL)[0, 0] == 1 and depth(ALL).max() == 32
    assert depth(~ALL).max() == 0


def test_map_pixels_lie_in_the_middle_of_their_four_input_pixels() -> None:
    assert to_input(np.array([[0, 0], [1, 3], [-0.5, 63.5]])).tolist() == [[0.5, 0.5], [2.5, 6.5], [-0.5, 127.5]]


def test_a_steady_hand_takes_the_deepest_pixel_and_a_loose_one_any() -> None:
    deep, rng = depth(TRUTH), np.random.default_rng(1)
    assert {pick(deep, rng, looseness=0.0) for _ in range(5)} == {(30, 20)}
    near = {pick(deep, rng, looseness=0.3) for _ in range(300)}
    assert len(near) > 10 and all(deep[y, x] > 0.7 * deep.max() for x, y in near)
    anywhere = {pick(deep, rng, looseness=1.0) for _ in range(3000)}
    assert len(anywhere) > 400 and all(TRUTH[y, x] for x, y in anywhere)
    assert min(x for x, _ in anywhere) == 20 and max(y for _, y in anywhere) == 30


def test_the_first_prompt_is_mostly_a_click_sometimes_a_box_or_a_stroke() -> None:
    kinds = {"click": 0, "box": 0, "stroke": 0}
    deepest = 0
    for seed in SEEDS:
        one = user(seed)
        one.start()
        if one.labels == [CORNER0, CORNER1]:
            kinds["box"] += 1
            continue
        assert set(one.labels) == {FOREGROUND}
        kinds["click" if len(one.labels) == 1 else "stroke"] += 1
        deepest += cells(one, FOREGROUND) == [(30, 20)]
        assert all(TRUTH[y, x] for x, y in cells(one, FOREGROUND))
    assert 130 <= kinds["click"] <= 180 and 20 <= kinds["box"] <= 55 and 2 <= kinds["stroke"] <= 25
    assert 50 <= deepest <= 110


def test_a_box_is_round_the_object_tight_or_loose() -> None:
    tight = 0
    for seed in SEEDS:
        one = user(seed)
        one._box()
        assert one.labels == [CORNER0, CORNER1]
        (x0, y0), (x1, y1) = one.coords
        exact = one.coords == [(39.5, 19.5), (81.5, 61.5)]  # half-open edges of 20..41, 10..31 at twice the size
        tight += exact
        slack = 0.12 * 21 * 2 + 1e-3
        assert -slack / 2 <= 39.5 - x0 <= slack and -slack / 2 <= 19.5 - y0 <= slack
        assert -slack / 2 <= x1 - 81.5 <= slack and -slack / 2 <= y1 - 61.5 <= slack
    assert 40 <= tight <= 95


def test_a_stroke_stays_on_its_region() -> None:
    ring = TRUTH & ~rectangle(14, 24, 27, 37)
    lengths = set()
    for seed in SEEDS:
        one = user(seed, ring)
        one._stroke(ring, BACKGROUND)
        assert 1 <= len(one.labels) <= 7 and set(one.labels) == {BACKGROUND}
        assert all(ring[y, x] for x, y in cells(one, BACKGROUND))
        lengths.add(len(one.labels))
    assert len(lengths) >= 4


@pytest.mark.parametrize(
    ("prediction", "label", "region"),
    [
        (np.zeros((SIDE, SIDE), bool), FOREGROUND, TRUTH),
        (TRUTH | rectangle(40, 0, 64, 64), BACKGROUND, rectangle(40, 0, 64, 64)),
        (rectangle(10, 20, 31, 27), FOREGROUND, rectangle(10, 27, 31, 41)),
        (rectangle(10, 20, 31, 40) | rectangle(50, 50, 60, 60), BACKGROUND, rectangle(50, 50, 60, 60)),
        (TRUTH, FOREGROUND, TRUTH),
    ],
)
def test_a_correction_lies_in_the_deeper_error(prediction: np.ndarray, label: float, region: np.ndarray) -> None:
    deepest = 0
    for seed in SEEDS:
        one = user(seed)
        one.correct(prediction)
        assert set(one.labels) == {label}
        at = cells(one, label)
        assert all(region[y, x] for x, y in at)
        deep = depth(region)
        deepest += len(at) == 1 and deep[at[0][1], at[0][0]] == deep.max()
    assert 0.5 * len(SEEDS) < deepest < len(SEEDS)


def test_pixels_that_do_not_count_are_no_error() -> None:
    valid = ~rectangle(40, 0, 64, 64)
    one = user(3, valid=valid)
    one.correct(rectangle(40, 0, 64, 64))
    assert one.labels == [FOREGROUND] and all(TRUTH[y, x] for x, y in cells(one, FOREGROUND))


def test_where_nothing_is_right_only_what_is_marked_is_corrected() -> None:
    nothing = np.zeros_like(TRUTH)
    for seed in range(20):
        one = user(seed, nothing)
        one.correct(nothing)
        assert one.labels == [] and one.coords == []
        one.correct(TRUTH)
        assert one.labels and set(one.labels) == {BACKGROUND}
        assert all(TRUTH[y, x] for x, y in cells(one, BACKGROUND))
        unseen = user(seed, nothing, valid=~TRUTH)
        unseen.correct(TRUTH)
        assert unseen.labels == []


def test_a_poor_mask_is_near_the_truth() -> None:
    overlaps = []
    for seed in SEEDS:
        mask = user(seed).poor_mask()
        assert (mask.shape, mask.dtype) == ((SIDE, SIDE), np.bool_)
        overlaps.append((mask & TRUTH).sum() / (mask | TRUTH).sum())
    assert 0.6 < np.mean(overlaps) < 0.95
    assert np.mean(np.array(overlaps) == 1) < 0.1
    assert TRUTH.sum() == 21 * 21  # what it started from is as it was


def test_prompts_are_padded_to_the_longest() -> None:
    users = [user(0), user(1), user(2)]
    users[0]._add(np.array([3, 4]), FOREGROUND)
    for at in ([0, 0], [1, 1], [2, 2]):
        users[2]._add(np.array(at), BACKGROUND)
    coords, labels = batch_prompts(users)
    assert (coords.dtype, labels.dtype) == (np.float32, np.float32)
    assert labels.tolist() == [[FOREGROUND, PAD, PAD], [PAD, PAD, PAD], [BACKGROUND] * 3]
    assert coords[0].tolist() == [[6.5, 8.5], [0, 0], [0, 0]]
    assert coords[2].tolist() == [[0.5, 0.5], [2.5, 2.5], [4.5, 4.5]]
    assert batch_prompts([user(0)])[1].tolist() == [[PAD]]


def test_the_same_seed_is_the_same_user() -> None:
    def story(seed: int) -> list[tuple[float, float]]:
        one = user(seed)
        one.start()
        for shift in range(3):
            one.correct(np.roll(TRUTH, 6 * shift + 4, 1))
        return one.coords

    assert story(5) == story(5)
    assert story(5) != story(6)
