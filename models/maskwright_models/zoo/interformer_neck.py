"""InterFormer's I-MSA decoder: the label map and the pyramid -> four maps, the part that answers a click.

Module names are those of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.zoo.interformer_config import RATIOS, STRIDES, InterFormerConfig

Roi = tuple[int, int, int, int]
"""Left, upper, right and lower edge in pixels of the input, multiples of 32."""


def fixed(x: Tensor) -> tuple[int, int]:
    """Height and width of (B, C, h, w) as numbers, which a trace takes for constants."""
    return int(x.shape[-2]), int(x.shape[-1])


def pooled_size(side: int, *, ratio: int, target: int) -> int:
    """Side of a pooled map; ``target`` is the side of the map at the training size. Rounds half to even."""
    if ratio == 1:
        return side
    return round(side / round(side / min(target / ratio, side)))


def adaptive_max_pool(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), equal to ``adaptive_max_pool2d`` but traceable for any size.

    Windows are gathered to one length: the last cell is repeated, which no maximum sees.
    """
    for axis, n, out in zip((2, 3), fixed(x), size, strict=True):
        windows = [range(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]
        length = max(len(r) for r in windows)
        index = torch.tensor([r[min(i, len(r) - 1)] for r in windows for i in range(length)], device=x.device)
        x = x.index_select(axis, index).unflatten(axis, (out, length)).amax(axis + 1)
    return x


class PooledAttention(nn.Module):
    """Queries from every pixel of ``x``, keys and values from ``keys`` max-pooled at four ratios, both (B, C, h, w)."""

    def __init__(self, width: int, heads: int, ratios: Sequence[int], target: int) -> None:
        super().__init__()
        self.heads = heads
        self.ratios = tuple(ratios)
        self.target = target
        self.query_proj = nn.Linear(width, width)
        self.key_value_proj = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.dconvs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in ratios)

    def pooled(self, keys: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, M, C)."""
        h, w = fixed(keys)
        levels = []
        for ratio, conv in zip(self.ratios, self.dconvs, strict=True):
            size = (pooled_size(h, ratio=ratio, target=self.target), pooled_size(w, ratio=ratio, target=self.target))
            pool = keys if size == (h, w) else adaptive_max_pool(keys, size)
            levels.append((pool + conv(pool)).flatten(2))
        return torch.cat(levels, 2).transpose(1, 2)

    def forward(self, x: Tensor, keys: Tensor) -> Tensor:
        (b, c), (h, w) = x.shape[:2], fixed(x)
        q = self.query_proj(x.flatten(2).transpose(1, 2))  # (B, h * w, C)
        k, v = self.key_value_proj(self.norm(self.pooled(keys))).chunk(2, -1)  # (B, M, C)
        q, k, v = (t.reshape(b, -1, self.heads, c // self.heads).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h * w, c)
        return self.proj(y).transpose(1, 2).reshape(b, c, h, w)


class Block(nn.Module):
    """Attention and MLP, both residual and pre-norm; the norms run over channels and pixels."""

    def __init__(self, width: int, heads: int, ratios: Sequence[int], target: int, mlp_ratio: int) -> None:
        super().__init__()
        hidden = width * mlp_ratio
        self.norm1 = nn.GroupNorm(1, width)
        self.norm_kv = nn.GroupNorm(1, width)
        self.attn = PooledAttention(width, heads, ratios, target)
        self.norm2 = nn.GroupNorm(1, width)
        self.mlp = nn.Sequential(
            nn.Conv2d(width, hidden, 1),
            nn.Hardswish(),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.Hardswish(),
            nn.Conv2d(hidden, width, 1),
        )

    def forward(self, x: Tensor, keys: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), self.norm_kv(keys))
        return x + self.mlp(self.norm2(x))


class Downsample(nn.Module):
    """(B, C, h, w) -> (B, C', h / 2, w / 2): 3 x 3 patches at stride 2, normalised and projected."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(9 * width)
        self.reduction = nn.Linear(9 * width, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (b, c), (h, w) = x.shape[:2], fixed(x)
        # unfold, as a convolution with one-hot kernels: the same numbers in the same order, traced to a faster graph
        one_hot = torch.eye(9, dtype=x.dtype, device=x.device).reshape(9, 1, 3, 3).repeat(int(c), 1, 1, 1)
        patches = F.conv2d(x, one_hot, stride=2, padding=1, groups=int(c))  # (B, 9C, h / 2, w / 2), channels first
        y = self.reduction(self.norm(patches.flatten(2).transpose(1, 2)))
        return y.transpose(1, 2).reshape(b, -1, (h + 1) // 2, (w + 1) // 2)


class Stage(nn.Module):
    """Blocks of one resolution; ``downsample`` only where there is a next one."""

    def __init__(self, blocks: Sequence[Block], downsample: Downsample | None = None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if downsample is not None:
            self.downsample = downsample

    def forward(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        """The first block attends to ``keys`` where given, the others to the map itself."""
        for block in self.blocks:
            x = block(x, x if keys is None else keys)
            keys = None
        return x


class Neck(nn.Module):
    """Pyramid and label map -> four refined maps of the same sizes.

    ``states`` (B, 5, H / 4, W / 4) is the share of each of the five states at stride 4 (:func:`state_shares`).
    """

    def __init__(self, config: InterFormerConfig) -> None:
        super().__init__()
        dims = config.dims
        self.patch_embed = nn.Parameter(torch.empty(5, dims[0]))
        nn.init.trunc_normal_(self.patch_embed, std=0.02)

        def blocks(i: int, count: int) -> list[Block]:
            target = config.size // STRIDES[i]
            sizes = (dims[i], config.stage_heads[i], RATIOS[i], target, config.mlp_ratios[i])
            return [Block(*sizes) for _ in range(count)]

        self.stages = nn.ModuleList(
            Stage(blocks(i, n), Downsample(dims[i], dims[i + 1]) if i < 3 else None)
            for i, n in enumerate(config.coarse)
        )
        self.refine_stages = nn.ModuleList(Stage(blocks(i, n)) for i, n in enumerate(config.refine))
        for i, dim in enumerate(dims):
            self.add_module(f"norm{i}", nn.GroupNorm(1, dim))

    def embed(self, states: Tensor) -> Tensor:
        """(B, 5, h, w) shares of the states -> (B, C, h, w)."""
        return F.conv2d(states, self.patch_embed.t()[:, :, None, None])

    def forward(self, features: Sequence[Tensor], states: Tensor, roi: Roi | None = None) -> tuple[Tensor, ...]:
        x = features[0] + self.embed(states)
        out = []
        for i, (stage, refine) in enumerate(zip(self.stages, self.refine_stages, strict=True)):
            x = stage(x, features[i])
            refined = self._refined(refine, x, None if roi is None else [n // STRIDES[i] for n in roi])
            out.append(self.get_submodule(f"norm{i}")(refined))
            if i < 3:
                x = stage.get_submodule("downsample")(x)
        return tuple(out)

    def _refined(self, refine: nn.Module, x: Tensor, roi: list[int] | None) -> Tensor:
        if roi is None:
            return refine(x)
        left, upper, right, lower = roi
        y = x.clone()
        y[:, :, upper:lower, left:right] = refine(x[:, :, upper:lower, left:right])
        return y
