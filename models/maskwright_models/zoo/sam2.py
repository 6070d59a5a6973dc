"""SAM 2.1 on single images: Hiera encoder, prompt encoder and mask decoder. The memory for video is not built.

Source: Ravi et al., "SAM 2: Segment Anything in Images and Videos", 2024. State dicts have the official names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from maskwright.core.preprocess import STRETCH
from maskwright_models.registry import Family, FeatureShape, Parts, register_family
from maskwright_models.zoo.hiera import FeaturePyramid, Hiera, HieraConfig
from maskwright_models.zoo.sam import NOT_OFFERED
from maskwright_models.zoo.sam_decoder import MaskDecoder
from maskwright_models.zoo.sam_prompts import PromptEncoder

VIDEO_ONLY = (
    "memory_attention.",
    "memory_encoder.",
    "mask_downsample.",
    "maskmem_tpos_enc",
    "no_mem_pos_enc",
    "no_obj_ptr",
    "no_obj_embed_spatial",
    "obj_ptr_proj.",
    "obj_ptr_tpos_proj.",
)
"""Beginnings of the names of what the official checkpoint has for video alone."""

STABILITY_DELTA = 0.05
STABILITY_LEAST = 0.98
"""The official image predictor leaves the single mask for the best alternative where it is less stable than this."""


@dataclass(frozen=True, slots=True)
class Sam2Config:
    """One variant."""

    encoder: HieraConfig = field(default_factory=HieraConfig)
    heads: int = 8
    hidden: int = 2048


SAM2 = {
    "hiera_tiny": Sam2Config(),
    "hiera_small": Sam2Config(HieraConfig(stages=(1, 2, 11, 2), global_blocks=(7, 10, 13))),
    "hiera_base_plus": Sam2Config(
        HieraConfig(width=112, heads=2, stages=(2, 3, 16, 3), global_blocks=(12, 16, 20), positions=14)
    ),
    "hiera_large": Sam2Config(
        HieraConfig(width=144, heads=2, stages=(2, 6, 36, 4), global_blocks=(23, 33, 43), windows=(8, 4, 16, 8))
    ),
}


class ImageEncoder(nn.Module):
    """Trunk and pyramid under their official names."""

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.trunk = Hiera(config)
        self.neck = FeaturePyramid(config)


class Sam2(nn.Module):
    """What a single image needs, under the official names."""

    def __init__(self, config: Sam2Config) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = config
        self.image_encoder = ImageEncoder(encoder)
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, encoder.out))
        self.sam_prompt_encoder = PromptEncoder(encoder.out, size=encoder.size, grid=encoder.grid, pad_with_box=True)
        self.sam_mask_decoder = MaskDecoder(encoder.out, heads=config.heads, hidden=config.hidden, sam2=True)


class Sam2Encoder(nn.Module):
    """``image`` -> ``feat_0`` at stride 16, ``feat_1`` at stride 4, ``feat_2`` at stride 8."""

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.encoder = model.image_encoder
        self.no_mem_embed = model.no_mem_embed
        self.conv_s0 = model.sam_mask_decoder.conv_s0
        self.conv_s1 = model.sam_mask_decoder.conv_s1
        with torch.no_grad():
            # once, so that the export holds a constant and not a bicubic resize in every run
            self.register_buffer("positions", model.image_encoder.trunk.positions(), persistent=False)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine, middle, coarse = self.encoder.neck(self.encoder.trunk(image, self.positions))
        return coarse + self.no_mem_embed.reshape(1, -1, 1, 1), self.conv_s0(fine), self.conv_s1(middle)


class Sam2Head(nn.Module):
    """Inputs of the model contract -> ``logits``, ``scores``."""

    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.prompts = model.sam_prompt_encoder
        self.decoder = model.sam_mask_decoder

    def forward(
        self,
        feat_0: Tensor,
        feat_1: Tensor,
        feat_2: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        sparse = self.prompts.sparse(point_coords, point_labels)
        image = feat_0 + self.prompts.dense(mask_input, has_mask_input)
        logits, scores = self.decoder(image, self.prompts.positions(), sparse, (feat_1, feat_2))
        prompts = (point_labels >= 0).to(scores.dtype).sum(1) + has_mask_input  # (1,); a box counts twice
        single = ((prompts > 1.5) & (stability(logits[:, 0]) >= STABILITY_LEAST)).to(scores.dtype)[:, None]
        return logits, scores + NOT_OFFERED * torch.cat([1 - single, single, single, single], 1)


def stability(logits: Tensor) -> Tensor:
    """Overlap of the mask at a threshold a little higher and a little lower, (B, h, w) -> (B,); 1 where it is empty."""
    inner = (logits > STABILITY_DELTA).to(logits.dtype).sum((1, 2))
    outer = (logits > -STABILITY_DELTA).to(logits.dtype).sum((1, 2))
    return torch.where(outer > 0, inner / outer.clamp_min(1), torch.ones_like(outer))


def sam2_parts(model: nn.Module) -> Parts:
    """A SAM 2.1 model as the contract cuts it."""
    assert isinstance(model, Sam2)
    e = model.config.encoder
    return Parts(
        encoder=Sam2Encoder(model),
        head=Sam2Head(model),
        input_size=e.size,
        logits_shape=(4 * e.grid, 4 * e.grid),
        candidates=4,
        features=(
            FeatureShape((1, e.out, e.grid, e.grid)),
            FeatureShape((1, e.out // 8, 4 * e.grid, 4 * e.grid)),
            FeatureShape((1, e.out // 4, 2 * e.grid, 2 * e.grid)),
        ),
        preprocessing=STRETCH,
    )


def variant_of(state: Mapping[str, Tensor]) -> str | None:
    """Which variant of SAM 2.1 a state dict has the width and depth of; SAM 2.0 is another model."""
    place = state.get("image_encoder.trunk.pos_embed")
    if place is None or place.ndim != 4 or "sam_mask_decoder.pred_obj_score_head.layers.0.weight" not in state:
        return None
    if "memory_attention.norm.weight" in state and "no_obj_embed_spatial" not in state:
        return None
    blocks = {key.split(".")[3] for key in state if key.startswith("image_encoder.trunk.blocks.")}
    for name, config in SAM2.items():
        e = config.encoder
        if (e.width, e.positions, sum(e.stages)) == (place.shape[1], place.shape[2], len(blocks)):
            return name
    return None


def for_images(state: Mapping[str, Tensor], variant: str) -> dict[str, Tensor]:
    """The state dict without what is for video alone."""
    del variant
    return {name: tensor for name, tensor in state.items() if not name.startswith(VIDEO_ONLY)}


@register_family("sam2")
def sam2() -> Family:
    """SAM 2.1, Hiera tiny to large, on single images."""
    return Family(
        title="SAM 2.1",
        licence="Apache-2.0",
        citation="Ravi N., Gabeur V., Hu Y.-T., et al. SAM 2: Segment Anything in Images and Videos. ICLR 2025. "
        "https://arxiv.org/abs/2408.00714",
        variants=tuple(SAM2),
        detect=variant_of,
        build=lambda variant: Sam2(SAM2[variant]),
        parts=sam2_parts,
        adapt=for_images,
        notice="Single images; the memory for video is not used.",
    )
