"""Two-way transformer between prompt tokens and image tokens, as in SAM's mask decoder.

Source: Kirillov et al., "Segment Anything", 2023. The names of the parameters are the published ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """Attention of q (B, n, C) over k and v (B, m, C), inside at ``width // narrower`` channels -> (B, n, C)."""

    def __init__(self, width: int, heads: int, *, narrower: int = 1) -> None:
        super().__init__()
        inner = width // narrower
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (self._split(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        logits = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(2, 3)
        return self.out_proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, x.shape[2] // self.heads)).transpose(1, 2)  # (B, heads, n, C / heads)


class TokenMLP(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayLayer(nn.Module):
    """Tokens among themselves, tokens to image, an MLP on tokens, image to tokens; norms behind each.

    In the first layer tokens are their own positions, so that self-attention takes them bare and replaces them.
    """

    def __init__(self, width: int, heads: int, hidden: int, *, narrower: int = 2, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = CrossAttention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = CrossAttention(width, heads, narrower=narrower)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TokenMLP(width, hidden)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = CrossAttention(width, heads, narrower=narrower)

    def forward(self, tokens: Tensor, image: Tensor, token_at: Tensor, image_at: Tensor) -> tuple[Tensor, Tensor]:
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_at
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_at, image + image_at, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image + image_at, tokens + token_at, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Tokens (B, n, C), image (B, C, h, w) and its positions (1, C, h, w) -> tokens (B, n, C), image (B, h*w, C)."""

    def __init__(self, width: int, *, depth: int = 2, heads: int = 8, hidden: int = 2048, narrower: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayLayer(width, heads, hidden, narrower=narrower, first=i == 0) for i in range(depth)
        )
        self.final_attn_token_to_image = CrossAttention(width, heads, narrower=narrower)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, image: Tensor, image_at: Tensor) -> tuple[Tensor, Tensor]:
        token_at = tokens
        image, image_at = image.flatten(2).transpose(1, 2), image_at.flatten(2).transpose(1, 2)  # (B, h*w, C)
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_at, image_at)
        out = self.final_attn_token_to_image(tokens + token_at, image + image_at, image)
        return self.norm_final_attn(tokens + out), image


class StackedMLP(nn.Module):
    """Linear layers of the given widths with ReLUs between them."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of a map, (B, C, h, w) -> same."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)
