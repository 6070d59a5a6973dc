"""Whether an adapted head is taken: what counts as a win, and what it may not lose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskwright_models.adapt.judge import Judged, decide


def judged(click: Sequence[float], box: float = 0.8, text: float = 0.8) -> Judged:
    curve = np.array([click], float)
    return Judged(("Coin",), curve, np.array([box]), np.array([text]))


def test_only_a_head_that_wins_is_taken() -> None:
    before = judged([0.5, 0.6, 0.7, 0.8])
    assert decide(before, judged([0.6, 0.6, 0.7, 0.8])).adopted  # a better first click
    assert decide(before, judged([0.5, 0.6, 0.95, 0.95])).adopted  # fewer clicks
    assert decide(before, judged([0.6, 0.7, 0.8, 0.8], box=0.795, text=0.79)).adopted
    for worse, words in (
        (judged([0.5, 0.6, 0.7, 0.8]), "no better"),
        (judged([0.5, 0.7, 0.8, 0.85]), "no better"),
        (judged([0.49, 0.6, 0.7, 0.7]), "is worse"),
        (judged([0.51, 0.5, 0.6, 0.7]), "wins and loses"),
        (judged([0.6, 0.7, 0.8, 0.8], box=0.7), "Dice of a box alone would fall"),
        (judged([0.6, 0.7, 0.8, 0.8], text=0.7), "Dice of words alone would fall"),
    ):
        verdict = decide(before, worse)
        assert not verdict.adopted and words in verdict.reason and "the base stays" in verdict.reason


def test_what_both_figures_say_is_not_outvoted() -> None:
    assert decide(judged([0.5, 0.85, 0.85, 0.85]), judged([0.6, 0.6, 0.9, 0.9])).adopted


def test_neither_a_first_click_nor_fewer_clicks_excuse_a_worse_head() -> None:
    verdict = decide(judged([0.5, 0.95, 0.95, 0.95]), judged([0.6, 0.6, 0.8, 0.8]))
    assert not verdict.adopted and "wins and loses" in verdict.reason
    verdict = decide(judged([0.5, 0.6, 0.7, 0.8]), judged([0.46, 0.7, 0.95, 0.95]))
    assert not verdict.adopted and "Dice of one click would fall" in verdict.reason


def test_a_little_less_in_one_figure_is_made_up_for_by_all_clicks() -> None:
    assert decide(judged([0.5, 0.6, 0.7, 0.8]), judged([0.495, 0.7, 0.95, 0.95])).adopted
    assert decide(judged([0.5, 0.9, 0.9, 0.9]), judged([0.65, 0.89, 0.9, 0.9])).adopted


def test_figures_of_a_label_and_without_a_box() -> None:
    curves = np.array([[1.0, 1, 1, 1], [0, 0, 0, 0.9]])
    both = Judged(("a", "b"), curves, np.array([0.5, 1]), np.full(2, np.nan))
    mean = {"dice@1": 0.5, "dice@3": 0.5, "noc@90": 2.5, "mean_iou": 0.6125, "box_dice": 0.8333}
    assert both.figures() == {"masks": 2, **mean}
    only = {"masks": 1, "dice@1": 0.0, "dice@3": 0.0, "noc@90": 4.0, "mean_iou": 0.225, "box_dice": 1.0}
    assert both.figures("b") == only
