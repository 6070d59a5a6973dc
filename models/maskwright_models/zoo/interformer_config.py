"""Sizes of the published InterFormer models, and which of them a state dict belongs to.

Source: Huang et al., "InterFormer: Real-time Interactive Image Segmentation", ICCV 2023, and its MIT-licensed code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STRIDES = (4, 8, 16, 32)
"""Of the four feature maps, in pixels of the input."""
RATIOS = ((12, 16, 20, 24), (6, 8, 10, 12), (3, 4, 5, 6), (1, 2, 3, 4))
"""Pool ratios of the keys in the four stages."""


@dataclass(frozen=True, slots=True)
class InterFormerConfig:
    """Sizes of one variant.

    ``size`` is the side of the square training input in pixels, which the position tables and the pooling stand on.
    ``coarse`` and ``refine`` are the numbers of blocks in each stage before and in its refinement.
    """

    width: int
    layers: int
    heads: int
    size: int = 512
    patch: int = 16
    dims: tuple[int, int, int, int] = (32, 64, 128, 256)
    stage_heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    coarse: tuple[int, int, int, int] = (1, 1, 2, 1)
    refine: tuple[int, int, int, int] = (0, 0, 0, 0)
    mlp_ratios: tuple[int, int, int, int] = (8, 8, 4, 4)
    channels: int = 64
    radius: int = 5

    @property
    def grid(self) -> int:
        """Side of the token grid at the training size."""
        return self.size // self.patch


VARIANTS: Mapping[str, InterFormerConfig] = {
    "mini": InterFormerConfig(
        width=48, layers=2, heads=3, size=128, dims=(8, 16, 32, 64), refine=(1, 1, 1, 1), channels=16
    ),
    "light": InterFormerConfig(width=768, layers=12, heads=12),
    "tiny": InterFormerConfig(width=1024, layers=24, heads=16, refine=(1, 1, 4, 2)),
}
"""``light`` (ViT-B) and ``tiny`` (ViT-L, the larger one in spite of its name) are published; ``mini`` is for tests."""


def variant_of(state: Mapping[str, Tensor]) -> str | None:
    """Variant whose width a state dict has, whether or not all of it is there; None where it is another family's."""
    tokens = state.get("backbone.pos_embed", state.get("backbone.cls_token"))
    if tokens is None or tokens.ndim != 3 or not any(k.startswith("neck.stages.") for k in state):
        return None
    return next((name for name, config in VARIANTS.items() if config.width == tokens.shape[-1]), None)
