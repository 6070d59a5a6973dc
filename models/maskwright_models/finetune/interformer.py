"""Fine-tunes InterFormer as it was trained: clicks are simulated on features computed once, then one answer is learned.

Nothing is frozen. AdamW with a learning rate that is smaller the deeper a layer of the encoder lies, poly decay to 0
after a linear warm-up, an auxiliary head, stochastic depth, dropout and batch statistics while the trained answer is
given; simulated ones are given in evaluation mode without gradient. Source: the published configuration (ICCV 2023).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskwright.core.errors import ModelError
from maskwright_models.finetune.drop_path import add_drop_path
from maskwright_models.finetune.interformer_clicks import simulate
from maskwright_models.finetune.interformer_loss import AUXILIARY_STRIDE, AUXILIARY_WEIGHT, of_two_classes
from maskwright_models.finetune.interformer_views import object_view
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.start import Start
from maskwright_models.finetune.tuning import Update
from maskwright_models.zoo.interformer import InterFormer
from maskwright_models.zoo.interformer_decoder import AuxiliaryHead
from maskwright_models.zoo.interformer_map import resized_logits, state_shares

BATCH, RATE, WEIGHT_DECAY, BETAS = 4, 1e-4, 0.05, (0.9, 0.999)
LAYER_DECAY = {12: 0.65, 24: 0.75}
"""Layers of the encoder -> factor of the learning rate from one layer to the one below it: ViT-B, ViT-L."""
DROP_PATH = 0.1
WARM_STEPS, WARM_SHARE, WARM_RATIO = 1500, 0.05, 1e-6
"""The warm-up is over after so many steps, or so much of a shorter run's budget."""
AUXILIARY = "auxiliary_head."
CLASSES = ("Background", "Foreground")

Views = tuple[Tensor, Tensor]
"""Images (B, 3, S, S) float32 and truths (B, S, S) uint8."""


class Trained(nn.Module):
    """All that is trained, under the official names."""

    def __init__(self, model: InterFormer) -> None:
        super().__init__()
        self.config = model.config
        self.backbone = model.backbone
        self.neck = model.neck
        self.decode_head = model.decode_head
        self.auxiliary_head = AuxiliaryHead(model.config)


class InterFormerTuning:
    """InterFormer with its recipe. Raises ModelError for an auxiliary head that does not fit, and a batch of one."""

    kept: Mapping[str, Tensor] = {}

    def __init__(self, start: Start, pictures: Pictures, recipe: Recipe, device: torch.device) -> None:
        assert isinstance(start.model, InterFormer)
        self.pictures, self.recipe, self.device = pictures, recipe, device
        self.batch = recipe.batch or BATCH
        if self.batch < 2:
            raise ModelError("InterFormer's batch statistics need two images a step", hint="Use --batch 2 or more.")
        torch.manual_seed(recipe.seed)
        self.module = Trained(start.model)
        self._fill_auxiliary(start.state)
        self.module.requires_grad_(requires_grad=True).to(device)
        _drop_paths(self.module)

    def _fill_auxiliary(self, state: Mapping[str, Tensor]) -> None:
        """An official file brings its auxiliary head; without one it begins new."""
        given = {k.removeprefix(AUXILIARY): v for k, v in state.items() if k.startswith(AUXILIARY)}
        own = self.module.auxiliary_head.state_dict()
        wanted = {k: v.shape for k, v in own.items() if not k.endswith(".num_batches_tracked")}
        if not given:
            return
        if {k: v.shape for k, v in given.items() if k in wanted} != wanted or given.keys() - own.keys():
            raise ModelError("the auxiliary head of this checkpoint is not InterFormer's", hint="Get the file again.")
        self.module.auxiliary_head.load_state_dict({**own, **given})

    def optimiser(self) -> torch.optim.Optimizer:
        """AdamW with a group for each depth, with and without weight decay."""
        layers, top = len(self.module.backbone.layers), self.recipe.rate or RATE
        groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
        for name, parameter in self.module.named_parameters():
            key = (depth_of(name, layers), _decays(name, parameter))
            groups.setdefault(key, []).append(parameter)
        factor = LAYER_DECAY.get(layers, LAYER_DECAY[12])
        rows = [
            {"params": found, "top": top * factor ** (layers + 1 - deep), "weight_decay": WEIGHT_DECAY * decays}
            for (deep, decays), found in sorted(groups.items(), key=lambda item: item[0])
        ]
        return torch.optim.AdamW(rows, lr=top, betas=BETAS)

    def rate_factor(self, step: int, progress: float) -> float:
        """Falls to 0 with the budget; rises from a millionth of it during the warm-up."""
        warm = min(1.0, max(step / WARM_STEPS, progress / WARM_SHARE))
        return (1 - progress) * (WARM_RATIO + (1 - WARM_RATIO) * warm)

    def draw(self, rng: np.random.Generator) -> Views:
        """Views of random images with one object each."""
        size = self.module.config.size
        views = [self.pictures.draw(rng, lambda entry, r: object_view(entry, r, size=size)) for _ in range(self.batch)]
        return tuple(
            torch.from_numpy(np.stack(part)) for part in zip(*((v.image, v.truth) for v in views), strict=True)
        )  # type: ignore[return-value]

    def step(self, batch: Views, rng: np.random.Generator, update: Update) -> dict[str, float]:
        """Simulate clicks, then learn the answer to the last of them."""
        images, truth = (part.to(self.device) for part in batch)
        states = self.clicked(images, batch[1].numpy() == 1, rng)
        self.module.train()
        maps = self.module.neck(self.module.backbone(images), state_shares(states))
        both = self.module.decode_head(maps)
        loss = of_two_classes(both, truth, stride=4)
        auxiliary = of_two_classes(self.module.auxiliary_head(maps), truth, stride=AUXILIARY_STRIDE)
        total = loss + AUXILIARY_WEIGHT * auxiliary
        if torch.isfinite(total):
            total.backward()
            update()
        iou = _iou(resized_logits(both.detach()), truth)
        losses = {"loss": total, "mask": loss, "auxiliary": auxiliary}
        return {**{k: float(v.detach()) for k, v in losses.items()}, "iou": iou}

    def clicked(self, images: Tensor, truth: np.ndarray, rng: np.random.Generator) -> Tensor:
        """Label maps of simulated users, (B, 1, S, S); the model answers them as it would when it is used."""
        self.module.eval()
        with torch.no_grad():
            features = self.module.backbone(images)

            def predict(states: Tensor) -> Tensor:
                full = resized_logits(self.module.decode_head(self.module.neck(features, state_shares(states))))
                return full[:, 1:] > full[:, :1]

            return simulate(predict, truth, rng, radius=self.module.config.radius, device=self.device)

    def official(self) -> dict[str, Any]:
        """A checkpoint as mmcv writes it: ``state_dict`` with all official names, and ``meta``."""
        return {"meta": {"CLASSES": CLASSES}, "state_dict": official_state(self.module)}


def official_state(module: Trained) -> dict[str, Tensor]:
    """Weights under the official names, with the index tables that the official file has in every layer."""
    index = relative_position_index(module.config.grid)
    state: dict[str, Tensor] = {}
    for name, tensor in module.state_dict().items():
        state[name] = tensor.detach() if tensor.is_meta else tensor.detach().cpu()
        if name.endswith(".relative_position_bias_table"):
            state[name.replace("bias_table", "index")] = index
    return state


def relative_position_index(grid: int) -> Tensor:
    """(n + 1, n + 1) int64: the row of the bias table of each pair of n = ``grid`` squared tokens and a class token."""
    at = torch.arange(grid)
    y, x = (n.flatten() for n in torch.meshgrid(at, at, indexing="ij"))
    span = 2 * grid - 1
    index = torch.zeros(grid**2 + 1, grid**2 + 1, dtype=torch.int64)
    index[1:, 1:] = (y[:, None] - y + grid - 1) * span + x[:, None] - x + grid - 1
    index[0], index[:, 0], index[0, 0] = span**2, span**2 + 1, span**2 + 2
    return index


def depth_of(name: str, layers: int) -> int:
    """Depth of a parameter: 0 for what comes before the first layer, ``layers`` + 1 for all behind the last."""
    if name in ("backbone.cls_token", "backbone.pos_embed") or name.startswith("backbone.patch_embed."):
        return 0
    layer = re.match(r"backbone\.layers\.(\d+)\.", name)
    return layers + 1 if layer is None else int(layer[1]) + 1


def _decays(name: str, parameter: Tensor) -> bool:
    """Weight decay is for matrices alone: not for norms, biases, tokens, positions, nor embeddings of patches."""
    return parameter.ndim > 1 and not any(part in name for part in ("patch_embed", "pos_embed", "cls_token"))


def _drop_paths(module: Trained) -> None:
    """Chances that grow with the depth, in the encoder and again in the decoder, as they were trained with."""
    config, layers = module.config, module.backbone.layers
    for layer, rate in zip(layers, np.linspace(0, DROP_PATH, len(layers)), strict=True):
        for branch in ("attn", "ffn"):
            add_drop_path(layer.get_submodule(branch), float(rate))
    rates = iter(np.linspace(0, DROP_PATH, sum(config.coarse) + sum(config.refine)))
    for stage, refine in zip(module.neck.stages, module.neck.refine_stages, strict=True):
        for block in (*stage.get_submodule("blocks").children(), *refine.get_submodule("blocks").children()):
            rate = float(next(rates))
            for branch in ("attn", "mlp"):
                add_drop_path(block.get_submodule(branch), rate)


def _iou(both: Tensor, truth: Tensor) -> float:
    """Mean IoU of the trained answers, ignored pixels left out."""
    found, real, valid = both[:, 1] > both[:, 0], truth == 1, truth != 255
    overlap, union = ((m & valid).sum((1, 2)) for m in (found & real, found | real))
    return float((overlap / union.clamp_min(1)).mean())
