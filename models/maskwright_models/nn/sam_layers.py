"""Small layers that the SAM families share: channel LayerNorm, multilayer perceptrons, windows, attention in slices.

Source: Kirillov et al., "Segment Anything", ICCV 2023. Attribute names are those of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_ATTENTION = 1 << 25
"""Most attention weights that are held at once (128 MiB of float32); heads beyond that are done one after another."""


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of (B, C, H, W)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(1, keepdim=True) + self.eps)
        return centred * scale * self.weight[:, None, None] + self.bias[:, None, None]


class TwoLinear(nn.Module):
    """Linear, activation, Linear over the last axis, with the names ``lin1`` and ``lin2``."""

    def __init__(self, width: int, hidden: int, act: nn.Module) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.lin2(self.act(self.lin1(x)))


class Perceptron(nn.Module):
    """Linear layers of the given ``sizes`` with an activation between them (default ReLU), named ``layers.N``."""

    def __init__(self, sizes: Sequence[int], *, act: nn.Module | None = None, sigmoid: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.act = nn.ReLU() if act is None else act
        self.sigmoid = sigmoid

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        x = self.layers[-1](x)
        return torch.sigmoid(x) if self.sigmoid else x


def neck(width: int, out: int) -> nn.Sequential:
    """1x1 and 3x3 convolution without bias, each with a LayerNorm: (B, width, h, w) -> (B, out, h, w)."""
    return nn.Sequential(
        nn.Conv2d(width, out, 1, bias=False),
        LayerNorm2d(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        LayerNorm2d(out),
    )


def to_windows(x: Tensor, size: int) -> Tensor:
    """(B, H, W, C) -> (B * windows, size, size, C); rows and columns that are missing are zeros."""
    b, h, w, c = (int(n) for n in x.shape)  # plain numbers also while the graph is traced: ONNX divides towards 0
    if h % size or w % size:
        x = F.pad(x, (0, 0, 0, -w % size, 0, -h % size))
    rows, columns = -(-h // size), -(-w // size)
    x = x.reshape(b, rows, size, columns, size, c).transpose(2, 3)
    return x.reshape(b * rows * columns, size, size, c)


def from_windows(x: Tensor, height: int, width: int) -> Tensor:
    """Reverse of :func:`to_windows` for a map of ``height`` x ``width``: (B * windows, s, s, C) -> (B, H, W, C)."""
    size, c = int(x.shape[1]), int(x.shape[-1])
    height, width = int(height), int(width)
    rows, columns = -(-height // size), -(-width // size)
    x = x.reshape(-1, rows, columns, size, size, c).transpose(2, 3)
    return x.reshape(-1, rows * size, columns * size, c)[:, :height, :width]


def attend(q: Tensor, k: Tensor, v: Tensor, bias: RelativeBias | None = None) -> Tensor:
    """Softmax attention of (B, heads, N, d) queries on (B, heads, M, d) keys, (B, heads, N, d).

    Where all heads together would need more than :data:`LARGEST_ATTENTION` weights they are taken in groups. SAM
    ViT-B at 1024 pixels then peaks at a fraction of the 7 GB it takes otherwise; the result is the same.
    """
    batch, heads, n = q.shape[:3]
    group = max(1, min(heads, LARGEST_ATTENTION // (batch * n * k.shape[2])))
    parts = []
    for start in range(0, heads, group):
        some = slice(start, start + group)
        weights = (q[:, some] * q.shape[-1] ** -0.5) @ k[:, some].transpose(-2, -1)
        if bias is not None:
            weights = bias.add(weights, q[:, some])
        parts.append(weights.softmax(-1) @ v[:, some])
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class RelativeBias:
    """Decomposed relative positions of an ``side`` x ``side`` map, for :func:`attend`.

    ``rows`` and ``columns`` are the learned tables (2 * side - 1, d).
    """

    def __init__(self, rows: Tensor, columns: Tensor, side: int) -> None:
        self.side = side
        at = torch.arange(side, device=rows.device)
        steps = at[:, None] - at[None, :] + side - 1
        self.rows = rows[steps].transpose(-2, -1)  # (query, d, key)
        self.columns = columns[steps].transpose(-2, -1)

    def add(self, weights: Tensor, q: Tensor) -> Tensor:
        """Weights (B, heads, N, N) plus the bias of the queries (B, heads, N, d), which are not scaled."""
        b, heads, n, d = q.shape
        s = self.side
        q = q.reshape(b * heads, s, s, d)
        down = q @ self.rows  # (B * heads, y, x, key y)
        across = (q.transpose(1, 2) @ self.columns).transpose(1, 2)  # (B * heads, y, x, key x)
        bias = down.reshape(b, heads, n, s, 1) + across.reshape(b, heads, n, 1, s)
        return weights + bias.reshape(b, heads, n, n)
