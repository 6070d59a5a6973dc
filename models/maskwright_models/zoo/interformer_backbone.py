"""InterFormer's encoder: a plain ViT with relative position bias in every layer, and a pyramid of four maps.

Module names are those of the official checkpoints. What costs the official code most, the bias tables resized in each
layer, is here an index resized once: the nearest neighbour of a gathered value is the value of a gathered neighbour.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.zoo.interformer_config import InterFormerConfig

OFF = -1e4
"""Attention logit of a key that only fills up a row."""


class Grid:
    """Where the tokens of an ``h`` x ``w`` grid find their relative position bias in tables for ``g`` x ``g`` tokens.

    As in the official code, a grid of another shape but with the same number of tokens uses the tables as they are.
    Tokens are row-major and the class token comes last.
    """

    def __init__(self, h: int, w: int, g: int, device: torch.device) -> None:
        if h * w == g * g:
            h = w = g
        rows, columns = (_nearest(g, n, device) for n in (h, w))
        span = 2 * g - 1
        self.width = w
        self.queries = h * w + 1
        self.positions = (rows[:, None] * g + columns).flatten()  # (h * w,) into the position embedding
        self.columns = columns[:, None] - columns + g - 1  # (w, w): query column, key column
        # a query has one block of w keys in each row, then one with the class token in front
        first = torch.arange(w, device=device)[:, None] * span  # query column
        blocks = rows[:, None, None] - rows + g - 1 + first  # (h, w, h): query row, query column, key row
        to_cls, from_cls, cls_cls = (w * span + n for n in range(3))
        tokens = F.pad(blocks.reshape(h * w, h), (0, 1), value=to_cls)
        last = torch.full((1, h + 1), from_cls, device=device)
        last[0, -1] = cls_cls
        self.blocks = torch.cat([tokens, last]).flatten()  # (queries * (h + 1),)

    def computed_from(self, image: Tensor) -> None:
        """Make the indices depend on ``image`` without changing them.

        WORKAROUND: ONNX Runtime 1.32 folds what is constant, and the tables spread out to all pairs of tokens would
        take 50 MB per layer.
        """
        nothing = (image[0, 0, 0, 0] > 1e30).long()
        self.columns = self.columns + nothing
        self.blocks = self.blocks + nothing


def _nearest(source: int, target: int, device: torch.device) -> Tensor:
    """Index that resizes ``source`` cells to ``target`` as ``interpolate(mode="nearest")`` does, (target,) int64."""
    cells = torch.arange(source, dtype=torch.float32, device=device)
    return F.interpolate(cells[None, None], size=target, mode="nearest")[0, 0].long()


class RelativeAttention(nn.Module):
    """Global attention with a learned bias for the offset of query and key, (B, N, C) -> (B, N, C)."""

    def __init__(self, width: int, heads: int, grid: int) -> None:
        super().__init__()
        self.heads = heads
        self.span = 2 * grid - 1
        self.relative_position_bias_table = nn.Parameter(torch.zeros(self.span**2 + 3, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def bias(self, grid: Grid) -> Tensor:
        """(1, heads, N, N + w - 1); the last w - 1 keys are not there.

        Blocks of w keys that lie side by side are copied, rather than one number for each pair of tokens.
        """
        w, n = grid.width, self.span
        table = self.relative_position_bias_table.t()  # (heads, n * n + 3)
        body = table[:, :-3].reshape(-1, n, n)
        rows = body.index_select(2, grid.columns.flatten()).reshape(-1, n, w, w)  # key row, query column, key column
        rows = rows.transpose(1, 2).reshape(-1, w * n, w)
        from_cls, to_cls, cls_cls = table[:, -3:, None].split(1, 1)
        off = torch.full_like(rows[:, :1, 1:], OFF)
        special = [torch.cat([to_cls, off], 2), from_cls.expand(-1, 1, w), torch.cat([cls_cls, off], 2)]
        rows = torch.cat([rows, *special], 1)  # (heads, w * n + 3, w), numbered as in Grid.blocks
        return rows.index_select(1, grid.blocks).reshape(1, self.heads, grid.queries, -1)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        k, v = (F.pad(t, (0, 0, 0, grid.width - 1)) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias(grid).to(q.dtype))
        return self.proj(y.transpose(1, 2).reshape(b, n, c))


class FeedForward(nn.Module):
    """MLP under the official names, (B, N, C) -> (B, N, C)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Sequential(nn.Linear(width, hidden), nn.GELU()), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Layer(nn.Module):
    """Pre-norm transformer layer with layer scale."""

    def __init__(self, width: int, heads: int, grid: int) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.ones(width))
        self.gamma_2 = nn.Parameter(torch.ones(width))
        self.ln1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = RelativeAttention(width, heads, grid)
        self.ln2 = nn.LayerNorm(width, eps=1e-6)
        self.ffn = FeedForward(width, 4 * width)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        x = x + self.gamma_1 * self.attn(self.ln1(x), grid)
        return x + self.gamma_2 * self.ffn(self.ln2(x))


class PatchEmbed(nn.Module):
    """Image (B, 3, H, W) -> tokens (B, H / patch * W / patch, C)."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        return self.projection(image).flatten(2).transpose(1, 2)


class SimpleFPN(nn.Module):
    """One map at stride 16 -> four maps at strides 4, 8, 16 and 32; every norm runs over channels and pixels."""

    def __init__(self, width: int, dims: tuple[int, ...]) -> None:
        super().__init__()
        a, b, c, d = dims
        up4, up2, down = max(width // 2, 2 * a), max(width // 2, b), max(2 * width, d)
        self.rescale_ops = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(width, up4, 2, stride=2),
                    nn.GroupNorm(1, up4),
                    nn.GELU(),
                    nn.ConvTranspose2d(up4, up4 // 2, 2, stride=2),
                    nn.GroupNorm(1, up4 // 2),
                    *_narrow(up4 // 2, a),
                ),
                nn.Sequential(nn.ConvTranspose2d(width, up2, 2, stride=2), nn.GroupNorm(1, up2), *_narrow(up2, b)),
                nn.Sequential(*_narrow(width, c)),
                nn.Sequential(nn.Conv2d(width, down, 2, stride=2), nn.GroupNorm(1, down), *_narrow(down, d)),
            ]
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(op(x) for op in self.rescale_ops)


def _narrow(c_in: int, c_out: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(c_in, c_out, 1), nn.GroupNorm(1, c_out), nn.GELU()


class Backbone(nn.Module):
    """Image (B, 3, H, W), H and W divisible by 32 -> maps of ``config.dims`` channels at strides 4, 8, 16 and 32."""

    def __init__(self, config: InterFormerConfig) -> None:
        super().__init__()
        self.grid = config.grid
        self.patch = config.patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid**2 + 1, config.width))
        self.patch_embed = PatchEmbed(config.width, config.patch)
        self.layers = nn.ModuleList(Layer(config.width, config.heads, config.grid) for _ in range(config.layers))
        self.fpn = SimpleFPN(config.width, config.dims)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        h, w = (int(n) // self.patch for n in image.shape[-2:])
        grid = Grid(h, w, self.grid, image.device)
        if torch.onnx.is_in_onnx_export():
            grid.computed_from(image)
        x = self.patch_embed(image) + self.pos_embed[:, 1:].index_select(1, grid.positions)
        cls = self.cls_token + self.pos_embed[:, :1]
        x = torch.cat([x, cls.expand(len(x), -1, -1)], 1)  # (B, h * w + 1, C), the class token last
        for layer in self.layers:
            x = layer(x, grid)
        return self.fpn(x[:, :-1].transpose(1, 2).reshape(len(x), -1, h, w))
