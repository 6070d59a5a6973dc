"""The SAM prompt encoder, with the whole prompt embedding in tensors so that it exports: points, box corners, mask.

Source: Kirillov et al., "Segment Anything", ICCV 2023. Attribute names are those of the official checkpoints.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from maskwright_models.nn.sam_layers import LayerNorm2d


class FourierPositions(nn.Module):
    """Random Fourier features of positions in 0..1."""

    positional_encoding_gaussian_matrix: Tensor

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, width // 2))

    def forward(self, xy: Tensor) -> Tensor:
        """(…, 2) in 0..1 -> (…, width)."""
        turns = (2 * xy - 1) @ self.positional_encoding_gaussian_matrix
        angles = 2 * math.pi * turns
        return torch.cat([angles.sin(), angles.cos()], -1)

    def grid(self, side: int) -> Tensor:
        """Positions of the cell centres of a ``side`` x ``side`` map, (1, width, side, side)."""
        matrix = self.positional_encoding_gaussian_matrix
        at = (torch.arange(side, dtype=matrix.dtype, device=matrix.device) + 0.5) / side
        xy = torch.stack([at.expand(side, side), at[:, None].expand(side, side)], -1)
        return self(xy).permute(2, 0, 1)[None]


class PromptEncoder(nn.Module):
    """Prompts of the model contract -> sparse tokens and a dense map.

    ``size`` is the side of the encoder input in pixels, ``grid`` that of the feature map. A padding token goes with
    the points; ``pad_with_box`` says whether also where there is a box (SAM 2) or only where there is none (SAM).
    """

    def __init__(self, width: int, *, size: int, grid: int, pad_with_box: bool = False, hidden: int = 16) -> None:
        super().__init__()
        self.size = size
        self.grid = grid
        self.pad_with_box = pad_with_box
        self.pe_layer = FourierPositions(width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, hidden // 4, 2, 2),
            LayerNorm2d(hidden // 4),
            nn.GELU(),
            nn.Conv2d(hidden // 4, hidden, 2, 2),
            LayerNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, width, 1),
        )
        self.no_mask_embed = nn.Embedding(1, width)

    def positions(self) -> Tensor:
        """Position of each cell of the feature map, (1, width, grid, grid)."""
        return self.pe_layer.grid(self.grid)

    def sparse(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Points (1, N, 2) in input pixels, labels (1, N) -> tokens (1, M, width): pads of the caller are dropped."""
        given = labels[0] >= 0
        pad = torch.ones_like(given[:1]) if self.pad_with_box else (labels[0] < 2).all(0, keepdim=True)
        at = torch.nonzero(torch.cat([given, pad]))[:, 0]
        coords = torch.cat([coords, torch.zeros_like(coords[:, :1])], 1).index_select(1, at)
        labels = torch.cat([labels, -torch.ones_like(labels[:, :1])], 1).index_select(1, at)
        return self.point_tokens(coords, labels)

    def point_tokens(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Points (B, N, 2) in input pixels and labels (B, N) -> tokens (B, N, width); the place of a pad is nothing."""
        place = self.pe_layer((coords + 0.5) / self.size)
        weights = (e.get_parameter("weight") for e in (self.not_a_point_embed, *self.point_embeddings))
        kinds = torch.cat(tuple(weights))  # (5, width), from label -1 on
        return place * (labels >= 0).to(place.dtype)[..., None] + kinds[(labels + 1).long()]

    def dense(self, mask: Tensor, has_mask: Tensor) -> Tensor:
        """Mask logits (1, 1, 4 * grid, 4 * grid) and whether there are any (1,) -> (1, width, grid, grid)."""
        none = self.no_mask_embed.weight[..., None, None]
        return has_mask * self.mask_downscaling(mask) + (1 - has_mask) * none
