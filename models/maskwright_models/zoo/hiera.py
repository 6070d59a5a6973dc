"""Hiera, the hierarchical trunk of SAM 2, with its feature pyramid.

Sources: Ryali et al., "Hiera", ICML 2023; Ravi et al., "SAM 2", 2024. Attribute names are those of the official
checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.nn.sam_layers import Perceptron, attend, from_windows, to_windows


@dataclass(frozen=True, slots=True)
class HieraConfig:
    """Sizes; the defaults are the tiny variant of SAM 2.1."""

    width: int = 96
    heads: int = 1
    stages: tuple[int, int, int, int] = (1, 2, 7, 2)
    global_blocks: tuple[int, ...] = (5, 7, 9)
    windows: tuple[int, int, int, int] = (8, 4, 14, 7)
    positions: int = 7
    size: int = 1024
    out: int = 256

    @property
    def grid(self) -> int:
        """Side of the coarsest map that is used, stride 16."""
        return self.size // 16

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage."""
        return tuple(self.width * 2**i for i in range(4))


def pool(x: Tensor) -> Tensor:
    """Largest of each 2 x 2, (B, H, W, C) -> (B, H / 2, W / 2, C)."""
    return F.max_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Attention over a map, whose queries are pooled where a stage begins. (B, H, W, C) -> (B, H', W', C')."""

    def __init__(self, width: int, out: int, heads: int, *, pooled: bool) -> None:
        super().__init__()
        self.heads = heads
        self.pooled = pooled
        self.qkv = nn.Linear(width, 3 * out)
        self.proj = nn.Linear(out, out)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.pooled:
            q = pool(q)
        b, h, w, c = q.shape
        q, k, v = (t.reshape(b, -1, self.heads, c // self.heads).transpose(1, 2) for t in (q, k, v))
        return self.proj(attend(q, k, v).transpose(1, 2).reshape(b, h, w, c))


class Block(nn.Module):
    """Pre-norm block; where ``width`` and ``out`` differ the map is pooled to half its size."""

    def __init__(self, width: int, out: int, heads: int, *, window: int) -> None:
        super().__init__()
        self.window = window
        self.pooled = width != out
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, out, heads, pooled=self.pooled)
        self.norm2 = nn.LayerNorm(out, eps=1e-6)
        self.mlp = Perceptron((out, 4 * out, out), act=nn.GELU())
        self.proj = nn.Linear(width, out) if self.pooled else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        if self.proj is not None:
            x = pool(self.proj(y))
        if self.window:
            y = from_windows(self.attn(to_windows(y, self.window)), x.shape[1], x.shape[2])
        else:
            y = self.attn(y)
        x = x + y
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Image (B, 3, S, S) -> (B, S / 4, S / 4, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 7, 4, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).permute(0, 2, 3, 1)


class Hiera(nn.Module):
    """Normalised image (B, 3, S, S) -> maps of four stages, (B, C, S / 4, S / 4) and halves of it."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.width)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.width, config.positions, config.positions))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, config.width, config.windows[0], config.windows[0]))
        self.blocks = nn.ModuleList()
        number = 0
        for stage, depth in enumerate(config.stages):
            for i in range(depth):
                begins = i == 0 and stage > 0
                # the first block of a stage still sees the windows of the stage before
                window = config.windows[stage - 1 if begins else stage]
                self.blocks.append(
                    Block(
                        config.widths[stage - 1 if begins else stage],
                        config.widths[stage],
                        config.heads * 2**stage,
                        window=0 if number in config.global_blocks else window,
                    )
                )
                number += 1

    def positions(self) -> Tensor:
        """Position of each token, (1, S / 4, S / 4, C): a coarse map plus one that repeats in every window."""
        side = self.config.size // 4
        repeats = side // self.config.windows[0]
        coarse = F.interpolate(self.pos_embed, size=(side, side), mode="bicubic")
        return (coarse + self.pos_embed_window.repeat(1, 1, repeats, repeats)).permute(0, 2, 3, 1)

    def forward(self, image: Tensor, positions: Tensor | None = None) -> list[Tensor]:
        """``positions`` are those of :meth:`positions`, where they were computed before."""
        x = self.patch_embed(image) + (self.positions() if positions is None else positions)
        maps = []
        ends = [sum(self.config.stages[: i + 1]) - 1 for i in range(4)]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in ends:
                maps.append(x.permute(0, 3, 1, 2))
        return maps


class FeaturePyramid(nn.Module):
    """Maps of four stages -> maps of strides 4, 8 and 16 with ``out`` channels; only the last sees the coarsest."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(OrderedDict(conv=nn.Conv2d(width, config.out, 1))) for width in reversed(config.widths)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        coarsest = F.interpolate(self.convs[0](maps[3]), scale_factor=2.0, mode="nearest")
        return [self.convs[3](maps[0]), self.convs[2](maps[1]), self.convs[1](maps[2]) + coarsest]
