"""IMIS-Net's prompt encoder: SAM's, at the width of the image features, with a token for text."""

from __future__ import annotations

import torch
from torch import Tensor

from maskwright_models.zoo.sam_prompts import PromptEncoder


class ImisPromptEncoder(PromptEncoder):
    """Prompts -> sparse tokens and a dense map, both as wide as the features."""

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
