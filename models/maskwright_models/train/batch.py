"""Samples as tensors: the frozen features of their views, and the features and truth of each of their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwright_models.data.samples import WINDOW, Sample
from maskwright_models.zoo.dinov2_imsa import TOKENS


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """V views with B objects together.

    ``tokens`` (V, 1536, 32, 32) and ``stem``, (V, 24, 128, 128) and (V, 40, 64, 64), float32, channels last; ``truth``
    and ``valid`` (B, 1, h, w) float32; L labels of all views: ``words`` (L, 384), ``shares`` (L, 32, 32) float32, and
    ``view_of`` (L,) int64, the view that each is asked of.
    """

    tokens: Tensor
    stem: tuple[Tensor, Tensor]
    truth: Tensor
    valid: Tensor
    words: Tensor
    shares: Tensor
    view_of: Tensor


def batch_of(samples: Sequence[Sample], device: torch.device) -> Batch:
    """Samples of one kind, all whole views or all windows, on ``device``."""
    views = [(s.tokens, *s.stem) for s in samples]
    tokens, four, eight = (
        torch.from_numpy(np.stack(part)).to(device, memory_format=torch.channels_last).float()
        for part in zip(*views, strict=True)
    )
    objects = [(s.truths, s.valid, s.words, s.shares) for s in samples]
    truth, valid, words, shares = (
        torch.from_numpy(np.concatenate(part)).to(device) for part in zip(*objects, strict=True)
    )
    view_of = torch.arange(len(samples)).repeat_interleave(torch.tensor([len(s.words) for s in samples])).to(device)
    return Batch(tokens, (four, eight), truth.float()[:, None], valid.float()[:, None], words, shares, view_of)


def of_objects(maps: Sequence[Tensor], samples: Sequence[Sample]) -> tuple[Tensor, ...]:
    """Each object's features, from those of its view (V, C, h, w): all of them, or its window of them."""
    if samples[0].corners is None:
        return tuple(_repeat(m, len(samples[0].truths)) for m in maps)
    out = []
    for m in maps:
        scale = m.shape[-1] // TOKENS
        side = WINDOW * scale
        windows = [
            m[i, :, y * scale : y * scale + side, x * scale : x * scale + side]
            for i, sample in enumerate(samples)
            for y, x in (sample.corners if sample.corners is not None else ())
        ]
        out.append(torch.stack(windows).contiguous(memory_format=torch.channels_last))
    return tuple(out)


def half_precision(device: torch.device) -> torch.autocast:
    """bfloat16 on a CPU, float16 on a GPU."""
    return torch.autocast(device.type, torch.bfloat16 if device.type == "cpu" else torch.float16)


def _repeat(maps: Tensor, times: int) -> Tensor:
    """(V, C, h, w) -> (V * times, C, h, w), channels last; unlike indexing its gradient is a plain sum."""
    b, c, h, w = maps.shape
    rows = maps.permute(0, 2, 3, 1)[:, None].expand(-1, times, -1, -1, -1)
    return rows.reshape(b * times, h, w, c).permute(0, 3, 1, 2)
