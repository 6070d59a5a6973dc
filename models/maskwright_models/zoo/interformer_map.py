"""The five-state label map of InterFormer: what clicks and earlier predictions say about each pixel.

0 background and 4 object are definite (clicked); 1 and 3 are possible (predicted); 2 is unknown. A predicted pixel
moves by one state a time, so that the map remembers: it depends on the history and goes with the object.
Everything here is traceable, for any number of points. Maps are (B, 1, H, W) float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = 2.0
STATES = 5


def with_prediction(states: Tensor, is_object: Tensor) -> Tensor:
    """Map after a prediction, (B, 1, H, W) bool, was folded in: one step up or down, definite pixels stay."""
    moved = (states + torch.where(is_object, 1.0, -1.0)).clamp(1, 3)
    return torch.where((states == 0) | (states == 4), states, moved)


def with_box(states: Tensor, coords: Tensor, labels: Tensor, fresh: Tensor) -> Tensor:
    """Map after a box, which the published models do not know: outside of it nothing is more than possibly background.

    In a ``fresh`` (B,) float map, to which no prediction belongs, the unknown pixels inside become possible object: a
    box is then what a mask to start from is.
    """
    h, w = int(states.shape[-2]), int(states.shape[-1])
    far = -1e6
    first, second = (torch.where(labels[..., None] == n, coords, far).amax(1) for n in (2, 3))  # (B, 2) corners
    xs, ys = (torch.arange(n, dtype=states.dtype, device=states.device) for n in (w, h))
    in_x = (xs > first[:, :1]) & (xs < second[:, :1])  # (B, W)
    in_y = (ys > first[:, 1:]) & (ys < second[:, 1:])
    inside = (in_y[:, :, None] & in_x[:, None])[:, None]
    given = (second[:, :1] > far)[..., None, None]
    open_ = (states > 0) & (states < 4)
    states = torch.where(given & open_ & ~inside, 1.0, states)
    raised = given & inside & (states == UNKNOWN) & (fresh > 0.5)[:, None, None, None]
    return torch.where(raised, 3.0, states)


def with_clicks(states: Tensor, coords: Tensor, labels: Tensor, *, radius: int) -> Tensor:
    """Map after clicks, coords (B, N, 2) in (x, y) pixels, labels (B, N), were drawn as disks, the newest on top.

    A disk has the pixels no further than ``radius`` from the pixel that was clicked. Other labels than 0 and 1 draw
    nothing. Drawing what is already there changes nothing, so that all clicks may come with each call.
    """
    h, w = int(states.shape[-2]), int(states.shape[-1])
    span = torch.arange(-radius, radius + 1, device=states.device)
    dy, dx = torch.meshgrid(span, span, indexing="ij")
    disk = dx**2 + dy**2 <= radius**2
    offsets = torch.stack([dx[disk], dy[disk]], -1).to(coords.dtype)  # (P, 2)
    centres = coords.round()
    at = centres[:, :, None] + offsets  # (B, N, P, 2)
    draws = (labels == 0) | (labels == 1)
    order = torch.ones_like(labels).cumsum(1)
    apart = ((at[:, :, :, None] - centres[:, None, None]) ** 2).sum(-1)  # (B, N, P, N)
    newer = draws[:, None] & (order[:, None] > order[:, :, None])  # (B, N, N)
    hidden = ((apart <= radius**2) & newer[:, :, None]).any(-1)  # (B, N, P): a newer disk lies on top
    x, y = at.unbind(-1)
    drawn = draws[..., None] & ~hidden & (x >= 0) & (x < w) & (y >= 0) & (y < h)
    index = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).long().flatten(1)
    value = torch.where(drawn, 1 + labels[..., None], 0.0).to(states.dtype).flatten(1)
    blank = torch.zeros(1, 1, dtype=states.dtype, device=states.device).expand(len(states), h * w)
    top = blank.scatter_add(1, index, value).reshape(states.shape)  # 1 background, 2 object; one disk per pixel
    return torch.where(top > 0, 4 * (top - 1), states)


def state_shares(states: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B, 5, H / 4, W / 4): how much of each state there is at stride 4.

    The official code embeds every pixel, then resizes by a bilinear filter that sees the four pixels in the middle of
    each 4 x 4 cell. Both are linear; this is the same in the other order, at a fraction of the cost.
    """
    codes = torch.arange(STATES, dtype=states.dtype, device=states.device)[:, None, None]
    middle = [(states[:, :, i::4, j::4] == codes).to(states.dtype) for i in (1, 2) for j in (1, 2)]
    return sum(middle[1:], middle[0]) / 4


def resized_logits(logits: Tensor, stride: int = 4) -> Tensor:
    """(B, K, h, w) -> (B, K, H, W), bilinear as in the official code."""
    return F.interpolate(logits, scale_factor=stride, mode="bilinear", align_corners=False)
