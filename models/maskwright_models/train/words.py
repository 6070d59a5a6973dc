"""Trains what only words go through, on views that the neck has read once: many labels a second, clicks stay as is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.errors import ModelError
from maskwright_models.data.samples import SampleSource
from maskwright_models.export.read_back import TRAINED_WITH
from maskwright_models.run_folder import append_row, save_whole
from maskwright_models.train.batch import half_precision
from maskwright_models.train.losses import word_loss
from maskwright_models.train.schedule import kept_share, optimiser_for, rate_factor
from maskwright_models.train.start import begin_with, start_weights
from maskwright_models.train.trainer import Trainable
from maskwright_models.train.word_views import WordView, drawn
from maskwright_models.zoo.dinov2_imsa import TOKENS, HeadConfig

UNSEEN = tuple(f"head.{name}" for name in TRAINED_WITH)
"""What a model folder does not hold and no answer needs."""


@dataclass(frozen=True, slots=True)
class WordRecipe:
    """``minutes`` is the budget, from the first step on; ``views`` are looked at in one step."""

    minutes: float = 5.0
    views: int = 32
    rate: float = 2e-3
    weight_decay: float = 0.03
    warmup_steps: int = 30
    average: float = 0.998
    seed: int = 1
    log_steps: int = 50
    words_only: bool = True


def word_parameters(net: Trainable) -> dict[str, nn.Parameter]:
    """What an answer without words does not depend on, by name."""
    own = ("neck.named.", "head.text_match.", "head.named")
    return {name: p for name, p in net.named_parameters() if name.startswith(own)}


def net_for_words(path: Path, config: HeadConfig) -> tuple[Trainable, tuple[str, ...]]:
    """The model of a checkpoint or model folder, and the names of what only words go through and begins new.

    Raises ModelError where anything else is missing.
    """
    net = Trainable(config)
    new = begin_with(net, start_weights(path), path)
    if other := [name for name in new if name not in word_parameters(net) and name not in UNSEEN]:
        raise ModelError(
            f"these weights lack {len(other)} parts, first {other[0]}", path=path, hint="Train with this release."
        )
    return net.eval(), new


class WordTrainer:
    """One run over ``views``; ``folder`` gets ``last.pt`` at its end, and rows in ``log.jsonl`` on the way."""

    def __init__(
        self, folder: Path, net: Trainable, source: SampleSource, views: Sequence[WordView], *, recipe: WordRecipe
    ) -> None:
        self.folder, self.net, self.source, self.views, self.recipe = folder, net, source, views, recipe
        net.requires_grad_(requires_grad=False)
        self.moving = word_parameters(net)
        for parameter in self.moving.values():
            parameter.requires_grad_()
        self.mean = {name: p.detach().clone() for name, p in self.moving.items()}
        self.optimiser = optimiser_for(self.moving.values(), rate=recipe.rate, weight_decay=recipe.weight_decay)
        counts = np.bincount([view.which for view in views], minlength=len(source.datasets))
        weights = np.array([source.weights[v.which] / counts[v.which] for v in views])
        self.chances = weights / weights.sum()
        self.step, self.seconds = 0, 0.0

    def run(self) -> None:
        """Train until the budget is used up, then save the averaged weights."""
        torch.manual_seed(self.recipe.seed)
        rng, start, losses = np.random.default_rng(self.recipe.seed), time.monotonic(), []
        self.folder.mkdir(parents=True, exist_ok=True)
        while (progress := self.seconds / (60 * self.recipe.minutes)) < 1:
            losses.append(self.one_step(rng, progress))
            self.seconds = time.monotonic() - start
            if self.step % self.recipe.log_steps == 0:
                row = {"step": self.step, "hours": round(self.seconds / 3600, 4), "words": float(np.mean(losses))}
                append_row(self.folder, row)
                losses = []
        self.save()

    def one_step(self, rng: np.random.Generator, progress: float) -> float:
        """Look at some views; the loss."""
        recipe = self.recipe
        rate = recipe.rate * rate_factor(self.step, progress, warmup_steps=recipe.warmup_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        picked = [self.views[i] for i in rng.choice(len(self.views), recipe.views, p=self.chances)]
        asked = [drawn(self.source, view, rng) for view in picked]
        tokens = torch.stack([view.tokens for view in picked])
        view_of = torch.arange(len(picked)).repeat_interleave(torch.tensor([len(vectors) for vectors, _ in asked]))
        vectors, shares = (torch.from_numpy(np.concatenate(part)) for part in zip(*asked, strict=True))
        loss = word_loss(self._logits(tokens, vectors, view_of), shares)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        self.step += 1
        keep = kept_share(self.step, recipe.average)
        with torch.no_grad():
            for name, parameter in self.moving.items():
                self.mean[name].lerp_(parameter, 1 - keep)
        return loss.item()

    def _logits(self, tokens: Tensor, vectors: Tensor, view_of: Tensor) -> Tensor:
        device = self.net.neck.join.weight.device
        with half_precision(device):
            named = self.net.neck.named_of(tokens.to(device))  # (V, 1024, named)
            maps = named.transpose(1, 2).reshape(len(tokens), -1, TOKENS, TOKENS)[view_of.to(device)]
            return self.net.head.words_on(maps, vectors.to(device)).float().cpu()

    def save(self) -> None:
        """Write ``last.pt`` as a training run does; its trained and averaged weights are the same."""
        with torch.no_grad():
            for name, parameter in self.moving.items():
                parameter.copy_(self.mean[name])
        weights = self.net.state_dict()
        state = {
            "config": asdict(self.net.head.config),
            "recipe": asdict(self.recipe),
            "net": weights,
            "average": weights,
            "step": self.step,
            "seconds": self.seconds,
        }
        save_whole(state, self.folder / "last.pt")
