"""Losses of the head in exact numbers, and which candidate each gradient reaches."""

from __future__ import annotations

import math

import pytest
import torch

from maskwright_models.train.losses import head_loss, normalised_focal, real_iou, soft_dice

TRUTH = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
ALL = torch.ones(1, 1, 2, 2)


def logits(*maps: list[list[float]]) -> torch.Tensor:
    return torch.tensor([maps])


def test_an_undecided_mask_costs_the_same_however_hard_pixels_are_weighed() -> None:
    undecided = torch.zeros(1, 2, 2, 2)
    for gamma in (0.0, 1.0, 2.0, 4.0):
        loss = normalised_focal(undecided, TRUTH, ALL, gamma=gamma)
        assert torch.allclose(loss, torch.full((1, 2), math.log(2)))


def test_focal_weights_sum_to_the_number_of_pixels() -> None:
    some = logits([[2.0, -1.0], [-3.0, 0.5]])
    cost = [math.log(1 + math.exp(-v)) for v in (2.0, -1.0, 3.0, -0.5)]
    weight = [(1 - math.exp(-c)) ** 2 for c in cost]
    want = sum(w * c for w, c in zip(weight, cost, strict=True)) / sum(weight)
    assert normalised_focal(some, TRUTH, ALL).item() == pytest.approx(want, rel=1e-5)
    assert normalised_focal(some, TRUTH, ALL, gamma=0).item() == pytest.approx(sum(cost) / 4, rel=1e-5)


def test_the_scale_of_the_weights_is_a_number_not_something_to_learn_from() -> None:
    x = torch.tensor([[[[0.7]]]], requires_grad=True)
    one = torch.ones(1, 1, 1, 1)
    normalised_focal(x, one, one).sum().backward()
    miss = 1 - 1 / (1 + math.exp(-0.7))  # of one pixel: d(weight * cost) / weight
    cost = -math.log(1 - miss)
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(-miss - 2 * cost * (1 - miss), rel=1e-5)


def test_a_mask_that_is_right_costs_next_to_nothing_and_stays_finite() -> None:
    right = (TRUTH * 2 - 1) * 60
    assert normalised_focal(right, TRUTH, ALL).item() < 1e-6
    assert soft_dice(right, TRUTH, ALL).item() < 1e-6
    assert normalised_focal(-right, TRUTH, ALL).item() == pytest.approx(60, rel=1e-4)
    assert soft_dice(-right, TRUTH, ALL).item() == pytest.approx(1 - 1 / 5, rel=1e-4)


def test_soft_dice_of_an_undecided_mask() -> None:
    assert soft_dice(torch.zeros(1, 1, 2, 2), TRUTH, ALL).item() == pytest.approx(1 - 3 / 5)


def test_pixels_that_do_not_count_change_nothing() -> None:
    valid = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])
    one = logits([[2.0, -9.0], [-3.0, 0.5]])
    other = logits([[2.0, 9.0], [-3.0, 0.5]])
    for loss in (normalised_focal, soft_dice, real_iou):
        assert loss(one, TRUTH, valid).item() == pytest.approx(loss(other, TRUTH, valid).item(), abs=1e-7)
        assert loss(one, TRUTH, ALL).item() != pytest.approx(loss(other, TRUTH, ALL).item(), abs=1e-3)


def test_the_real_overlap_is_that_of_thresholded_masks() -> None:
    two = logits([[1.0, -1.0], [0.1, -5.0]], [[9.0, 9.0], [-9.0, -9.0]])
    assert torch.allclose(real_iou(two, TRUTH, ALL), torch.tensor([[1 / 3, 1.0]]))
    nothing = torch.full((1, 1, 2, 2), -1.0)
    assert real_iou(nothing, TRUTH * 0, ALL).item() == 0
    assert not real_iou(two.requires_grad_(), TRUTH, ALL).requires_grad


THREE = [[[0.5, 0.2], [0.1, -0.3]], [[-1.0, -2.0], [1.5, 1.0]], [[2.0, 1.0], [-1.0, -2.0]]]


def test_candidate_0_and_the_best_other_learn_and_the_rest_a_little() -> None:
    maps = logits(*THREE).requires_grad_()
    scores = real_iou(maps, TRUTH, ALL)
    head_loss(maps, scores, TRUTH, ALL).total.backward()
    alone = logits(*THREE).requires_grad_()
    each = (normalised_focal(alone, TRUTH, ALL) + soft_dice(alone, TRUTH, ALL))[0]
    assert int(each[1:].argmin()) == 1  # candidate 2 is the better of the others
    (each[0] + each[2] * (1 + 0.05 / 2) + each[1] * 0.05 / 2).backward()
    assert maps.grad is not None and alone.grad is not None
    assert torch.allclose(maps.grad, alone.grad, atol=1e-7)
    strength = maps.grad[0].abs().sum((-2, -1))
    assert strength[0] > 0.1 and strength[1] > 0
    plain = logits(*THREE).requires_grad_()
    (normalised_focal(plain, TRUTH, ALL) + soft_dice(plain, TRUTH, ALL)).sum().backward()
    assert plain.grad is not None
    ratio = strength / plain.grad[0].abs().sum((-2, -1))
    assert torch.allclose(ratio, torch.tensor([1.0, 0.025, 1.025]), atol=1e-5)


def test_the_predicted_overlap_learns_from_the_real_one_and_does_not_move_the_masks() -> None:
    maps = logits(*THREE).requires_grad_()
    scores = torch.tensor([[0.5, 0.5, 0.5]], requires_grad=True)
    loss = head_loss(maps, scores, TRUTH, ALL)
    iou = real_iou(maps, TRUTH, ALL)
    assert iou[0].tolist() == pytest.approx([2 / 3, 0.0, 1.0])
    assert loss.score.item() == pytest.approx(((iou - 0.5) ** 2).mean().item())
    assert (loss.total - loss.mask).item() == pytest.approx(2 * loss.score.item(), rel=1e-5)
    loss.total.backward()
    assert scores.grad is not None
    assert torch.allclose(scores.grad, 2 * 2 * (scores.detach() - iou) / 3, atol=1e-6)


def test_the_log_shows_candidate_0_and_the_chosen_one() -> None:
    loss = head_loss(logits(*THREE), torch.tensor([[0.1, 0.2, 0.9]]), TRUTH, ALL)
    assert loss.iou.item() == pytest.approx(2 / 3)
    assert loss.chosen_iou.item() == pytest.approx(1.0)
    assert head_loss(logits(*THREE), torch.tensor([[0.1, 0.9, 0.2]]), TRUTH, ALL).chosen_iou.item() == 0.0
