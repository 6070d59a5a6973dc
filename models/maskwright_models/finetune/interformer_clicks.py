"""The users that InterFormer is trained with: clicks where the model errs, gathered in its label map.

Source: Huang et al. (ICCV 2023) after RITM (Sofiiuk et al., 2021). A click goes into the deeper of the missed and the
surplus region; the first one into the middle, later ones anywhere that is deep enough.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from maskwright_models.data.clicks import PAD, depth, pick
from maskwright_models.zoo.interformer_map import UNKNOWN, with_clicks, with_prediction

MOST_CLICKS, DECAY = 20, 0.6
"""Corrections before the trained answer: at most this many, each more is 0.6 times as likely."""
INNER = 1.7
"""A later click may be where the region is at least 1 / 1.7 as deep as at its deepest."""
MIDDLE = 2e-7
"""Looseness that allows the deepest pixels alone, any of them where several are equally deep."""


def corrections(rng: np.random.Generator) -> int:
    """How many clicks follow the first one, 0..20; one number for a whole batch."""
    chance = DECAY ** np.arange(MOST_CLICKS + 1)
    return int(rng.choice(MOST_CLICKS + 1, p=chance / chance.sum()))


def next_click(
    prediction: np.ndarray,
    truth: np.ndarray,
    clicked: list[tuple[int, int]],
    rng: np.random.Generator,
    *,
    looseness: float,
) -> tuple[int, int, bool] | None:
    """Where a user clicks next, as (x, y, positive), on (H, W) bool maps; None where nothing is wrong.

    Pixels that were ``clicked`` count as right. Missed pixels win only where they are deeper than surplus ones.
    """
    missed, surplus = truth & ~prediction, prediction & ~truth
    for x, y in clicked:
        missed[y, x] = surplus[y, x] = False
    deep_missed, deep_surplus = depth(missed), depth(surplus)
    positive = bool(deep_missed.max() > deep_surplus.max())
    deep = deep_missed if positive else deep_surplus
    if deep.max() == 0:
        return None
    return (*pick(deep, rng, looseness=looseness), positive)


def simulate(
    predict: Callable[[Tensor], Tensor],
    truth: np.ndarray,
    rng: np.random.Generator,
    *,
    radius: int,
    device: torch.device,
) -> Tensor:
    """Label map (B, 1, H, W) float32 after one click and a random number of corrections, the newest unanswered.

    Parameters
    ----------
    predict
        Label map -> (B, 1, H, W) bool, what the model takes for the object; called once a correction.
    truth
        (B, H, W) bool.
    """
    states = torch.full((len(truth), 1, *truth.shape[1:]), UNKNOWN, device=device)
    clicked: list[list[tuple[int, int]]] = [[] for _ in truth]

    def click(states: Tensor, masks: np.ndarray, looseness: float) -> Tensor:
        coords, labels = np.zeros((len(truth), 1, 2), np.float32), np.full((len(truth), 1), PAD, np.float32)
        for i, mask in enumerate(masks):
            found = next_click(mask, truth[i], clicked[i], rng, looseness=looseness)
            if found is not None:
                x, y, positive = found
                coords[i], labels[i] = (x, y), float(positive)
                clicked[i].append((x, y))
        at, label = (torch.from_numpy(a).to(device) for a in (coords, labels))
        return with_clicks(states, at, label, radius=radius)

    states = click(states, np.zeros_like(truth), MIDDLE)
    for _ in range(corrections(rng)):
        predicted = predict(states)
        states = with_prediction(states, predicted)
        states = click(states, predicted[:, 0].cpu().numpy(), 1 - 1 / INNER)
    return states
