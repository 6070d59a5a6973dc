"""CLIP's text tower: token ids -> one vector for the whole text.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021. The names of the
parameters are those of Hugging Face's ``CLIPTextModel``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

START, END = 49406, 49407
"""Token ids that a text begins and ends with; texts of a batch are padded with END."""


@dataclass(frozen=True, slots=True)
class ClipTextConfig:
    """Sizes. The defaults are those of CLIP ViT-B/32."""

    width: int = 512
    depth: int = 12
    heads: int = 8
    hidden: int = 2048
    vocabulary: int = 49408
    length: int = 77


class TextAttention(nn.Module):
    """Causal self-attention: a token sees itself and those before it. (B, T, C) -> (B, T, C)."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.q_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (self._split(y) for y in (self.q_proj(x), self.k_proj(x), self.v_proj(x)))
        logits = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(2, 3) + mask
        return self.out_proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, x.shape[2] // self.heads)).transpose(1, 2)


class TextMLP(nn.Module):
    """Two linear layers with CLIP's quick GELU between them."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class TextLayer(nn.Module):
    """One pre-norm layer."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.self_attn = TextAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.mlp = TextMLP(config)
        self.layer_norm2 = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class TextEmbeddings(nn.Module):
    """Token ids (B, T) -> token and position vectors, (B, T, C)."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.length, config.width)

    def forward(self, ids: Tensor) -> Tensor:
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class TextLayers(nn.Module):
    """All layers, in the place where the published names want them."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TextLayer(config) for _ in range(config.depth))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, mask)
        return x


class TextTransformer(nn.Module):
    """Token ids (B, T) int64 -> state of the first END token behind the final norm, (B, C).

    No padding mask is needed: what stands behind that token cannot reach it.
    """

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.encoder = TextLayers(config)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, ids: Tensor) -> Tensor:
        place = torch.arange(ids.shape[1], device=ids.device)
        mask = (place[None, :] > place[:, None]).float() * -1e4
        x = self.final_layer_norm(self.encoder(self.embeddings(ids), mask))
        first = (ids == END).int().argmax(1)  # (B,)
        at_end = (place[None, :] == first[:, None]).to(x.dtype)  # (B, T)
        return (at_end[:, None] @ x)[:, 0]


class ClipText(nn.Module):
    """The tower under the prefix of its published checkpoint."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.text_model = TextTransformer(config)

    def forward(self, ids: Tensor) -> Tensor:
        return self.text_model(ids)
