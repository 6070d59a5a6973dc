"""Plain Vision Transformer as DINOv2 uses it: pre-norm, layer scale, global attention.

Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", 2023 (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class ViTConfig:
    """Sizes of a ViT. The defaults are DINOv2 ViT-S/14 with its 37 x 37 position grid (518 px)."""

    patch: int = 14
    width: int = 384
    depth: int = 12
    heads: int = 6
    mlp: int = 1536
    position_grid: int = 37
    norm_eps: float = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention over all tokens. (B, N, C) -> (B, N, C)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]  # each (B, heads, N, C / heads)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.proj(x.transpose(1, 2).reshape(b, n, c))


class Block(nn.Module):
    """One pre-norm transformer layer with layer scale. (B, N, C) -> (B, N, C)."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = Attention(config.width, config.heads)
        self.scale1 = nn.Parameter(torch.ones(config.width))
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.fc1 = nn.Linear(config.width, config.mlp)
        self.fc2 = nn.Linear(config.mlp, config.width)
        self.scale2 = nn.Parameter(torch.ones(config.width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale1 * self.attn(self.norm1(x))
        return x + self.scale2 * self.fc2(F.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    """Image -> patch-token maps of chosen layers.

    Parameters
    ----------
    config : ViTConfig
        Sizes.
    layers : sequence of int
        1-based layers whose output is returned; the last layer passes the final LayerNorm.

    """

    def __init__(self, config: ViTConfig, *, layers: Sequence[int] = (12,)) -> None:
        super().__init__()
        self.config = config
        self.layers = tuple(layers)
        self.patch_embed = nn.Conv2d(3, config.width, config.patch, config.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.cls_position = nn.Parameter(torch.zeros(1, 1, config.width))
        self.positions = nn.Parameter(torch.zeros(1, config.position_grid**2, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)

    def grid_positions(self, height: int, width: int) -> Tensor:
        """Position embedding for a height x width token grid, (1, height * width, C); bicubic where it differs."""
        g = self.config.position_grid
        if (height, width) == (g, g):
            return self.positions
        table = self.positions.reshape(1, g, g, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table, size=(height, width), mode="bicubic", align_corners=False)
        return table.flatten(2).transpose(1, 2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Normalised RGB (B, 3, H, W), sides divisible by the patch -> [(B, C, H / patch, W / patch)] per layer."""
        x = self.patch_embed(image)  # (B, C, h, w)
        b, c, h, w = x.shape
        x = x.flatten(2).transpose(1, 2) + self.grid_positions(h, w)  # (B, h*w, C)
        x = torch.cat([(self.cls_token + self.cls_position).expand(b, -1, -1), x], 1)
        maps = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in self.layers:
                y = self.norm(x) if number == len(self.blocks) else x
                maps.append(y[:, 1:].transpose(1, 2).reshape(b, c, h, w))
        return maps
