"""Interactive multi-head self-attention (I-MSA): every token asks a few pooled keys, and the prompts themselves.

Source: Huang et al., "InterFormer: Real-time Interactive Image Segmentation", ICCV 2023. Here the pooled keys and
values of each pyramid level are joined by one token per prompt point, read from the map where the point lies.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PooledKeys(nn.Module):
    """Map (B, C, h, w) -> pooled tokens (B, M, C): max pooling per ratio, each with a depthwise 3 x 3 residual."""

    def __init__(self, width: int, ratios: Sequence[int]) -> None:
        super().__init__()
        self.ratios = tuple(ratios)
        self.mix = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in self.ratios)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for ratio, mix in zip(self.ratios, self.mix, strict=True):
            pooled = F.max_pool2d(x, ratio)
            levels.append((pooled + mix(pooled)).flatten(2))
        return torch.cat(levels, 2).transpose(1, 2)


class IMSA(nn.Module):
    """Attention from all tokens to pooled tokens and point tokens.

    ``x`` (B, h * w, C), whose map has ``side_hw`` (h, w), ``points`` (B, N, C), ``point_bias`` (B, N) added to the
    attention logits of the point tokens (0 for a point, very negative for padding) -> (B, h * w, C).
    """

    def __init__(self, width: int, heads: int, ratios: Sequence[int]) -> None:
        super().__init__()
        self.heads = heads
        self.pool = PooledKeys(width, ratios)
        self.norm_q = nn.LayerNorm(width)
        self.norm_kv = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, side_hw: tuple[int, int], points: Tensor, point_bias: Tensor) -> Tensor:
        b, n, c = x.shape
        pooled = self.pool(to_map(x, side_hw))
        kv = self.key_value(self.norm_kv(torch.cat([pooled, points], 1)))  # (B, M + N, 2C)
        q = self.query(self.norm_q(x))  # (B, hw, C)
        k, v = kv.chunk(2, dim=-1)
        bias = torch.cat([point_bias.new_zeros(b, pooled.shape[1]), point_bias], 1)[:, None, None]
        q, k, v = (t.reshape(b, -1, self.heads, c // self.heads).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(y.transpose(1, 2).reshape(b, n, c))


class ConvMLP(nn.Module):
    """Per-token MLP with a depthwise 3 x 3 inside, (B, h * w, C) -> (B, h * w, C)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.mix = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor, side_hw: tuple[int, int]) -> Tensor:
        y = self.mix(to_map(F.hardswish(self.fc1(self.norm(x))), side_hw))
        return self.fc2(F.hardswish(to_tokens(y)))


class IMSABlock(nn.Module):
    """I-MSA and ConvMLP, both residual, on tokens: each change between map and tokens is a copy in every click."""

    def __init__(self, width: int, heads: int, hidden: int, ratios: Sequence[int]) -> None:
        super().__init__()
        self.attn = IMSA(width, heads, ratios)
        self.mlp = ConvMLP(width, hidden)

    def forward(self, x: Tensor, side_hw: tuple[int, int], points: Tensor, point_bias: Tensor) -> Tensor:
        x = x + self.attn(x, side_hw, points, point_bias)
        return x + self.mlp(x, side_hw)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h * w, C)."""
    return x.flatten(2).transpose(1, 2)


def to_map(x: Tensor, side_hw: tuple[int, int]) -> Tensor:
    """(B, h * w, C) -> (B, C, h, w)."""
    return x.transpose(1, 2).reshape(len(x), x.shape[2], *side_hw)
