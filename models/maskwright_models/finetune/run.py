"""One fine-tuning run: draws batches, steps, logs, saves, and writes the official checkpoint at its end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright.core.errors import ModelError
from maskwright_models.finetune.files import LAST, RESULT, read_last
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.start import Start
from maskwright_models.finetune.systems import SYSTEMS
from maskwright_models.registry import family
from maskwright_models.run_folder import append_row, forget_later_rows, save_whole

AHEAD = 2
"""Batches that are read while one is trained on."""


def resumed(folder: Path, *, name: str, variant: str) -> Start | None:
    """The model of the run in ``folder`` as it last saved it, None where it has not.

    Raises ModelError where that is of another family or variant than is asked for, or cannot be read.
    """
    last = read_last(folder)
    if last is None:
        return None
    has = (last["family"], last["variant"])
    if has[0] != name or variant not in ("auto", has[1]):
        raise ModelError(
            f"this folder holds a run of {has[0]} {has[1]}, not of {name} {variant}",
            path=folder,
            hint="Name another folder for --out.",
        )
    return Start(has[0], has[1], family(name).build(has[1]), last["kept"], last)


class Run:
    """State of one run in ``folder``: ``last.pt`` to go on from, ``log.jsonl``, and ``finetuned.pth`` when it is over.

    All that is random in a step comes from the seed and the number of the step, so that a run that was stopped and
    taken up again gives what one that never stopped gives.
    """

    def __init__(self, folder: Path, start: Start, pictures: Pictures, *, recipe: Recipe, device: torch.device) -> None:
        self.folder, self.name, self.variant, self.recipe = folder, start.name, start.variant, recipe
        self.tuning = SYSTEMS[start.name](start, pictures, recipe, device)
        self.optimiser = self.tuning.optimiser()
        self.step, self.seconds = 0, 0.0
        if start.last is not None:
            self._go_on(start.last)

    @property
    def progress(self) -> float:
        """Share of the budget that is used up, 0..1."""
        return self.recipe.progress(self.step, self.seconds)

    def run(self) -> Path:
        """Train until the budget is used up; returns the checkpoint with the official names.

        Raises ScanError where images cannot be read or show no object.
        """
        rows: list[dict[str, float]] = []
        last = saved = time.monotonic()
        for batch in self._batches():
            rows.append(self._one_step(batch))
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            over = self.progress >= 1
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.step % self.recipe.log_steps == 0 or over:
                self._log(rows)
                rows = []
            if now - saved > 60 * self.recipe.save_minutes or over:
                self.save()
                saved = last = time.monotonic()
            if over:
                break
        result = self.folder / RESULT
        save_whole(self.tuning.official(), result)
        return result

    def _batches(self) -> Iterator[Any]:
        """Batches from the current step on, none where the budget is used up."""
        if self.progress >= 1:
            return
        with ThreadPoolExecutor(max_workers=AHEAD) as pool:
            ready: deque[Future[Any]] = deque()
            number = self.step
            try:
                while True:
                    while len(ready) < AHEAD:
                        ready.append(pool.submit(self.tuning.draw, self._rng(number, 0)))
                        number += 1
                    yield ready.popleft().result()
            finally:
                for one in ready:
                    one.cancel()

    def _rng(self, step: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.recipe.seed, step, purpose])

    def _one_step(self, batch: Any) -> dict[str, float]:
        rng = self._rng(self.step, 1)
        torch.manual_seed(int(rng.integers(2**31)))
        factor = self.tuning.rate_factor(self.step, self.progress)
        for group in self.optimiser.param_groups:
            group["lr"] = group["top"] * factor
        row = self.tuning.step(batch, rng, self._update)
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return {**row, "rate": max(group["lr"] for group in self.optimiser.param_groups)}

    def _update(self) -> None:
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _log(self, rows: list[dict[str, float]]) -> None:
        names = dict.fromkeys(k for row in rows for k in row)
        mean = {k: float(f"{np.mean([row[k] for row in rows if k in row]):.5g}") for k in names}
        append_row(self.folder, {"step": self.step, "hours": round(self.seconds / 3600, 4), **mean})

    def save(self) -> None:
        """Write ``last.pt`` in one piece."""
        state = {
            "family": self.name,
            "variant": self.variant,
            "recipe": asdict(self.recipe),
            "module": self.tuning.module.state_dict(),
            "kept": dict(self.tuning.kept),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        save_whole(state, self.folder / LAST)

    def _go_on(self, last: Mapping[str, Any]) -> None:
        asked = [group["top"] for group in self.optimiser.param_groups]  # may differ from what the run had so far
        try:
            self.tuning.module.load_state_dict(last["module"])
            self.optimiser.load_state_dict(last["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:  # torch lists every name
            raise ModelError(
                "this run was made by another release", path=self.folder / LAST, hint="Name another folder for --out."
            ) from error
        for group, top in zip(self.optimiser.param_groups, asked, strict=True):
            group["top"] = top
        self.step, self.seconds = int(last["step"]), float(last["seconds"])
        forget_later_rows(self.folder, self.step)
