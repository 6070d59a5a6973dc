"""What the uncertainty of a model is worth: clicks where it proposes them, and masks ranked by it.

The user of the number-of-clicks protocol knows the truth and clicks the centre of the largest error. Here the same user
follows the proposal of the model instead, in two ways:

* ``follow`` clicks the proposed place every time and gives it its true sign, also where nothing is wrong there. Such a
  click counts like any other. Only where the model proposes nothing, or the place is of no use (outside what is to be
  judged, or clicked before), the centre of the largest error is clicked instead.
* ``check`` looks at the proposed place first and clicks it only where it is wrong; otherwise the centre of the largest
  error is clicked. Looking costs nothing.

The first click of all is the protocol's: without a mask there is nothing to be unsure of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.core.features import Features
from maskwright.core.metrics import auroc, iou, worst
from maskwright.core.prompts import Point, Prompts
from maskwright.core.protocol import EvaluationItem, clicks_to_reach, deepest_error
from maskwright.inference.segmenter import Segmenter

USERS = ("oracle", "follow", "check")
ENOUGH = 0.9
"""A curve is followed to this IoU, at least to the second click, and then taken as level."""


@dataclass(frozen=True, slots=True, eq=False)
class UserCurves:
    """One kind of user: IoU curves (objects, clicks); the uncertainty and IoU of every mask that was doubted.

    ``proposed`` counts proposals, ``in_error`` those at a place that was wrong.
    """

    user: str
    curves: np.ndarray
    scores: np.ndarray
    ious: np.ndarray
    proposed: int
    in_error: int


def evaluate_user(
    items: Sequence[EvaluationItem],
    *,
    segmenter: Segmenter,
    user: str,
    clicks: int = 20,
    on_object: Callable[[int, int], None] | None = None,
) -> UserCurves:
    """Run the protocol with one of `USERS`. ``on_object(done, total)`` reports progress."""
    if user not in USERS:
        raise ValueError(f"a user is one of {USERS}, not {user!r}")
    run, curves = _User(segmenter, user, clicks), []
    last: tuple[str, Features] | None = None
    for done, item in enumerate(items):
        if last is None or last[0] != item.image_name:
            last = item.image_name, segmenter.encode(item.image())
        raw = item.mask()
        if (raw == 255).any():
            curve = run.curve(last[1], raw)
            curves.append(curve + [curve[-1]] * (clicks - len(curve)))
        if on_object is not None:
            on_object(done + 1, len(items))
    return UserCurves(
        user, np.array(curves), np.array(run.scores), np.array(run.ious), proposed=run.proposed, in_error=run.in_error
    )


def more_clicks(curves: np.ndarray, oracle: np.ndarray, threshold: float) -> float:
    """How many times as many clicks as the oracle's a user needs to reach an IoU, on the mean over objects."""
    return float(np.mean(clicks_to_reach(curves, threshold)) / np.mean(clicks_to_reach(oracle, threshold)))


def auroc_of_worst(scores: np.ndarray, ious: np.ndarray) -> float:
    """How well scores (n,) find the tenth of masks with the lowest IoU (n,)."""
    return auroc(scores, worst(ious))


class _User:
    def __init__(self, segmenter: Segmenter, user: str, clicks: int) -> None:
        self._segmenter, self._user, self._clicks = segmenter, user, clicks
        self.scores: list[float] = []
        self.ious: list[float] = []
        self.proposed = self.in_error = 0

    def curve(self, features: Features, raw: np.ndarray) -> list[float]:
        truth, valid = raw == 255, raw != 128
        prediction, free = np.zeros_like(truth), np.ones(truth.shape, np.float32)
        prompts, previous, curve = Prompts(), None, []
        for k in range(self._clicks):
            click = deepest_error(prediction, truth, valid, free)
            if click is None:
                break
            if previous is not None and self._user != "oracle":
                found = self._segmenter.uncertainty(features, prompts, previous)
                if k == 1:  # one mask an object, after its first click
                    self.scores.append(found.score)
                    self.ious.append(curve[-1])
                click = self._chosen(found.next_click, click, prediction, truth, valid & (free > 0))
            x, y, positive = click
            free[y, x] = 0
            prompts = prompts.add(Point(float(x), float(y), positive=positive))
            previous = self._segmenter.segment(features, prompts, previous=previous)
            prediction = np.asarray(previous.mask, bool)
            curve.append(iou(prediction, truth, valid))
            if curve[-1] >= ENOUGH and len(curve) >= 2:
                break
        return curve

    def _chosen(
        self,
        proposal: tuple[float, float, bool] | None,
        centre: tuple[int, int, bool],
        prediction: np.ndarray,
        truth: np.ndarray,
        usable: np.ndarray,
    ) -> tuple[int, int, bool]:
        if proposal is None:
            return centre
        x, y = round(proposal[0]), round(proposal[1])
        if not usable[y, x]:
            return centre
        self.proposed += 1
        wrong = bool(prediction[y, x] != truth[y, x])
        self.in_error += wrong
        if not wrong and self._user == "check":
            return centre
        return x, y, bool(truth[y, x])
