"""IMIS-Net's prompt encoder: SAM's, at the width of the image features, with a token for text."""

from __future__ import annotations

import torch
from torch import Tensor

from maskwright_models.zoo.sam_prompts import PromptEncoder


class ImisPromptEncoder(PromptEncoder):
    """Prompts -> sparse tokens and a dense map, both as wide as the features."""

    def point_tokens(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Points (B, N, 2) in input pixels and labels (B, N) by SAM's codes -> tokens (B, N, C).

        Codes: -1 pad (its place does not count), 0 background, 1 foreground, 2 and 3 first and second box corner.
        """
        kinds = torch.cat([self.not_a_point_embed.weight, *(e.weight for e in self.point_embeddings)])  # (5, C)
        place = self.pe_layer((coords + 0.5) / self.size)
        return place * (labels >= 0).to(place.dtype)[..., None] + kinds[(labels + 1).long()]

    def tokens(
        self,
        *,
        coords: Tensor | None = None,
        labels: Tensor | None = None,
        box: Tensor | None = None,
        text: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, n, C) of points, one box (B, 4) as x0, y0, x1, y1, and text (B, C), in this order.

        Points without a box are followed by one pad, as in training. Raises ValueError where there is no prompt.
        """
        parts = []
        if coords is not None and labels is not None:
            if box is None:
                coords, labels = padded(coords, labels)
            parts.append(self.point_tokens(coords, labels))
        if box is not None:
            corners = torch.tensor([[2, 3]], device=box.device).expand(len(box), -1)
            parts.append(self.point_tokens(box.reshape(-1, 2, 2), corners))
        if text is not None:
            parts.append(text[:, None])
        if not parts:
            raise ValueError("neither points nor a box nor text")
        return torch.cat(parts, 1)

    def contract_tokens(
        self, coords: Tensor, labels: Tensor, text: Tensor | None = None, has_text: Tensor | None = None
    ) -> Tensor:
        """Tokens (1, n, C) of the contract's prompts: points and corners (1, N, 2), text (1, C).

        Text counts where ``has_text`` (1,) is 1. Labels of -1 are dropped. What is not given leaves no token behind,
        for tokens see each other.
        """
        given = labels[0] >= 0  # (N,)
        pad = given.any(0, keepdim=True) & (labels[0] < 2).all(0, keepdim=True)
        tokens, keep = self.point_tokens(*padded(coords, labels)), torch.cat([given, pad])
        if text is not None and has_text is not None:
            tokens, keep = torch.cat([tokens, text[:, None]], 1), torch.cat([keep, has_text > 0])
        return tokens.index_select(1, torch.nonzero(keep)[:, 0])


def padded(coords: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Points and labels with one pad behind them."""
    return (
        torch.cat([coords, torch.zeros_like(coords[:, :1])], 1),
        torch.cat([labels, -torch.ones_like(labels[:, :1])], 1),
    )
