"""A click of a peer in torch, in the order of computation that its authors published.

The classes of ``maskwright_models`` give the same numbers, but InterFormer's with less work: they embed the label map
after it was made smaller, fuse the attention, and draw all clicks at once. Here nothing of that is done, so that the
default model can be held against the peer itself and not only against our export of it. Where the published code leaves
a choice, the faster one is taken: the input is 512 pixels wide for InterFormer (it would take the photo as it is), its
zoom-in, which changes no answer of the Light variant, is left out, and SAM enlarges one mask (its predictor enlarges
three unless told otherwise).

Sources: Huang et al., "InterFormer", ICCV 2023, and its MIT-licensed code (commit 959ce39: ``necks/imsa.py``,
``segmentors``, ``utils/click.py``, ``demo/gui/predictor.py``); Kirillov et al., "Segment Anything", ICCV 2023, and its
Apache-2.0-licensed ``predictor.py`` and ``modeling``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskwright_models.zoo.interformer_config import STRIDES, VARIANTS
from maskwright_models.zoo.interformer_decoder import POOL_SCALES, UPerHead, resize
from maskwright_models.zoo.interformer_map import STATES, UNKNOWN
from maskwright_models.zoo.interformer_neck import Block, Downsample, Neck, PooledAttention, Stage, pooled_size
from maskwright_models.zoo.sam import SAM
from maskwright_models.zoo.sam_decoder import MaskDecoder
from maskwright_models.zoo.sam_prompts import PromptEncoder

Clicks = Sequence[tuple[float, float, bool]]
"""(x, y, positive) in pixels of the photo, the newest last."""


class InterFormerClick:
    """One object on one image: the label map that remembers, and the networks that answer a click."""

    def __init__(self, neck: Neck, head: UPerHead, features: Sequence[Tensor], *, radius: int) -> None:
        self.neck = neck.eval()
        self.head = head.eval()
        self.features = features
        self.radius = radius
        self.size = (STRIDES[0] * features[0].shape[-2], STRIDES[0] * features[0].shape[-1])
        self.states = torch.full((1, 1, *self.size), UNKNOWN)

    def __call__(self, x: int, y: int, *, positive: bool) -> np.ndarray:
        """Mask (H, W) bool after one more click on pixel (x, y) of the input."""
        with torch.inference_mode():
            self.states = updated(self.states, drawn(self.size, x, y, positive=positive, radius=self.radius))
            both = upper(self.head, refined(self.neck, self.features, self.states))
            label = F.interpolate(both, self.size, mode="bilinear", align_corners=False).argmax(1, keepdim=True)
            for found, state in ((label == 1, 3), (label == 0, 1)):
                self.states = moved(self.states, found, state)
            return label[0, 0].numpy() == 1


def drawn(size: tuple[int, int], x: int, y: int, *, positive: bool, radius: int) -> Tensor:
    """Label map (1, 1, H, W) of one click alone, by exact distances: an outer ring of no width, then the disk."""
    out = torch.full(size, UNKNOWN)
    for state in (3, 4) if positive else (1, 0):
        away = np.ones(size)
        away[y, x] = 0
        out[torch.from_numpy(cv2.distanceTransform(away.astype(np.uint8), cv2.DIST_L2, 0) <= radius)] = state
    return out[None, None]


def updated(states: Tensor, label: Tensor) -> Tensor:
    """Label map after another one was laid over it, state by state."""
    for state in range(STATES):
        states = moved(states, label == state, state)
    return states


def moved(states: Tensor, where: Tensor, state: int) -> Tensor:
    """Label map whose pixels in a (1, 1, H, W) bool mask moved to a state: at once to a sure one, else by a step."""
    out = states.clone()
    if state in (0, 4):
        out[where] = state
    elif state != UNKNOWN:
        out[where & (states == UNKNOWN)] = state
        out[where & (states == 4 - state)] = UNKNOWN
    return out


def refined(neck: Neck, features: Sequence[Tensor], states: Tensor) -> list[Tensor]:
    """Pyramid and label map -> four maps. Each pixel is embedded at full resolution, then the embedding is resized."""
    one_hot = F.one_hot(states.long(), STATES).float()  # (1, 1, H, W, 5)
    embedded = (one_hot @ neck.patch_embed)[:, 0].permute(0, 3, 1, 2)
    x = features[0] + F.interpolate(embedded, features[0].shape[-2:], mode="bilinear", align_corners=False)
    maps = []
    for i, (stage, refine) in enumerate(zip(neck.stages, neck.refine_stages, strict=True)):
        x = _stage(stage, x, features[i])
        maps.append(neck.get_submodule(f"norm{i}")(_stage(refine, x, None)))
        if i < len(features) - 1:
            x = _smaller(stage.get_submodule("downsample"), x)
    return maps


def _stage(stage: torch.nn.Module, x: Tensor, keys: Tensor | None) -> Tensor:
    assert isinstance(stage, Stage)
    for block in stage.blocks:
        assert isinstance(block, Block)
        x = x + _attention(block.attn, block.norm1(x), block.norm_kv(x if keys is None else keys))
        x = x + block.mlp(block.norm2(x))
        keys = None
    return x


def _attention(layer: PooledAttention, x: Tensor, keys: Tensor) -> Tensor:
    (b, c, h, w), (kh, kw) = x.shape, keys.shape[-2:]
    levels = []
    for ratio, conv in zip(layer.ratios, layer.dconvs, strict=True):
        rows, columns = (pooled_size(n, ratio=ratio, target=layer.target) for n in (kh, kw))
        pool = keys if (rows, columns) == (kh, kw) else F.adaptive_max_pool2d(keys, (rows, columns))
        levels.append((pool + conv(pool)).flatten(2).transpose(1, 2))
    q = layer.query_proj(x.flatten(2).transpose(1, 2))
    k, v = layer.key_value_proj(layer.norm(torch.cat(levels, 1))).chunk(2, -1)
    q, k, v = (t.reshape(b, -1, layer.heads, c // layer.heads).transpose(1, 2) for t in (q, k, v))
    weights = ((q @ k.transpose(-2, -1)) * (c // layer.heads) ** -0.5).softmax(-1)
    y = (weights @ v).transpose(1, 2).reshape(b, h * w, c)
    return layer.proj(y).transpose(1, 2).reshape(b, c, h, w)


def _smaller(layer: torch.nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, Downsample)
    patches = F.unfold(x, 3, padding=1, stride=2).transpose(1, 2)
    y = layer.reduction(layer.norm(patches))
    return y.transpose(1, 2).reshape(len(x), -1, (x.shape[-2] + 1) // 2, (x.shape[-1] + 1) // 2)


def upper(head: UPerHead, maps: Sequence[Tensor]) -> Tensor:
    """Four maps -> logits (1, 2, H / 4, W / 4) of background and object."""
    deepest = maps[-1]
    convs = [psp.get_submodule("1") for psp in head.psp_modules]  # the first of the two pools
    pooled = [conv(F.adaptive_avg_pool2d(deepest, n)) for conv, n in zip(convs, POOL_SCALES, strict=True)]
    laterals = [conv(m) for conv, m in zip(head.lateral_convs, maps[:-1], strict=True)]
    laterals.append(head.bottleneck(torch.cat([deepest, *(resize(p, deepest) for p in pooled)], 1)))
    for i in reversed(range(1, len(laterals))):
        laterals[i - 1] = laterals[i - 1] + resize(laterals[i], laterals[i - 1])
    outs = [conv(x) for conv, x in zip(head.fpn_convs, laterals[:-1], strict=True)] + laterals[-1:]
    outs = [outs[0], *(resize(o, outs[0]) for o in outs[1:])]
    return head.conv_seg(head.fpn_bottleneck(torch.cat(outs, 1)))


class SamClick:
    """One object on one image that fills the input: what SAM's predictor does for a click after the image was set."""

    def __init__(self, prompts: PromptEncoder, decoder: MaskDecoder, features: Tensor) -> None:
        self.prompts = prompts.eval()
        self.decoder = decoder.eval()
        self.features = features

    def __call__(self, clicks: Clicks, previous: Tensor, shape_yx: tuple[int, int]) -> tuple[np.ndarray, Tensor]:
        """Mask (Y, X) bool and logits (1, 1, 256, 256) for several clicks and the logits of the answer before."""
        size = self.prompts.size
        with torch.inference_mode():
            at = np.array([[(x, y) for x, y, _ in clicks]]) * (size / max(shape_yx))
            labels = torch.tensor([[float(positive) for *_, positive in clicks]])
            sparse = self.prompts.sparse(torch.as_tensor(at, dtype=torch.float), labels)
            image = self.features + self.prompts.mask_downscaling(previous)
            logits, _ = self.decoder(image, self.prompts.positions(), sparse)
            low = logits[:, :1]  # the mask for prompts that are not ambiguous
            full = F.interpolate(low, (size, size), mode="bilinear", align_corners=False)
            return (F.interpolate(full, shape_yx, mode="bilinear", align_corners=False) > 0)[0, 0].numpy(), low


def _interformer(clicks: Clicks, side: int) -> tuple[int, Callable[[], object]]:
    config = VARIANTS["light"]
    sides = [config.size // s for s in STRIDES]
    features = [torch.randn(1, d, n, n) for d, n in zip(config.dims, sides, strict=True)]
    click = InterFormerClick(Neck(config), UPerHead(config), features, radius=config.radius)
    *before, last = ((int(x * config.size / side), int(y * config.size / side), p) for x, y, p in clicks)
    for x, y, positive in before:
        click(x, y, positive=positive)
    return config.size, lambda: click(last[0], last[1], positive=last[2])


def _sam(clicks: Clicks, side: int) -> tuple[int, Callable[[], object]]:
    config = SAM["vit_b"]
    encoder = config.encoder
    prompts = PromptEncoder(encoder.out, size=encoder.size, grid=encoder.grid)
    click = SamClick(
        prompts,
        MaskDecoder(encoder.out, heads=config.heads, hidden=config.hidden),
        torch.randn(1, encoder.out, encoder.grid, encoder.grid),
    )
    _, before = click(clicks[:-1], torch.randn(1, 1, 4 * encoder.grid, 4 * encoder.grid), (side, side))
    return encoder.size, lambda: click(clicks, before, (side, side))


PUBLISHED: dict[str, Callable[[Clicks, int], tuple[int, Callable[[], object]]]] = {
    "interformer/light": _interformer,
    "sam/vit_b": _sam,
}
"""Variant -> what gives, for clicks on a square photo of some side, the side of its input and its newest click. Weights
are random."""
