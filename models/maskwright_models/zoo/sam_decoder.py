"""The SAM mask decoder: a two-way transformer between tokens and image, masks by hyper-networks, predicted IoU.

Sources: Kirillov et al., "Segment Anything", ICCV 2023; Ravi et al., "SAM 2", 2024. Attribute names are those of the
official checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskwright_models.nn.sam_layers import LayerNorm2d, Perceptron, TwoLinear, attend


class Attention(nn.Module):
    """Attention between two sets of tokens, inside ``width / down`` channels: (B, N, C), (B, M, C) -> (B, N, C)."""

    def __init__(self, width: int, heads: int, *, down: int = 1) -> None:
        super().__init__()
        inner = width // down
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        parts = (self.q_proj(q), self.k_proj(k), self.v_proj(v))
        q, k, v = (x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in parts)
        return self.out_proj(attend(q, k, v).transpose(1, 2).flatten(2))


class TwoWayBlock(nn.Module):
    """Tokens look at each other and at the image, then the image looks at the tokens."""

    def __init__(self, width: int, heads: int, hidden: int, *, first: bool, sam2: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, down=2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Perceptron((width, hidden, width)) if sam2 else TwoLinear(width, hidden, nn.ReLU())
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, down=2)

    def forward(self, tokens: Tensor, image: Tensor, token_place: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (1, N, C), image (1, HW, C) and the places of both -> the same two, moved on."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_place
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_place, image + place, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(image + place, tokens + token_place, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Prompt tokens (1, N, C) and image tokens (1, HW, C) attend to each other."""

    def __init__(self, width: int, heads: int, hidden: int, *, depth: int = 2, sam2: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(width, heads, hidden, first=i == 0, sam2=sam2) for i in range(depth))
        self.final_attn_token_to_image = Attention(width, heads, down=2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, image: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """``place`` (1, HW, C) is added to the image where it is looked at; tokens carry their own."""
        given = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, given, place)
        tokens = tokens + self.final_attn_token_to_image(tokens + given, image + place, image)
        return self.norm_final_attn(tokens), image


class MaskDecoder(nn.Module):
    """Features and prompt tokens -> one single and three alternative masks, each with a predicted IoU.

    With ``sam2`` the finer features of its encoder join on the way up and an object score is carried (not used here).
    """

    def __init__(
        self, width: int = 256, *, heads: int = 8, hidden: int = 2048, iou_hidden: int = 256, sam2: bool = False
    ) -> None:
        super().__init__()
        self.sam2 = sam2
        self.transformer = TwoWayTransformer(width, heads, hidden, sam2=sam2)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(4, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Perceptron((width, width, width, width // 8)) for _ in range(4))
        self.iou_prediction_head = Perceptron((width, iou_hidden, iou_hidden, 4), sigmoid=sam2)
        if sam2:
            self.obj_score_token = nn.Embedding(1, width)
            self.pred_obj_score_head = Perceptron((width, width, width, 1))
            self.conv_s0 = nn.Conv2d(width, width // 8, 1)
            self.conv_s1 = nn.Conv2d(width, width // 4, 1)

    def forward(
        self, image: Tensor, place: Tensor, sparse: Tensor, finer: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, Tensor]:
        """Decode all four masks.

        ``image`` (1, C, h, w) has the dense prompt added, ``place`` (1, C, h, w) are its positions, ``sparse``
        (1, M, C) the prompt tokens, ``finer`` for SAM 2 the maps at stride 4 and 8. Gives logits (1, 4, 4h, 4w) and
        predicted IoU (1, 4); number 0 is the mask for prompts that are not ambiguous.
        """
        c, h, w = image.shape[1:]
        own = [self.iou_token.weight, self.mask_tokens.weight]
        if self.sam2:
            own.insert(0, self.obj_score_token.weight)
        tokens = torch.cat([torch.cat(own)[None], sparse], 1)
        tokens, image = self.transformer(tokens, image.flatten(2).transpose(1, 2), place.flatten(2).transpose(1, 2))
        first = 1 if self.sam2 else 0
        image = self._upscale(image.transpose(1, 2).reshape(1, c, h, w), finer)  # (1, C / 8, 4h, 4w)
        weights = torch.stack(
            [mlp(tokens[:, first + 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], 1
        )  # (1, 4, C / 8)
        logits = (weights @ image.flatten(2)).reshape(1, 4, 4 * h, 4 * w)
        return logits, self.iou_prediction_head(tokens[:, first])

    def _upscale(self, image: Tensor, finer: tuple[Tensor, ...]) -> Tensor:
        if not self.sam2:
            return self.output_upscaling(image)
        up1, norm, act1, up2, act2 = self.output_upscaling
        return act2(up2(act1(norm(up1(image) + finer[1]))) + finer[0])
