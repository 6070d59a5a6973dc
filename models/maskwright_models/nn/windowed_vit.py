"""Vision Transformer with windowed attention and decomposed relative positions, as SAM uses it.

Source: Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", 2022, and Kirillov et al.,
"Segment Anything", 2023. The names of the parameters are those of timm's ``samvit`` models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MANY_TOKENS = 1024
"""From this number of tokens on, heads are taken one by one: the attention of all of them would fill gigabytes."""


@dataclass(frozen=True, slots=True)
class WindowedViTConfig:
    """Sizes. The defaults are SAM's ViT-B at 1024 px; ``grid`` is the side of the token grid."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    grid: int = 64
    patch: int = 16
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    norm_eps: float = 1e-5


class RelativeAttention(nn.Module):
    """Self-attention on a square of tokens, with a bias from the distance in rows and columns. (B, n, n, C) -> same."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.side = side
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        n, c = self.side, x.shape[-1]
        qkv = self.qkv(x).reshape(-1, n * n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]  # each (B, heads, n*n, C / heads)
        if n * n > MANY_TOKENS:
            parts = [self._attend(q[:, i : i + 1], k[:, i : i + 1], v[:, i : i + 1]) for i in range(self.heads)]
            y = torch.cat(parts, 1)
        else:
            y = self._attend(q, k, v)
        return self.proj(y.transpose(1, 2).reshape(-1, n, n, c))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention of some heads, (B, heads, n*n, C / heads) each."""
        n, heads, width = self.side, q.shape[1], q.shape[-1]
        distance = torch.arange(n)[:, None] - torch.arange(n)[None, :] + n - 1  # (query, key)
        distance = distance.to(self.rel_pos_h.device)
        squared = q.reshape(-1, heads, n, n, width)
        rows = squared @ self.rel_pos_h[distance].transpose(1, 2)  # (B, heads, n, n, key row)
        columns = (squared.transpose(2, 3) @ self.rel_pos_w[distance].transpose(1, 2)).transpose(2, 3)  # (B, heads, n, n, key column)
        bias = (rows[..., :, None] + columns[..., None, :]).reshape(-1, heads, n * n, n * n)
        logits = (q * (1 / math.sqrt(width))) @ k.transpose(2, 3) + bias
        return logits.softmax(-1) @ v


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """One pre-norm layer on a token grid, (B, g, g, C) -> same; with ``window`` tokens attend within windows of that side.

    A grid that windows do not fill is padded with zeros behind the norm, and the padding takes part as keys, as in the
    published models.
    """

    def __init__(self, config: WindowedViTConfig, *, window: int) -> None:
        super().__init__()
        self.grid, self.window = config.grid, window
        self.norm1 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.attn = RelativeAttention(config.width, config.heads, window or config.grid)
        self.norm2 = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = MLP(config.width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + (self._in_windows(y) if self.window else self.attn(y))
        return x + self.mlp(self.norm2(x))

    def _in_windows(self, x: Tensor) -> Tensor:
        g, w, c = self.grid, self.window, x.shape[-1]
        count = -(-g // w)
        pad = count * w - g
        x = F.pad(x, (0, 0, 0, pad, 0, pad))
        x = x.reshape(-1, count, w, count, w, c).transpose(2, 3).reshape(-1, w, w, c)
        x = self.attn(x).reshape(-1, count, count, w, w, c).transpose(2, 3)
        return x.reshape(-1, count * w, count * w, c)[:, :g, :g]


class PatchEmbed(nn.Module):
    """Image (B, 3, S, S) -> tokens (B, g, g, C)."""

    def __init__(self, config: WindowedViTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, config.patch)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).permute(0, 2, 3, 1)


class WindowedViT(nn.Module):
    """Image (B, 3, S, S), S = grid * patch -> tokens of the last block, (B, C, grid, grid)."""

    def __init__(self, config: WindowedViTConfig) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid, config.grid, config.width))
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(
            Block(config, window=0 if i in config.global_blocks else config.window) for i in range(config.depth)
        )

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


def resized_positions(table: Tensor, grid: int) -> Tensor:
    """Absolute positions (1, g, g, C) for another grid: bicubic with antialias, as timm does it."""
    if table.shape[1] == grid:
        return table
    x = F.interpolate(table.permute(0, 3, 1, 2).float(), size=(grid, grid), mode="bicubic", antialias=True)
    return x.permute(0, 2, 3, 1).to(table.dtype)


def resized_distances(table: Tensor, side: int) -> Tensor:
    """Relative positions (2g - 1, C) for another side: linear, as SAM does it."""
    length = 2 * side - 1
    if len(table) == length:
        return table
    return F.interpolate(table.T[None].float(), size=length, mode="linear")[0].T.to(table.dtype)
