"""The calibration of predicted scores: a known distortion is undone, an honest score stays, order is kept."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.errors import ModelError
from maskwright_models.evaluate.calibration import Calibration, fit_calibration, logit
from maskwright_models.evaluate.text_floor import MOST, fit_text_floor


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("scale", "shift"), [(0.5, -0.8), (2.0, 0.6), (1.0, -1.5), (0.2, 0.0)])
def test_a_known_map_is_found_without_noise(scale: float, shift: float) -> None:
    scores = sigmoid(np.random.default_rng(2).normal(0.5, 1.6, 500))
    fit = fit_calibration(scores, sigmoid(scale * logit(scores) + shift))
    assert np.isclose(fit.scale, scale, rtol=1e-4) and np.isclose(fit.shift, shift, atol=1e-4)
    assert fit.ece_after < 1e-5 < 0.02 < fit.ece_before
    assert np.allclose(fit.apply(scores), sigmoid(scale * logit(scores) + shift), atol=1e-5)


def test_an_overconfident_score_is_calibrated_on_other_objects_too() -> None:
    rng = np.random.default_rng(3)

    def sample(n: int) -> tuple[np.ndarray, np.ndarray]:
        hidden = rng.normal(0.3, 1.5, n)
        real = sigmoid(hidden + rng.normal(0, 0.7, n))
        return sigmoid(1.8 * hidden + 1.2), real

    fit = fit_calibration(*sample(3000))
    assert 0.4 < fit.scale < 0.7 and fit.shift < -0.3
    assert fit.ece_before > 0.1 and fit.ece_after < 0.02
    scores, real = sample(2000)
    assert np.abs(fit.apply(scores).mean() - real.mean()) < 0.01 < np.abs(scores.mean() - real.mean())


def test_order_is_kept_and_the_ends_stay_finite() -> None:
    fit = Calibration(0.4, -0.7, 0.2, 0.1)
    scores = np.array([0.0, 0.2, 0.5, 0.8, 1.0])
    out = fit.apply(scores)
    assert (np.diff(out) > 0).all() and np.isfinite(out).all() and out.min() > 0 and out.max() < 1


def test_an_honest_score_stays_as_it_is() -> None:
    scores = np.random.default_rng(4).uniform(0.05, 0.95, 400)
    fit = fit_calibration(scores, scores)
    assert np.isclose(fit.scale, 1, atol=1e-6) and np.isclose(fit.shift, 0, atol=1e-6) and fit.ece_after < 1e-6


def test_a_score_that_runs_against_the_truth_is_flattened_never_turned_round() -> None:
    scores = np.linspace(0.05, 0.95, 200)
    fit = fit_calibration(scores, 1 - scores)
    assert 0 < fit.scale < 0.1 and abs(fit.shift) < 0.05
    assert (np.diff(fit.apply(scores)) > 0).all()


def test_too_few_answers_and_unequal_ones_are_refused() -> None:
    with pytest.raises(ModelError, match="19 answers are too few"):
        fit_calibration(np.full(19, 0.5), np.full(19, 0.5))
    with pytest.raises(ValueError, match="both"):
        fit_calibration(np.full(30, 0.5), np.full(29, 0.5))


# The floor of words.


def test_the_floor_lies_between_words_that_are_there_and_words_that_are_not() -> None:
    there = np.array([True] * 4 + [False] * 4)
    scores = np.array([0.3, 0.4, 0.5, 0.6, 0.02, 0.05, 0.08, 0.1])
    floor = fit_text_floor(scores, np.where(there, 0.5, 0.0), there)
    assert floor == pytest.approx(0.2, abs=0.006)  # the middle of what parts them


def test_a_poor_mask_is_worth_less_than_a_word_that_is_rightly_not_found() -> None:
    there = np.array([True, True, False, False, False, False])
    scores = np.array([0.25, 0.45, 0.3, 0.1, 0.1, 0.1])
    good, poor = (fit_text_floor(scores, np.array([iou, 0.8, 0, 0, 0, 0]), there) for iou in (0.9, 0.1))
    assert 0.1 < good < 0.25  # shows both, and one that is not there
    assert 0.3 < poor < 0.45


def test_no_floor_hides_a_mask_that_is_more_right_than_wrong() -> None:
    there = np.array([True, False])
    assert fit_text_floor(np.array([0.95, 0.9]), np.array([0.9, 0.0]), there) <= MOST
    with pytest.raises(ValueError, match="words that are not"):
        fit_text_floor(np.array([0.5]), np.array([0.5]), np.array([True]))
