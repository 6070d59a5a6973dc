"""Fine-tunes IMIS-Net as it was trained: a first prompt by type, then rounds where it errs, several masks an image.

Frozen are the image encoder with its neck (the published training detaches what it gives) and the text tower; trained
are the prompt encoder, the mask decoder and the projection of the text. The first prompt has an update of its own, the
rounds share one. Source: the published training code of IMIS-Bench (CVPR 2025), with rounds and masks of the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright_models.finetune.imis_prompts import FIRST, Sent, answer, error_points, first_boxes, first_points
from maskwright_models.finetune.imis_views import MasksView, masks_view
from maskwright_models.finetune.imis_words import Words
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.start import Start
from maskwright_models.finetune.tuning import Update
from maskwright_models.zoo.imis_loss import imis_loss
from maskwright_models.zoo.imis_model import ImisNet

RATE, WEIGHT_DECAY = 1e-4, 1e-5
BATCHES = {256: 10, 512: 4, 1024: 2}
"""Side of the input -> images a step: those of the published script at 256, of the paper at 1024."""
TRAINED = ("prompt_encoder", "mask_decoder", "text_out_dim")
WARM_FROM, WARM_SHARE = 0.1, 0.25
"""The rate rises from a tenth within a quarter of the budget: 5 of 20 epochs."""
TEXT_INSTEAD = 0.4
"""Chance that a round sends the words in place of the mask."""


@dataclass(slots=True, eq=False)
class Asked:
    """B objects under training.

    ``features`` (B, C, s, s) without gradient, ``truth`` (B, S, S) bool, ``text`` (B, C) where it is known, ``logits``
    (B, 1, h, w) of the latest answer.
    """

    features: Tensor
    truth: np.ndarray
    text: Tensor | None = None
    logits: Tensor | None = None


class ImisTuning:
    """IMIS-Net with its recipe."""

    def __init__(self, start: Start, pictures: Pictures, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(start.model, ImisNet)
        self.pictures, self.recipe, self.device = pictures, recipe, device
        self.module: ImisNet = start.model
        self.size = self.module.config.vit.size
        self.words = Words(self.module.files)
        self.batch = recipe.batch or BATCHES.get(self.size, BATCHES[256])
        own = self.module.state_dict()
        self.kept: Mapping[str, Tensor] = {
            k: v.clone() for k, v in start.state.items() if k in own and v.shape != own[k].shape
        }
        self.module.requires_grad_(requires_grad=False).to(device)
        for name in TRAINED:
            self.module.get_submodule(name).requires_grad_(requires_grad=True)

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW over all that is trained."""
        trained = [p for p in self.module.parameters() if p.requires_grad]
        top = self.recipe.rate or RATE
        return torch.optim.AdamW([{"params": trained, "top": top}], lr=top, weight_decay=WEIGHT_DECAY)

    def rate_factor(self, step: int, progress: float) -> float:
        """From a tenth to all of it, where it stays."""
        del step
        return WARM_FROM + (1 - WARM_FROM) * min(1.0, progress / WARM_SHARE)

    def draw(self, rng: np.random.Generator) -> list[MasksView]:
        """Random images with objects and regions."""
        wanted = {"size": self.size, "masks": self.recipe.masks}
        return [self.pictures.draw(rng, lambda entry, r: masks_view(entry, r, **wanted)) for _ in range(self.batch)]

    def step(self, batch: Sequence[MasksView], rng: np.random.Generator, update: Update) -> dict[str, float]:
        """First prompts and an update, then all rounds and another one."""
        model = self.module.train()
        images = torch.from_numpy(np.stack([view.image for view in batch])).to(self.device)
        with torch.no_grad(), self._autocast():
            features = model.image_encoder(images)
        ids = self.words.ids([text for view in batch for text in view.texts])
        with self._autocast():
            text = None if ids is None else model.encode_text(ids.to(self.device))
        objects = Asked(
            features.repeat_interleave(self.recipe.masks, 0), np.concatenate([v.truths for v in batch]), text
        )
        with_regions = [i for i, view in enumerate(batch) if len(view.regions)]
        regions = None
        if with_regions:
            found = features[with_regions].repeat_interleave(self.recipe.masks, 0)
            regions = Asked(found, np.concatenate([batch[i].regions for i in with_regions]))
        first, words = self._first(objects, regions, rng, update), objects.text
        objects.text = None if words is None else words.detach()
        rounds = [self._round(objects, regions, rng, mask_alone=alone) for alone in self._mask_alone(rng)]
        update()
        last = rounds[-1] if rounds else first
        return {"loss": float(np.mean([first["loss"], *(r["loss"] for r in rounds)])), "first": first["loss"], **last}

    def _first(
        self, objects: Asked, regions: Asked | None, rng: np.random.Generator, update: Update
    ) -> dict[str, float]:
        chances = {k: v for k, v in FIRST.items() if k != "text" or objects.text is not None}
        total = sum(chances.values())
        kind = str(rng.choice(list(chances), p=[v / total for v in chances.values()]))
        sent = Sent(text=objects.text) if kind == "text" else self._shown(kind, objects, rng)
        more = None if regions is None else self._shown(str(rng.choice(["box", "point"])), regions, rng)
        row = self._learn(objects, sent, regions, more)
        update()
        return row

    def _shown(self, kind: str, asked: Asked, rng: np.random.Generator) -> Sent:
        return (first_boxes if kind == "box" else first_points)(asked.truth, rng, self.device)

    def _mask_alone(self, rng: np.random.Generator) -> list[bool]:
        """For each round whether only the mask (and words) is sent: a random one of those before the last, and that."""
        count = self.recipe.rounds
        alone = int(rng.integers(count - 1)) if count > 1 else 0
        return [k in (alone, count - 1) for k in range(count)]

    def _round(
        self, objects: Asked, regions: Asked | None, rng: np.random.Generator, *, mask_alone: bool
    ) -> dict[str, float]:
        instead = rng.random() < TEXT_INSTEAD and objects.text is not None
        if mask_alone:
            sent = Sent(text=objects.text, mask=objects.logits)
        else:
            coords, labels = self._errors(objects, rng)
            text, mask = (objects.text, None) if instead else (None, objects.logits)
            sent = Sent(coords, labels, text=text, mask=mask)
        more = None
        if regions is not None:
            points = (None, None) if mask_alone else self._errors(regions, rng)
            more = Sent(*points, mask=regions.logits)
        return self._learn(objects, sent, regions, more)

    def _errors(self, asked: Asked, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        assert asked.logits is not None
        return error_points(_masks(asked.logits, self.size), asked.truth, rng, self.device)

    def _learn(self, objects: Asked, sent: Sent, regions: Asked | None, more: Sent | None) -> dict[str, float]:
        """Answer, gather gradients (not of a loss that is not finite), and keep the answers for the next round."""
        loss, row = self._loss(objects, sent)
        if regions is not None and more is not None:
            other, found = self._loss(regions, more)
            loss, row = loss + other, row | {f"region_{k}": v for k, v in found.items()}
        if torch.isfinite(loss):
            loss.backward()
        return {"loss": float(loss.detach()), **row}

    def _loss(self, asked: Asked, sent: Sent) -> tuple[Tensor, dict[str, float]]:
        with self._autocast():
            logits, iou = answer(self.module, asked.features, sent)
        logits, iou = logits.float(), iou.float()
        truth = torch.from_numpy(asked.truth[:, None]).to(self.device)
        loss = imis_loss(logits, iou, truth.float())
        asked.logits = logits.detach()
        found = torch.from_numpy(_masks(asked.logits, self.size)).to(self.device)[:, None]
        overlap, union = ((m).sum((1, 2, 3)) for m in (found & truth, found | truth))
        parts = {
            "focal": loss.focal,
            "dice": loss.dice,
            "score": loss.iou,
            "iou": (overlap / union.clamp_min(1)).mean(),
        }
        return loss.total, {k: float(v.detach()) for k, v in parts.items()}

    def _autocast(self) -> AbstractContextManager[Any]:
        """Half precision on a GPU, as published; bfloat16 needs no scaling of the loss."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def official(self) -> dict[str, Any]:
        """The bare state dict that the authors publish; position tables are those of the file it began with."""
        return {k: self.kept.get(k, v.detach().cpu()) for k, v in self.module.state_dict().items()}


def _masks(logits: Tensor, size: int) -> np.ndarray:
    """(B, 1, h, w) logits -> (B, size, size) bool."""
    full = F.interpolate(logits, (size, size), mode="bilinear", align_corners=False)
    return (full[:, 0] > 0).cpu().numpy()
