"""What a fine-tuning run is asked for: its budget, and what of the published recipe is set otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """Budget and choices of one run.

    ``steps`` and ``hours`` are whole budgets, also over restarts; the one that is used up first ends the run.
    ``batch`` (images a step) and ``rate`` (highest learning rate) are those of the published recipe where None.
    ``rounds`` and ``masks`` are IMIS-Net's: interactions after the first prompt, and masks of one image.
    """

    steps: int | None = None
    hours: float | None = None
    batch: int | None = None
    rate: float | None = None
    rounds: int = 8
    masks: int = 5
    seed: int = 42
    save_minutes: float = 6.0
    log_steps: int = 20

    def __post_init__(self) -> None:
        if self.steps is None and self.hours is None:
            raise ValueError("a run needs steps or hours")

    def progress(self, steps: int, seconds: float) -> float:
        """Share of the budget that is used up, 0..1."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(steps / max(1, self.steps))
        if self.hours is not None:
            shares.append(seconds / max(1e-9, 3600 * self.hours))
        return min(1.0, max(shares))
