"""Small convolution blocks for the detail stem and the decoder; batch norms fold away at export."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBN(nn.Sequential):
    """Convolution, batch norm and, where wanted, Hardswish."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(c_out),
        ]
        if act:
            layers.append(nn.Hardswish())
        super().__init__(*layers)


class SeparableBlock(nn.Module):
    """Residual block: depthwise k x k, then two 1 x 1. (B, C, h, w) -> (B, C, h, w)."""

    def __init__(self, width: int, *, kernel: int = 3, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        self.depthwise = ConvBN(width, width, kernel, groups=width, act=False)
        self.expand = ConvBN(width, hidden, 1)
        self.project = ConvBN(hidden, width, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(self.expand(self.depthwise(x)))


class LightBlock(nn.Module):
    """Residual block without norm: depthwise 3 x 3, then two 1 x 1; starts as the identity. (B, C, h, w) -> same.

    Batch norm takes most of the time of a training step at high resolution and is left out there.
    """

    def __init__(self, width: int, *, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or width
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.expand = nn.Conv2d(width, hidden, 1)
        self.project = nn.Conv2d(hidden, width, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(F.hardswish(self.expand(self.depthwise(x))))


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear upsampling by a whole factor."""
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
