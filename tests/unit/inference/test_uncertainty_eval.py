"""The users of the uncertainty: whom they follow, what they count, and what is made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from maskwright.core.features import Features
from maskwright.core.prompts import Point, Prompts
from maskwright.core.protocol import EvaluationItem
from maskwright.inference.segmentation import Segmentation
from maskwright.inference.uncertainty import Uncertainty
from maskwright.inference.uncertainty_eval import auroc_of_worst, evaluate_user, more_clicks

SHAPE = (40, 60)
LEFT, RIGHT = (slice(10, 30), slice(5, 25)), (slice(12, 24), slice(35, 47))


@dataclass
class Columns:
    """A model that finds the half of the picture that was clicked, whole; proposes what it is told to."""

    proposals: list[tuple[float, float, bool] | None]
    asked: int = 0
    clicks: list[Point] = field(default_factory=list)

    def encode(self, image: np.ndarray, **_: object) -> Features:
        return Features((), (image.shape[0], image.shape[1]))

    def segment(self, features: Features, prompts: Prompts, *, previous: object = None) -> Segmentation:
        mask = np.zeros(SHAPE, bool)
        self.clicks = [p for p in prompts if isinstance(p, Point)]
        for p in self.clicks:
            if p.positive:
                mask[LEFT if p.x < 30 else RIGHT] = True
        return Segmentation(mask, np.zeros((1, 1), np.float32), 0.5)

    def uncertainty(self, features: Features, prompts: Prompts, segmentation: Segmentation) -> Uncertainty:
        self.asked += 1
        proposal = self.proposals[min(self.asked, len(self.proposals)) - 1]
        return Uncertainty(np.zeros(SHAPE, np.float32), 0.3, proposal)


def items(*parts: tuple[slice, slice], ignore: tuple[slice, slice] | None = None) -> list[EvaluationItem]:
    raw = np.zeros(SHAPE, np.uint8)
    for part in parts:
        raw[part] = 255
    if ignore is not None:
        raw[ignore] = 128
    image = np.zeros(SHAPE, np.uint8)
    return [EvaluationItem("a", "a.png", lambda: image, lambda: raw)]


def run(model: Columns, user: str, *parts: tuple[slice, slice], **options):
    return evaluate_user(items(*parts, **options), segmenter=model, user=user, clicks=4)  # type: ignore[arg-type]


def test_the_oracle_never_asks():
    model = Columns([None])
    found = run(model, "oracle", LEFT, RIGHT)
    assert model.asked == 0 and found.curves.shape == (1, 4) and found.curves[0].tolist() == [400 / 544, 1, 1, 1]
    assert len(found.scores) == 0


@pytest.mark.parametrize("user", ["follow", "check"])
def test_a_proposal_in_an_error_is_clicked_with_its_true_sign(user: str):
    model = Columns([(36.2, 13.4, False)])  # the model has the sign wrong
    found = run(model, user, LEFT, RIGHT)
    assert model.clicks[1] == Point(36, 13) and found.curves[0].tolist() == [400 / 544, 1, 1, 1]
    assert (found.proposed, found.in_error) == (1, 1)
    assert found.scores.tolist() == [0.3] and found.ious.tolist() == [400 / 544]


def test_a_proposal_where_nothing_is_wrong_costs_who_follows_and_not_who_looks():
    proposals = [(55.0, 5.0, True), (36.0, 13.0, True)]
    follower = Columns(list(proposals))
    found = run(follower, "follow", LEFT, RIGHT)
    assert follower.clicks[1] == Point(55, 5, positive=False) and found.curves[0].tolist() == [
        400 / 544,
        400 / 544,
        1,
        1,
    ]
    assert (found.proposed, found.in_error) == (2, 1)
    looker = Columns(list(proposals))
    assert run(looker, "check", LEFT, RIGHT).curves[0].tolist() == [400 / 544, 1, 1, 1]


@pytest.mark.parametrize("proposal", [None, (15.0, 20.0, True), (55.0, 35.0, True)])
def test_without_a_place_of_use_the_centre_of_the_largest_error_is_clicked(proposal):
    """No proposal; the place of the first click; a place that is not to be judged."""
    model = Columns([proposal])
    first = run(Columns([None]), "oracle", LEFT, RIGHT, ignore=(slice(32, 40), slice(50, 60)))
    found = run(model, "follow", LEFT, RIGHT, ignore=(slice(32, 40), slice(50, 60)))
    if proposal == (15.0, 20.0, True):
        model_first = model.clicks[0]
        assert abs(model_first.x - 15) <= 2 and abs(model_first.y - 20) <= 2
        return
    assert found.proposed == 0 and found.curves.tolist() == first.curves.tolist()


def test_a_user_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="a user is one of"):
        evaluate_user([], segmenter=Columns([None]), user="me")  # type: ignore[arg-type]


def test_how_many_more_clicks():
    oracle = np.array([[0.5, 0.9, 0.9, 0.9], [0.95, 0.95, 0.95, 0.95]])
    user = np.array([[0.5, 0.6, 0.9, 0.9], [0.95, 0.95, 0.95, 0.95]])
    assert more_clicks(oracle, oracle, 0.9) == 1
    assert more_clicks(user, oracle, 0.9) == pytest.approx(4 / 3)


def test_ranking_by_uncertainty():
    ious = np.linspace(0.1, 1, 20)
    assert auroc_of_worst(1 - ious, ious) == 1 and auroc_of_worst(ious, ious) == 0
    assert auroc_of_worst(np.zeros(20), ious) == 0.5
    assert math.isnan(auroc_of_worst(np.zeros(1), np.zeros(1)))
