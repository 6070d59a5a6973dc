"""TinyViT as MobileSAM uses it for its image encoder.

Sources: Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", ECCV 2022; Zhang et al.,
"Faster Segment Anything", 2023. Attribute names are those of the official checkpoint, which also carries the
classifier it does not use.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskwright_models.nn.sam_layers import from_windows, neck, to_windows


@dataclass(frozen=True, slots=True)
class TinyViTConfig:
    """Sizes; the defaults are MobileSAM's. The last stage keeps the resolution of the third: stride 16."""

    widths: tuple[int, int, int, int] = (64, 128, 160, 320)
    depths: tuple[int, int, int, int] = (2, 2, 6, 2)
    heads: tuple[int, int, int, int] = (2, 4, 5, 10)
    windows: tuple[int, int, int, int] = (7, 7, 14, 7)
    size: int = 1024
    out: int = 256
    labels: int = 1000

    @property
    def grid(self) -> int:
        """Side of the feature map."""
        return self.size // 16


class ConvNorm(nn.Sequential):
    """Convolution without bias and batch norm, named ``c`` and ``bn``."""

    def __init__(self, a: int, b: int, kernel: int = 1, *, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(OrderedDict(c=conv, bn=nn.BatchNorm2d(b)))


class MBConv(nn.Module):
    """Inverted bottleneck, (B, C, H, W) -> same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 4 * width
        self.conv1 = ConvNorm(width, hidden)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, width)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.conv3(self.act(self.conv2(self.act(self.conv1(x))))))


class Merging(nn.Module):
    """To the next stage, (B, C, H, W) -> (B, C', H / stride, W / stride)."""

    def __init__(self, a: int, b: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(a, b)
        self.conv2 = ConvNorm(b, b, 3, stride=stride, groups=b)
        self.conv3 = ConvNorm(b, b)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(self.act(self.conv2(self.act(self.conv1(x)))))


class Attention(nn.Module):
    """Attention inside windows with a learned bias for each offset, (B, s * s, C) -> same."""

    offsets: Tensor

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, side * side))
        at = torch.arange(side)
        step = (at[:, None] - at[None, :]).abs()
        offsets = (step[:, None, :, None] * side + step[None, :, None, :]).reshape(side**2, side**2)
        self.register_buffer("offsets", offsets, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        # the rows of the matrix hold q, k and v of the first head, then of the second, and so on
        qkv = self.qkv(self.norm(x)).reshape(b, n, self.heads, 3, c // self.heads).permute(3, 0, 2, 1, 4)
        weights = (qkv[0] @ qkv[1].transpose(-2, -1)) * (c // self.heads) ** -0.5
        weights = weights + self.attention_biases[:, self.offsets]
        return self.proj((weights.softmax(-1) @ qkv[2]).transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    """Norm, Linear, GELU, Linear over the last axis."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(self.norm(x))))


class TinyBlock(nn.Module):
    """Window attention, depthwise convolution, MLP; (B, C, H, W) -> same."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = Attention(width, heads, window)
        self.mlp = Mlp(width)
        self.local_conv = ConvNorm(width, width, 3, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        tokens = x.permute(0, 2, 3, 1)
        windows = to_windows(tokens, self.window)
        attended = self.attn(windows.flatten(1, 2)).reshape(windows.shape)
        x = (tokens + from_windows(attended, h, w)).permute(0, 3, 1, 2)
        x = self.local_conv(x)
        return x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Blocks of one resolution and, but for the last stage, the way to the next."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Stem(nn.Module):
    """Image (B, 3, S, S) -> (B, C, S / 4, S / 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, 3, stride=2), nn.GELU(), ConvNorm(width // 2, width, 3, stride=2)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.seq(image)


class TinyViT(nn.Module):
    """Normalised image (B, 3, S, S) -> features (B, out, S / 16, S / 16)."""

    def __init__(self, config: TinyViTConfig) -> None:
        super().__init__()
        w = config.widths
        self.patch_embed = Stem(w[0])
        self.layers = nn.ModuleList()
        for i, depth in enumerate(config.depths):
            blocks: list[nn.Module] = [
                MBConv(w[0]) if i == 0 else TinyBlock(w[i], config.heads[i], config.windows[i]) for _ in range(depth)
            ]
            down = Merging(w[i], w[i + 1], stride=2 if i < 2 else 1) if i < 3 else None
            self.layers.append(Stage(blocks, down))
        self.norm_head = nn.LayerNorm(w[-1])
        self.head = nn.Linear(w[-1], config.labels)
        self.neck = neck(w[-1], config.out)

    def forward(self, image: Tensor) -> Tensor:
        x = self.patch_embed(image)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)
