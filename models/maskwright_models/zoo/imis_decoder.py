"""IMIS-Net's mask decoder: SAM's at full width, with a semantic token beside each mask token and a term for text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskwright_models.nn.sam_layers import LayerNorm2d, Perceptron
from maskwright_models.zoo.sam_decoder import TwoWayTransformer

MASKS = 4
"""Candidates: number 0 for prompts that are not ambiguous, three alternatives."""
SEMANTIC_WIDTH = 512
"""Width of the vector that tells the category, that of CLIP's shared space."""


class ImisMaskDecoder(nn.Module):
    """Features and prompt tokens -> four mask candidates with predicted IoU and a semantic vector each."""

    def __init__(self, width: int, *, hidden: int = 2048, heads: int = 8, iou_hidden: int = 256) -> None:
        super().__init__()
        self.transformer = TwoWayTransformer(width, heads, hidden)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(MASKS, width)
        self.semantic_tokens = nn.Embedding(MASKS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            Perceptron((width, width, width, width // 8)) for _ in range(MASKS)
        )
        self.text_output = nn.Linear(width, width // 8)
        self.iou_prediction_head = Perceptron((width, iou_hidden, iou_hidden, MASKS))
        self.semantic_prediction_head = Perceptron((width, iou_hidden, iou_hidden, SEMANTIC_WIDTH))

    def forward(
        self, image: Tensor, place: Tensor, sparse: Tensor, text: Tensor | None = None, has_text: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All candidates: logits (B, 4, 4h, 4w), predicted IoU (B, 4), semantic vectors (B, 4, 512).

        ``image`` (B, C, h, w) has the dense prompt added, ``place`` (1, C, h, w) are its positions, ``sparse``
        (B, n, C) the prompt tokens. The match of ``text`` (B, C) with each pixel is added to all candidates, times
        ``has_text`` (B,) where given.
        """
        b, c, h, w = image.shape
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight, self.semantic_tokens.weight])
        tokens = torch.cat([own.expand(b, -1, -1), sparse], 1)
        tokens, image = self.transformer(tokens, image.flatten(2).transpose(1, 2), place.flatten(2).transpose(1, 2))
        fine = self.output_upscaling(image.transpose(1, 2).reshape(b, c, h, w)).flatten(2)  # (B, C / 8, 16hw)
        weights = torch.stack(
            [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], 1
        )  # (B, 4, C / 8)
        if text is not None:
            term = self.text_output(text)  # the same for all candidates, so that it joins their weights
            weights = weights + (term if has_text is None else term * has_text[:, None])[:, None]
        logits = (weights @ fine).reshape(b, MASKS, 4 * h, 4 * w)
        semantic = self.semantic_prediction_head(tokens[:, 1 + MASKS : 1 + 2 * MASKS])
        return logits, self.iou_prediction_head(tokens[:, 0]), semantic
