"""InterFormer's mask decoder (mmsegmentation's UPerHead) and the auxiliary head of its training.

Module names are those of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.zoo.interformer_config import InterFormerConfig
from maskwright_models.zoo.interformer_neck import fixed

POOL_SCALES = (1, 2, 3, 6)


class ConvModule(nn.Module):
    """Convolution, batch norm and ReLU under mmcv's names."""

    def __init__(self, c_in: int, c_out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class AdaptiveMean(nn.Module):
    """(B, C, h, w) -> (B, C, size, size), equal to ``adaptive_avg_pool2d`` but traceable for any size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (self._weights(n, x) for n in fixed(x))
        return rows @ x @ columns.t()

    def _weights(self, n: int, like: Tensor) -> Tensor:
        """(size, n): each row has the weight 1 / length on its window."""
        weights = torch.zeros(self.size, n)
        for i in range(self.size):
            first, end = i * n // self.size, -(-(i + 1) * n // self.size)
            weights[i, first:end] = 1 / (end - first)
        return weights.to(like)


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear to the size of ``like``."""
    return F.interpolate(x, size=fixed(like), mode="bilinear", align_corners=False)


class UPerHead(nn.Module):
    """Four maps -> logits (B, 2, H / 4, W / 4) of background and object."""

    def __init__(self, config: InterFormerConfig) -> None:
        super().__init__()
        dims, c = config.dims, config.channels
        self.conv_seg = nn.Conv2d(c, 2, 1)
        self.psp_modules = nn.ModuleList(
            nn.Sequential(AdaptiveMean(s), ConvModule(dims[-1], c, 1)) for s in POOL_SCALES
        )
        self.bottleneck = ConvModule(dims[-1] + len(POOL_SCALES) * c, c, 3)
        self.lateral_convs = nn.ModuleList(ConvModule(d, c, 1) for d in dims[:-1])
        self.fpn_convs = nn.ModuleList(ConvModule(c, c, 3) for _ in dims[:-1])
        self.fpn_bottleneck = ConvModule(len(dims) * c, c, 3)
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        deepest = maps[-1]
        pooled = [resize(psp(deepest), deepest) for psp in self.psp_modules]
        x = self.bottleneck(torch.cat([deepest, *pooled], 1))
        outs = [x]
        for i in reversed(range(len(self.lateral_convs))):
            lateral = self.lateral_convs[i](maps[i])
            x = lateral + resize(x, lateral)
            outs.insert(0, self.fpn_convs[i](x))
        outs = [outs[0], *(resize(o, outs[0]) for o in outs[1:])]
        return self.conv_seg(self.dropout(self.fpn_bottleneck(torch.cat(outs, 1))))


class AuxiliaryHead(nn.Module):
    """Training only: the third map -> logits (B, 2, H / 16, W / 16)."""

    def __init__(self, config: InterFormerConfig) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(config.channels, 2, 1)
        self.convs = nn.Sequential(ConvModule(config.dims[2], config.channels, 3))
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return self.conv_seg(self.dropout(self.convs(maps[2])))
