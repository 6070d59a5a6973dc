"""The SAM image encoder: a ViT with windowed and global blocks, relative positions and a neck; optional adapters.

Sources: Kirillov et al., "Segment Anything", ICCV 2023; adapters: Cheng et al., "SAM-Med2D", 2023. Attribute names
are those of the official checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskwright_models.nn.sam_layers import RelativeBias, TwoLinear, attend, from_windows, neck, to_windows


@dataclass(frozen=True, slots=True)
class SamViTConfig:
    """Sizes of a SAM encoder; the defaults are ViT-B. ``size`` is the side of its input in pixels."""

    width: int = 768
    depth: int = 12
    heads: int = 12
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    size: int = 1024
    patch: int = 16
    window: int = 14
    out: int = 256
    adapters: bool = False

    @property
    def grid(self) -> int:
        """Side of the feature map."""
        return self.size // self.patch


class Attention(nn.Module):
    """Self-attention over a map of ``side`` x ``side`` tokens with relative positions. (B, s, s, C) -> same."""

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.side = side
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, x: Tensor) -> Tensor:
        b, h, w, c = x.shape
        qkv = self.qkv(x).reshape(b, h * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        bias = RelativeBias(self.rel_pos_h, self.rel_pos_w, self.side)
        x = attend(qkv[0], qkv[1], qkv[2], bias)  # (B, heads, N, d)
        return self.proj(x.transpose(1, 2).reshape(b, h, w, c))


class Adapter(nn.Module):
    """What SAM-Med2D adds beside each MLP: channel weights, then a spatial bottleneck. (B, H, W, C) -> same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width // 4
        self.norm = nn.LayerNorm(width)
        self.channel = nn.Sequential(
            nn.Linear(width, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, width, bias=False), nn.Sigmoid()
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weighted = x * self.channel(x.mean((1, 2)))[:, None, None]
        detail = self.spatial(weighted.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.norm(x + detail)


class Block(nn.Module):
    """Pre-norm transformer block over (B, H, W, C); ``window`` 0 attends to the whole map."""

    def __init__(self, config: SamViTConfig, *, window: int) -> None:
        super().__init__()
        width = config.width
        self.window = window
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, config.heads, window or config.grid)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = TwoLinear(width, 4 * width, nn.GELU())
        self.Adapter = Adapter(width) if config.adapters else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        if self.window:
            y = from_windows(self.attn(to_windows(y, self.window)), x.shape[1], x.shape[2])
        else:
            y = self.attn(y)
        x = x + y
        y = self.norm2(x)
        return x + self.mlp(y) if self.Adapter is None else x + self.mlp(y) + self.Adapter(y)


class PatchEmbed(nn.Module):
    """Image (B, 3, S, S) -> tokens (B, S / patch, S / patch, C)."""

    def __init__(self, config: SamViTConfig) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, config.width, config.patch, config.patch)

    def forward(self, image: Tensor) -> Tensor:
        return self.proj(image).permute(0, 2, 3, 1)


class SamViT(nn.Module):
    """Normalised image (B, 3, S, S) -> features (B, out, S / patch, S / patch)."""

    def __init__(self, config: SamViTConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid, config.grid, config.width))
        self.blocks = nn.ModuleList(
            Block(config, window=0 if i in config.global_blocks else config.window) for i in range(config.depth)
        )
        self.neck = neck(config.width, config.out)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
