"""One training step's clicks: users act on the head's own errors, without gradient first, then with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwright_models.data.clicks import SimulatedUser, batch_prompts
from maskwright_models.data.samples import Sample
from maskwright_models.zoo.dinov2_imsa import Head

START_LOGIT = 6.0


@dataclass(slots=True, eq=False)
class Round:
    """State of all objects of a batch between two clicks."""

    users: list[SimulatedUser]
    mask_input: Tensor  # (B, 1, h, w) logits
    has_mask: Tensor  # (B,)
    text: Tensor  # (B, 384)
    has_text: Tensor  # (B,)

    def inputs(self, device: torch.device) -> tuple[Tensor, ...]:
        """The head's prompt inputs."""
        coords, labels = batch_prompts(self.users)
        return (
            torch.from_numpy(coords).to(device),
            torch.from_numpy(labels).to(device),
            self.mask_input,
            self.has_mask,
            self.text,
            self.has_text,
        )

    def advance(self, logits: Tensor, scores: Tensor, *, again: bool = False) -> None:
        """Feed the chosen candidate back and let each user correct it, or only have it read ``again``."""
        chosen = scores.argmax(1)
        self.mask_input = logits[torch.arange(len(logits)), chosen][:, None].detach().float().clamp(-20, 20)
        self.has_mask = torch.ones_like(self.has_mask)
        if again:
            return
        masks = (self.mask_input[:, 0] > 0).cpu().numpy()
        with ThreadPoolExecutor(2) as pool:  # OpenCV's distance transforms let go of the interpreter
            list(pool.map(SimulatedUser.correct, self.users, masks))


def begin(
    samples: Sequence[Sample],
    rng: np.random.Generator,
    device: torch.device,
    *,
    poor_masks: float = 0.08,
    clicked_words: float = 0.2,
) -> Round:
    """First prompts of all objects of ``samples``, view after view.

    Where text asks, the share ``clicked_words`` gets a click as well; of the others the share ``poor_masks`` starts
    from a poor mask and its correction.
    """
    users, logits, has = [], [], []
    for sample in samples:
        for truth, valid, asked in zip(sample.truths, sample.valid, sample.asked, strict=True):
            user = SimulatedUser(truth, valid, np.random.default_rng(rng.integers(2**63)))
            start = np.zeros((1, *truth.shape), np.float32)
            poor = not asked and rng.random() < poor_masks
            if poor:
                mask = user.poor_mask()
                start[0] = np.where(mask, START_LOGIT, -START_LOGIT)
                user.correct(mask)
            elif not asked or (truth.any() and rng.random() < clicked_words):
                user.start()
            users.append(user)
            logits.append(start)
            has.append(float(poor))
    text = np.concatenate([s.text for s in samples])
    asked = np.concatenate([s.asked for s in samples]).astype(np.float32)
    parts = (np.stack(logits), np.array(has, np.float32), text, asked)
    return Round(users, *(torch.from_numpy(p).to(device) for p in parts))


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
