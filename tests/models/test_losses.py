"""Losses of the head in exact numbers, and which candidate each gradient reaches."""

from __future__ import annotations

import math

import pytest
import torch

from maskwright_models.train.losses import (
    each_mask,
    head_loss,
    normalised_focal,
    real_iou,
    rough_mask,
    soft_dice,
    word_loss,
)
from maskwright_models.zoo.dinov2_imsa import Answer

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
NONE = torch.zeros(1, 2, 2), torch.tensor([False])
"""Where the label is and whether there is one: an object without words."""


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Each pixel as four, so that half the resolution is ``x`` again."""
    return x.repeat_interleave(2, -2).repeat_interleave(2, -1)


WIDE, EVERYWHERE = doubled(TRUTH), doubled(ALL)


def answer(scores: torch.Tensor | None = None, **parts: torch.Tensor) -> Answer:
    """Three candidates of 4 x 4 pixels, undecided in everything else."""
    undecided = torch.zeros(1, 1, 2, 2)
    values = {"logits": doubled(logits(*THREE)), "rough": undecided} | parts
    scores = scores if scores is not None else torch.full((1, 3), 0.5)
    return Answer(scores=scores, offered=scores, **values)


def test_candidate_0_and_the_best_other_learn_and_the_rest_a_little() -> None:
    maps = doubled(logits(*THREE)).requires_grad_()
    head_loss(answer(logits=maps), WIDE, EVERYWHERE).total.backward()
    alone = doubled(logits(*THREE)).requires_grad_()
    first = each_mask(alone[:, :1], WIDE, EVERYWHERE)[0, 0]
    others = each_mask(torch.nn.functional.avg_pool2d(alone[:, 1:], 2), TRUTH, ALL)[0]  # at half the resolution
    assert int(others.argmin()) == 1  # candidate 2 is the better of the others
    (first + others[1] * (1 + 0.05 / 2) + others[0] * 0.05 / 2).backward()
    assert maps.grad is not None and alone.grad is not None
    assert torch.allclose(maps.grad, alone.grad, atol=1e-7)
    plain = doubled(logits(*THREE)).requires_grad_()
    pooled = torch.nn.functional.avg_pool2d(plain[:, 1:], 2)
    (each_mask(plain[:, :1], WIDE, EVERYWHERE).sum() + each_mask(pooled, TRUTH, ALL).sum()).backward()
    assert plain.grad is not None
    ratio = maps.grad[0].abs().sum((-2, -1)) / plain.grad[0].abs().sum((-2, -1))
    assert torch.allclose(ratio, torch.tensor([1.0, 0.025, 1.025]), atol=1e-5)


def test_the_predicted_overlap_learns_from_the_real_one_and_does_not_move_the_masks() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.5]], requires_grad=True)
    loss = head_loss(answer(scores), WIDE, EVERYWHERE)
    iou = real_iou(doubled(logits(*THREE)), WIDE, EVERYWHERE)
    assert iou[0].tolist() == pytest.approx([2 / 3, 0.0, 1.0])
    assert loss.score.item() == pytest.approx(((iou - 0.5) ** 2).mean().item())
    rough = math.log(2) + 1 - 3 / 5  # an undecided mask of 2 x 2
    assert (loss.total - loss.mask).item() == pytest.approx(2 * loss.score.item() + 0.3 * rough, rel=1e-5)
    loss.total.backward()
    assert scores.grad is not None
    assert torch.allclose(scores.grad, 2 * 2 * (scores.detach() - iou) / 3, atol=1e-6)


def test_the_log_shows_candidate_0_and_the_chosen_one() -> None:
    loss = head_loss(answer(torch.tensor([[0.1, 0.2, 0.9]])), WIDE, EVERYWHERE)
    assert loss.iou.item() == pytest.approx(2 / 3)
    assert loss.chosen_iou.item() == pytest.approx(1.0)
    other = head_loss(answer(torch.tensor([[0.1, 0.9, 0.2]])), WIDE, EVERYWHERE)
    assert other.chosen_iou.item() == 0.0


def test_an_empty_truth_is_learned_as_an_empty_mask_of_score_0() -> None:
    nothing, empty = torch.zeros_like(WIDE), torch.full((1, 3, 4, 4), -9.0)
    full = head_loss(answer(torch.ones(1, 3), logits=-empty), nothing, EVERYWHERE)
    right = head_loss(answer(torch.zeros(1, 3), logits=empty), nothing, EVERYWHERE)
    assert right.mask.item() < 0.01 and right.score.item() == 0
    assert full.mask.item() > 10 and full.score.item() == 1


def test_the_rough_mask_learns_from_the_share_that_is_covered() -> None:
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :2, :3] = 1  # one small pixel is covered, one by half
    x = torch.tensor([[[[1.0, -0.5], [0.3, 0.0]]]], requires_grad=True)
    small = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    want = torch.nn.functional.binary_cross_entropy_with_logits(x, small) + soft_dice(x, small, ALL).mean()
    assert rough_mask(x, truth, EVERYWHERE).item() == pytest.approx(want.item(), rel=1e-6)
    unknown = EVERYWHERE.clone()
    unknown[..., :2, 2:] = 0
    rough_mask(x, truth, unknown).backward()
    assert x.grad is not None and x.grad[0, 0, 0, 1] == 0 and x.grad[0, 0, 0, 0] != 0


def test_words_learn_the_share_that_their_label_covers_and_its_shape() -> None:
    shares = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    x = torch.tensor([[[2.0, -1.0], [0.5, -3.0]]])
    bce = torch.nn.functional.binary_cross_entropy_with_logits(x, shares)
    want = bce + soft_dice(x[:, None], shares[:, None], torch.ones(1, 1, 2, 2)).mean()
    assert word_loss(x, shares).item() == pytest.approx(want.item(), rel=1e-6)


def test_words_that_name_nothing_learn_that_alone() -> None:
    shares = torch.zeros(2, 2, 2)
    shares[0, 0, 0] = 1
    x = torch.zeros(2, 2, 2).requires_grad_()
    loss = word_loss(x, shares)
    dice = 1 - 2 / 4  # of the first: 2 * 0.5 + 1 over 0.5 * 4 + 1 + 1
    assert loss.item() == pytest.approx(math.log(2) + dice, rel=1e-5)
    loss.backward()
    assert x.grad is not None and (x.grad[1] > 0).all() and x.grad[0, 0, 0] < 0


def test_a_batch_without_words_teaches_none() -> None:
    x = torch.zeros(0, 2, 2).requires_grad_()
    loss = word_loss(x, torch.zeros(0, 2, 2))
    loss.backward()
    assert loss.item() == 0
