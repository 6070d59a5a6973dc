"""Trains neck and head on stored trunk features: one loop, resumable, with an average of the weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.errors import ModelError
from maskwright_models.data.samples import Sample, SampleSource
from maskwright_models.run_folder import append_row, forget_later_rows, save_whole
from maskwright_models.train.batch import batch_of, half_precision, of_objects
from maskwright_models.train.checkpoints import read_checkpoint
from maskwright_models.train.held import held_answers
from maskwright_models.train.losses import head_loss, word_loss
from maskwright_models.train.schedule import kept_share, optimiser_for, rate_factor
from maskwright_models.train.simulation import begin, look_ahead
from maskwright_models.train.start import begin_with, start_weights
from maskwright_models.zoo.dinov2_imsa import Head, HeadConfig, Neck


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Recipe. ``hours`` is the whole budget: the learning rate falls with the time used, also over restarts.

    With ``steps`` those are the budget instead, so that runs can be compared however busy the machine is.
    ``read_again`` is the share of first answers that are given back without a correction, as the app does with its
    first.
    """

    hours: float = 2.0
    steps: int | None = None
    views: int = 6
    objects: int = 3
    rate: float = 2e-3
    weight_decay: float = 0.03
    warmup_steps: int = 150
    clip: float = 1.0
    average: float = 0.998
    seed: int = 1
    save_minutes: float = 6.0
    log_steps: int = 20
    read_again: float = 0.3
    words_weight: float = 0.5


class Trainable(nn.Module):
    """Neck and head together, what is trained and averaged."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.neck = Neck(config)
        self.head = Head(config)


class Trainer:
    """State of one training run in ``folder``: ``last.pt`` to go on from, ``log.jsonl`` with one row per log step."""

    def __init__(
        self,
        folder: Path,
        source: SampleSource,
        *,
        model: HeadConfig,
        recipe: TrainConfig,
        device: torch.device,
        start: Path | None = None,
        held: Sequence[Sample] = (),
    ) -> None:
        """``start`` is a checkpoint or model folder whose weights a new run begins with, as far as its shapes agree.

        ``held`` are views it never trains on. ``new`` names the weights that nothing was given for.
        """
        self.folder, self.source, self.recipe, self.device = folder, source, recipe, device
        self.config, self.held, self.new = model, list(held), ()
        torch.manual_seed(recipe.seed)
        self.net = Trainable(model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None and not (folder / "last.pt").exists():
            self.new = begin_with(self.net, start_weights(start, device), start)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(requires_grad=False)
        self.optimiser = optimiser_for(self.net.parameters(), rate=recipe.rate, weight_decay=recipe.weight_decay)
        self.step, self.seconds = 0, 0.0
        if (folder / "last.pt").exists():
            self._load()

    def run(self, *, on_save: Callable[[Trainer], None] | None = None) -> None:
        """Train until the budget is used up."""
        rng = np.random.default_rng([self.recipe.seed, self.step])
        batches = self.source.batches(self.recipe.views, seed=self.recipe.seed + self.step)
        last, saved, rows = time.monotonic(), time.monotonic(), []
        self.net.train()
        while self.progress < 1:
            rows.append(self._one_step(next(batches), rng))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if self.step % self.recipe.log_steps == 0:
                self._log(rows)
                rows = []
            if now - saved > 60 * self.recipe.save_minutes or self.progress >= 1:
                self.save()
                self._log_held()
                self.source.refresh()
                saved = last = time.monotonic()
                if on_save is not None:
                    on_save(self)

    @property
    def progress(self) -> float:
        """Share of the budget used, 0..1."""
        if self.recipe.steps is not None:
            return min(1.0, self.step / self.recipe.steps)
        return min(1.0, self.seconds / (3600 * self.recipe.hours))

    def _one_step(self, samples: list[Sample], rng: np.random.Generator) -> dict[str, float]:
        recipe = self.recipe
        rate = recipe.rate * rate_factor(self.step, self.progress, warmup_steps=recipe.warmup_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch, autocast = batch_of(samples, self.device), partial(half_precision, self.device)
        with autocast():
            maps = self.net.neck(batch.tokens, batch.stem)
            features = of_objects(maps, samples)
            named = self.net.head.word_logits(maps[0], batch.words, batch.view_of)
        words = word_loss(named.float(), batch.shares)
        state = begin(samples, rng, self.device)
        ahead = min(6, int(rng.geometric(0.5)) - 1)
        look_ahead(self.net.head, tuple(f.detach() for f in features), state, ahead, autocast)
        again = ahead == 0 and rng.random() < recipe.read_again
        total: Tensor = 2 * recipe.words_weight * words
        out: dict[str, float] = {"ahead": float(ahead), "rate": rate, "words": words.item()}
        for k in range(2):
            with autocast():
                answer = self.net.head.answer(*features, *state.inputs(self.device))
            loss = head_loss(answer, batch.truth, batch.valid)
            total = total + loss.total
            out |= {f"mask{k}": loss.mask.item(), f"score{k}": loss.score.item()}
            out |= {f"iou{k}": loss.iou.item(), f"chosen{k}": loss.chosen_iou.item()}
            if k == 0:
                state.advance(answer.logits.detach(), answer.offered.detach(), again=again)
        self.optimiser.zero_grad(set_to_none=True)
        (total / 2).backward()
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), recipe.clip)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.step += 1
        self._average()
        return out | {"grad": float(norm)}

    def measure(self, clicks: int = 3) -> dict[str, float]:
        """IoU of the chosen candidate of the averaged weights after each of ``clicks`` prompts, on the held views."""
        if not self.held:
            return {}
        _, iou = held_answers(self.average.neck, self.average.head, self.held, device=self.device, clicks=clicks)
        return {f"held{k + 1}": round(float(v), 4) for k, v in enumerate(iou.mean(0))}

    def _average(self) -> None:
        keep = kept_share(self.step, self.recipe.average)
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.net.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(now, 1 - keep)
                else:
                    mean.copy_(now)

    def _log(self, rows: list[dict[str, float]]) -> None:
        mean = {k: float(f"{np.mean([r[k] for r in rows if k in r]):.5g}") for k in rows[-1]}
        self._write(mean)

    def _log_held(self) -> None:
        if self.held:
            self._write(self.measure())

    def _write(self, values: Mapping[str, float]) -> None:
        append_row(self.folder, {"step": self.step, "hours": round(self.seconds / 3600, 4), **values})

    def save(self) -> None:
        """Write ``last.pt`` in one piece: a kill during the write leaves the older one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "config": asdict(self.config),
            "recipe": asdict(self.recipe),
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        save_whole(state, self.folder / "last.pt")

    def _load(self) -> None:
        path = self.folder / "last.pt"
        state = read_checkpoint(path, self.device)
        _fill(self.net, state, "net", path)
        _fill(self.average, state, "average", path)
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        forget_later_rows(self.folder, self.step)


def load_trained(path: Path) -> Trainable:
    """The averaged weights of a checkpoint, in evaluation mode.

    Raises ModelError as :func:`read_checkpoint`, and for a checkpoint of another architecture.
    """
    state = read_checkpoint(path)
    config = dict(state["config"])
    config["ratios"] = tuple(config["ratios"])
    try:
        net = Trainable(HeadConfig(**config))
    except TypeError as error:
        raise _of_another(path) from error
    _fill(net, state, "average", path)
    return net.eval()


def _fill(net: Trainable, state: Mapping[str, Any], name: str, path: Path) -> None:
    try:
        net.load_state_dict(state[name])
    except (KeyError, RuntimeError) as error:  # torch lists every name
        raise _of_another(path) from error


def _of_another(path: Path) -> ModelError:
    return ModelError("this is a checkpoint of another architecture", path=path, hint="Train with this release.")
