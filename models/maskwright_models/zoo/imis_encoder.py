"""IMIS-Net's image encoder: SAM's ViT as timm names it, under a neck that keeps its full width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.nn.sam_layers import neck
from maskwright_models.zoo.sam_vit import SamViT, SamViTConfig

NORM_EPS = 1e-5
"""Of the ViT's norms in timm; SAM's own are 1e-6."""


class MLP(nn.Module):
    """Two linear layers with a GELU between them, under timm's names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Trunk(SamViT):
    """Image (B, 3, S, S) -> tokens of the last block (B, C, S / 16, S / 16).

    The ``neck`` of ``config.out`` channels lies in every published checkpoint and is never run.
    """

    def __init__(self, config: SamViTConfig) -> None:
        super().__init__(config)
        for block in self.blocks:
            block.mlp = MLP(config.width)
            for norm in (block.norm1, block.norm2):
                assert isinstance(norm, nn.LayerNorm)
                norm.eps = NORM_EPS

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


class ImageEncoder(nn.Module):
    """Image (B, 3, S, S) -> features (B, C, S / 16, S / 16)."""

    def __init__(self, config: SamViTConfig) -> None:
        super().__init__()
        self.sam_encoder = Trunk(config)
        self.neck = neck(config.width, config.width)

    def forward(self, image: Tensor) -> Tensor:
        return self.neck(self.sam_encoder(image))
