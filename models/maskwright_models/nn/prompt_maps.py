"""Draws prompts into maps inside the graph: clicks as disks and distances, the box, the mask to go on with.

Points are (x, y) in encoder-input pixels, centres on integers. Codes as in SAM: -1 pad, 0 background, 1 foreground,
2 / 3 box corners.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAPS = 8
"""Channels of :func:`prompt_maps`."""
FAR = 1e6
DISK_PX = 6.0
REACH_PX = 40.0


def cell_centres(cells: int, size: int, like: Tensor) -> Tensor:
    """Centres of ``cells`` equal cells over ``size`` pixels, (cells,) in pixel coordinates."""
    stride = size / cells
    return (torch.arange(cells, dtype=like.dtype, device=like.device) + 0.5) * stride - 0.5


def prompt_maps(coords: Tensor, labels: Tensor, mask_logits: Tensor, has_mask: Tensor, *, size: int) -> Tensor:
    """Maps (B, 8, g, g) of all prompts, where g is the side of ``mask_logits`` (B, 1, g, g).

    ``coords`` (B, N, 2), ``labels`` (B, N), ``has_mask`` (B,). Channels: disk and exp(-distance) of foreground
    clicks, the same of background clicks, inside and outside of the box, foreground and background of the mask.
    """
    cells = mask_logits.shape[-1]
    grid = cell_centres(cells, size, coords)
    dx = grid[None, None, None, :] - coords[..., 0, None, None]  # (B, N, 1, g)
    dy = grid[None, None, :, None] - coords[..., 1, None, None]  # (B, N, g, 1)
    squared = dx * dx + dy * dy  # (B, N, g, g)
    maps = []
    for code in (1.0, 0.0):
        off = (labels != code).to(coords.dtype)[..., None, None] * FAR
        distance = (squared + off).amin(1).clamp_min(1e-6).sqrt()
        maps += [torch.sigmoid((DISK_PX - distance) / 1.5), torch.exp(-distance / REACH_PX)]
    first, second = ((labels == code).to(coords.dtype) for code in (2.0, 3.0))
    x0, y0 = ((coords[..., i] * first).sum(1)[:, None, None] for i in (0, 1))
    x1, y1 = ((coords[..., i] * second).sum(1)[:, None, None] for i in (0, 1))
    has_box = first.amax(1)[:, None, None]
    across = torch.sigmoid((grid[None, None, :] - x0) / 2) * torch.sigmoid((x1 - grid[None, None, :]) / 2)
    down = torch.sigmoid((grid[None, :, None] - y0) / 2) * torch.sigmoid((y1 - grid[None, :, None]) / 2)
    inside = across * down
    maps += [inside * has_box, (1 - inside) * has_box]
    known = has_mask[:, None, None]
    chance = torch.sigmoid(mask_logits[:, 0])
    maps += [chance * known, (1 - chance) * known]
    return torch.stack(maps, 1)


def point_weights(coords: Tensor, *, size: int, cells: int) -> Tensor:
    """Bilinear weights (B, N, cells * cells) that read a map at each point."""
    at = ((coords + 0.5) * (cells / size) - 0.5).clamp(0, cells - 1)
    grid = torch.arange(cells, dtype=coords.dtype, device=coords.device)
    wx = F.relu(1 - (grid - at[..., 0, None]).abs())  # (B, N, cells)
    wy = F.relu(1 - (grid - at[..., 1, None]).abs())
    return (wy[..., :, None] * wx[..., None, :]).flatten(2)
