"""Trains the head a little further on a few masks: close to its base, part of the way, never past the clock."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwright.core.metrics import dice_of_iou, iou
from maskwright.core.protocol import deepest_error
from maskwright_models.adapt.clock import Clock
from maskwright_models.adapt.shelf import Seen
from maskwright_models.data.clicks import PAD, to_input
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
    "Explicit Inductive Bias for Transfer Learning", 2018). ``shares`` are how far towards the trained weights the
    candidates lie (Wortsman et al., "Robust Fine-tuning of Zero-Shot Models", 2022). Each mask of each view is looked
    at ``looks`` times, in ``least_steps`` steps or more; ``read_again`` is the share of first answers that are given
    back without a correction, ``clicks`` how many of them the choice among the candidates goes by.
    """

    until: float = 0.8
    objects: int = 8
    rate: float = 3e-4
    pull: float = 5.0
    average: float = 0.97
    warmup_steps: int = 10
    clip: float = 1.0
    read_again: float = 0.3
    clicks: int = 4
    shares: tuple[float, ...] = (0.25, 0.5, 1.0)
    least_steps: int = 80
    looks: int = 8
    seed: int = 1

    def steps(self, views: Sequence[Seen]) -> int:
        """Steps that the masks of ``views`` are worth."""
        return max(self.least_steps, self.looks * sum(len(view.labels) for view in views) // self.objects)


@dataclass(frozen=True, slots=True)
class Trained:
    """The best head, None where the base was not beaten; ``figures`` has (share of the way, figure), the base first."""

    head: Head | None
    steps: int
    share: float
    figures: tuple[tuple[float, float], ...]


def train_head(
    base: Head,
    views: Sequence[Seen],
    compared: Sequence[Seen],
    *,
    recipe: Recipe,
    clock: Clock,
    passes: int = 1,
    on_step: Callable[[int, float], None] | None = None,
) -> Trained:
    """Fit a copy of ``base`` to ``views``, and take as much of that as does best on ``compared``.

    The first answer is read ``passes`` times, as the app does. ``on_step(step, share)`` is told what part of the
    training is done.
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
    began = clock.share
    figures = [(0.0, figure(base, compared, clicks=recipe.clicks, passes=passes))]
    start = before = clock.share
    until, longest = recipe.until - len(recipe.shares) * (start - began), 0.0
    while step < steps:
        at = clock.share
        before, longest = at, max(longest, at - before)
        if step and at + longest > until:
            break
        progress = max(step / steps, (at - start) / max(until - start, 1e-9))
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
    ends = [mean.detach().clone() for mean in means]
    for share in recipe.shares:
        _go(means, home, ends, share)
        figures.append((share, figure(average, compared, clicks=recipe.clicks, passes=passes)))
    share, _ = max(figures, key=lambda pair: pair[1])  # the base where nothing is better
    _go(means, home, ends, share)
    return Trained(average.eval() if share else None, step, share, tuple(figures))


def _go(weights: Sequence[Tensor], home: Sequence[Tensor], ends: Sequence[Tensor], share: float) -> None:
    """Set ``weights`` to those at ``share`` of the way from ``home`` to ``ends``."""
    with torch.no_grad():
        for weight, first, last in zip(weights, home, ends, strict=True):
            weight.copy_(torch.lerp(first, last, share))


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


def figure(head: Head, views: Sequence[Seen], *, clicks: int, passes: int = 1, batch: int = 8) -> float:
    """Mean Dice over the first ``clicks`` clicks of the protocol on the grid of the head, 0..1."""
    objects = [(view, k) for view in views for k in range(len(view.truths))]
    found = [
        figures_of(head, objects[i : i + batch], clicks=clicks, passes=passes) for i in range(0, len(objects), batch)
    ]
    return float(np.mean(np.concatenate(found)))


@torch.no_grad()
def figures_of(head: Head, objects: Sequence[tuple[Seen, int]], *, clicks: int, passes: int = 1) -> np.ndarray:
    """Dice of each object after each click of the number-of-clicks protocol, (objects, clicks).

    The first answer is read ``passes`` times, as the app does.
    """
    device = next(head.parameters()).device
    features = _maps([tuple(a[0] for a in view.arrays) for view, _ in objects], device)
    truths = [view.truths[k] for view, k in objects]
    valid = [view.valid[k] for view, k in objects]
    b, shape = len(objects), truths[0].shape
    free = [np.ones(shape, np.float32) for _ in objects]
    masks = np.zeros((b, *shape), bool)
    coords = np.zeros((b, clicks, 2), np.float32)
    labels = np.full((b, clicks), PAD, np.float32)
    logits, has = torch.zeros(b, 1, *shape, device=device), torch.zeros(b, device=device)
    text, no_text = torch.zeros(b, TEXT_WIDTH, device=device), torch.zeros(b, device=device)
    out = np.zeros((b, clicks))
    for n in range(clicks):
        for i in range(b):
            click = deepest_error(masks[i], truths[i], valid[i], free[i])
            if click is not None:
                x, y, positive = click
                free[i][y, x] = 0
                coords[i, n], labels[i, n] = to_input(np.array([x, y])), float(positive)
        asked = (torch.from_numpy(coords[:, : n + 1]).to(device), torch.from_numpy(labels[:, : n + 1]).to(device))
        for _ in range(1 if n else passes):
            with _autocast(device):
                every, scores = head(*features, *asked, logits, has, text, no_text)
            chosen = every[torch.arange(b), scores.argmax(1)].float()
            logits, has = chosen[:, None].clamp(-20, 20), torch.ones_like(has)
        masks = (chosen > 0).cpu().numpy()
        out[:, n] = [dice_of_iou(iou(m, t, v)) for m, t, v in zip(masks, truths, valid, strict=True)]
    return out


def _maps(views: Sequence[tuple[np.ndarray, ...]], device: torch.device) -> tuple[Tensor, ...]:
    """Features of several objects, each (B, C, h, w) float32, channels last."""
    return tuple(
        torch.from_numpy(np.stack(part)).to(device).float().to(memory_format=torch.channels_last)
        for part in zip(*views, strict=True)
    )


def _autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16 if device.type == "cpu" else torch.float16)
