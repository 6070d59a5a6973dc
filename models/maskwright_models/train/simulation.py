"""One training step's clicks: users act on the head's own errors, without gradient first, then with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwright_models.data.clicks import SimulatedUser, batch_prompts
from maskwright_models.zoo.dinov2_imsa import LOGITS, Head

START_LOGIT = 6.0


@dataclass(slots=True, eq=False)
class Round:
    """State of all objects of a batch between two clicks."""

    users: list[SimulatedUser]
    mask_input: Tensor  # (B, 1, 256, 256) logits
    has_mask: Tensor  # (B,)

    def inputs(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The head's prompt inputs."""
        coords, labels = batch_prompts(self.users)
        return (
            torch.from_numpy(coords).to(device),
            torch.from_numpy(labels).to(device),
            self.mask_input,
            self.has_mask,
        )

    def advance(self, logits: Tensor, scores: Tensor) -> None:
        """Feed the chosen candidate back and let each user correct it."""
        chosen = scores.argmax(1)
        self.mask_input = logits[torch.arange(len(logits)), chosen][:, None].detach().float().clamp(-20, 20)
        self.has_mask = torch.ones_like(self.has_mask)
        masks = (self.mask_input[:, 0] > 0).cpu().numpy()
        for user, mask in zip(self.users, masks, strict=True):
            user.correct(mask)


def begin(
    truths: np.ndarray, valid: np.ndarray, rng: np.random.Generator, device: torch.device, *, poor_masks: float = 0.08
) -> Round:
    """First prompts of (B, 256, 256) bool objects; a share of them starts from a poor mask and its correction."""
    users = [
        SimulatedUser(t, v, np.random.default_rng(rng.integers(2**63))) for t, v in zip(truths, valid, strict=True)
    ]
    logits = np.zeros((len(users), 1, LOGITS, LOGITS), np.float32)
    has = np.zeros(len(users), np.float32)
    for i, user in enumerate(users):
        if rng.random() < poor_masks:
            mask = user.poor_mask()
            logits[i, 0] = np.where(mask, START_LOGIT, -START_LOGIT)
            has[i] = 1
            user.correct(mask)
        else:
            user.start()
    return Round(users, torch.from_numpy(logits).to(device), torch.from_numpy(has).to(device))


def look_ahead(
    head: Head, features: tuple[Tensor, ...], state: Round, clicks: int, autocast: Callable[[], torch.autocast]
) -> None:
    """Run ``clicks`` clicks without gradient, in evaluation mode."""
    if clicks == 0:
        return
    was_training = head.training
    head.eval()
    device = state.mask_input.device
    with torch.no_grad(), autocast():
        for _ in range(clicks):
            logits, scores = head(*features, *state.inputs(device))
            state.advance(logits, scores)
    head.train(was_training)
