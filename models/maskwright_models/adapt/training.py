"""Trains the head a little further on a few masks: close to its base, part of the way, never past the clock."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwright_models.adapt.clock import Clock
from maskwright_models.adapt.shelf import Seen
from maskwright_models.data.samples import Sample
from maskwright_models.export.read_back import TRAINED_WITH
from maskwright_models.train.losses import head_loss
from maskwright_models.train.simulation import begin, look_ahead
from maskwright_models.zoo.dinov2_imsa import TEXT_WIDTH, Head

FROZEN = ("text_token", "text_match", "named")
"""Parts that only words train: a project does not say that all of a label is marked on a slice."""


def is_frozen(name: str) -> bool:
    """Whether a weight stays: it is for words, or an exported head does not have it."""
    return name.split(".")[0] in FROZEN or name in TRAINED_WITH


@dataclass(frozen=True, slots=True)
class Recipe:
    """How far, and how, a head may go. ``until`` is the part of the clock's time at which training ends at the latest.

    ``pull`` times the learning rate is how far each step takes the weights back to those of the base (L2-SP: Li et al.,
    "Explicit Inductive Bias for Transfer Learning", 2018). Each mask of each view is looked at ``looks`` times, in
    ``least_steps`` steps or more; ``read_again`` is the share of first answers that come back without a correction.
    """

    until: float = 0.8
    objects: int = 8
    rate: float = 3e-4
    pull: float = 5.0
    average: float = 0.97
    warmup_steps: int = 10
    clip: float = 1.0
    read_again: float = 0.3
    least_steps: int = 80
    looks: int = 8
    seed: int = 1

    def steps(self, views: Sequence[Seen]) -> int:
        """Steps that the masks of ``views`` are worth."""
        return max(self.least_steps, self.looks * sum(len(view.labels) for view in views) // self.objects)


def train_head(
    base: Head,
    views: Sequence[Seen],
    *,
    recipe: Recipe,
    clock: Clock,
    on_step: Callable[[int, float], None] | None = None,
) -> tuple[Head, int]:
    """Fit a copy of ``base`` to ``views``; the copy, its weights averaged, and the steps that there was time for.

    ``on_step(step, share)`` is told what part of the training is done.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    head = copy.deepcopy(base).eval().requires_grad_()  # batch norms keep the statistics they have
    head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, parameter in head.named_parameters():
        if is_frozen(name):
            parameter.requires_grad = False
    average = copy.deepcopy(head)
    moving = [p for p in head.parameters() if p.requires_grad]
    home = [p.detach().clone() for p in moving]
    means = [p for p, q in zip(average.parameters(), head.parameters(), strict=True) if q.requires_grad]
    optimiser = torch.optim.AdamW(moving, lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.0)
    draw, steps, step = Draw(views, rng), recipe.steps(views), 0
    start = before = clock.share
    longest = 0.0
    while step < steps:
        at = clock.share
        before, longest = at, max(longest, at - before)
        if step and at + longest > recipe.until:
            break
        progress = max(step / steps, (at - start) / max(recipe.until - start, 1e-9))
        rate = recipe.rate * min(1.0, (step + 1) / recipe.warmup_steps)
        rate *= 0.05 + 0.475 * (1 + math.cos(math.pi * min(progress, 1.0)))
        _one_step(head, draw(recipe.objects), optimiser, moving, rng, rate=rate, recipe=recipe)
        step += 1
        keep = min(recipe.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for now, first, mean in zip(moving, home, means, strict=True):
                now.lerp_(first, min(1.0, rate * recipe.pull))
                mean.lerp_(now, 1 - keep)
        if on_step is not None:
            on_step(step, step / steps)
    return average.eval(), step


def between(base: Head, trained: Head, share: float) -> Head:
    """The head at ``share`` of the way from ``base`` to ``trained``.

    Source: Wortsman et al., "Robust Fine-tuning of Zero-Shot Models", 2022.
    """
    head = copy.deepcopy(trained)
    with torch.no_grad():
        for weight, first in zip(head.parameters(), base.parameters(), strict=True):
            weight.copy_(torch.lerp(first, weight, share))
    return head.eval()


class Draw:
    """Draws objects: labels by the root of how many there are, views of a label alike."""

    def __init__(self, views: Sequence[Seen], rng: np.random.Generator) -> None:
        self.views, self.rng = views, rng
        self.places: dict[str, list[tuple[int, int]]] = {}
        for n, view in enumerate(views):
            for k, label in enumerate(view.labels):
                self.places.setdefault(label, []).append((n, k))
        self.labels = sorted(self.places)
        weights = np.sqrt([len(self.places[label]) for label in self.labels])
        self.chances = weights / weights.sum()

    def __call__(self, count: int) -> list[Sample]:
        """``count`` samples of one object each."""
        out = []
        for which in self.rng.choice(len(self.labels), count, p=self.chances):
            places = self.places[self.labels[int(which)]]
            n, k = places[int(self.rng.integers(len(places)))]
            out.append(sample_of(self.views[n], k))
        return out


def sample_of(view: Seen, k: int) -> Sample:
    """Object ``k`` of a view as training takes it: what the head reads lies where the frozen maps lay."""
    coarse, *fine = (a[0] for a in view.arrays)
    text, none = np.zeros((1, TEXT_WIDTH), np.float32), np.zeros(1, bool)
    return Sample(coarse, tuple(fine), view.truths[k : k + 1], view.valid[k : k + 1], none, text)


def _one_step(
    head: Head,
    samples: list[Sample],
    optimiser: torch.optim.Optimizer,
    moving: Sequence[Tensor],
    rng: np.random.Generator,
    *,
    rate: float,
    recipe: Recipe,
) -> float:
    """Two clicks with gradient, after some without; the loss."""
    device = moving[0].device
    for group in optimiser.param_groups:
        group["lr"] = rate
    features = _maps([(s.tokens, *s.stem) for s in samples], device)
    truth, valid = (
        torch.from_numpy(np.concatenate(part)).to(device).float()[:, None]
        for part in ([s.truths for s in samples], [s.valid for s in samples])
    )

    def autocast() -> torch.autocast:
        return _autocast(device)

    state = begin(samples, rng, device)
    ahead = min(6, int(rng.geometric(0.5)) - 1)
    look_ahead(head, features, state, ahead, autocast)
    again = ahead == 0 and rng.random() < recipe.read_again
    total = torch.zeros((), device=device)
    for k in range(2):
        with autocast():
            answer = head.answer(*features, *state.inputs(device))
        answer.rough = answer.rough.detach()
        total = total + head_loss(answer, truth, valid).total / 2
        if k == 0:
            state.advance(answer.logits.detach(), answer.offered.detach(), again=again)
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    norm = torch.nn.utils.clip_grad_norm_(moving, recipe.clip)
    if torch.isfinite(norm):
        optimiser.step()
    return total.item()


def _maps(views: Sequence[tuple[np.ndarray, ...]], device: torch.device) -> tuple[Tensor, ...]:
    """Features of several objects, each (B, C, h, w) float32, channels last."""
    return tuple(
        torch.from_numpy(np.stack(part)).to(device).float().to(memory_format=torch.channels_last)
        for part in zip(*views, strict=True)
    )


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16 if device.type == "cpu" else torch.float16)
