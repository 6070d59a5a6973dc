"""InterFormer-Light and -Tiny: the network under its official names, and its two parts in the one model contract.

Source: Huang et al., "InterFormer: Real-time Interactive Image Segmentation", ICCV 2023, and its MIT-licensed code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from maskwright_models.registry import Family, FeatureShape, Parts, register_family
from maskwright_models.zoo.interformer_backbone import Backbone
from maskwright_models.zoo.interformer_config import STRIDES, VARIANTS, InterFormerConfig, variant_of
from maskwright_models.zoo.interformer_decoder import UPerHead
from maskwright_models.zoo.interformer_map import (
    UNKNOWN,
    resized_logits,
    state_shares,
    with_box,
    with_clicks,
    with_prediction,
)
from maskwright_models.zoo.interformer_neck import Neck, Roi

NOT_LOADED = ("auxiliary_head.",)
NOT_STORED = (".relative_position_index", ".num_batches_tracked")
"""Parts of an official checkpoint that inference does not need, or that follow from the sizes."""


class InterFormer(nn.Module):
    """Encoder, I-MSA decoder and mask decoder; state dict as in the official checkpoints less what is not loaded."""

    def __init__(self, config: InterFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.neck = Neck(config)
        self.decode_head = UPerHead(config)

    def logits(self, features: Sequence[Tensor], states: Tensor, roi: Roi | None = None) -> Tensor:
        """Maps of the backbone and a label map (B, 1, H, W) -> logits (B, 2, H / 4, W / 4), background and object."""
        return self.decode_head(self.neck(features, state_shares(states), roi))


class Head(nn.Module):
    """What answers a click, with the inputs and outputs of the model contract.

    The state is the label map (1, 1, H, W) float32 after the answer was folded in. Without a state the map starts
    unknown, and a mask to start from is folded in as a prediction is; with a state ``mask_input`` says nothing new.
    """

    def __init__(self, model: InterFormer) -> None:
        super().__init__()
        self.neck = model.neck
        self.decode_head = model.decode_head
        self.radius = model.config.radius

    def forward(
        self,
        feat_0: Tensor,
        feat_1: Tensor,
        feat_2: Tensor,
        feat_3: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        state_in: Tensor,
        has_state: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        masked = torch.where(resized_logits(mask_input) > 0, UNKNOWN + 1, UNKNOWN - 1)  # as with_prediction has it
        states = torch.where(_given(has_mask_input), masked, UNKNOWN)
        states = torch.where(_given(has_state), state_in, states)
        states = with_box(states, point_coords, point_labels, fresh=1 - has_state)
        states = with_clicks(states, point_coords, point_labels, radius=self.radius)
        both = self.decode_head(self.neck((feat_0, feat_1, feat_2, feat_3), state_shares(states)))
        logits = both[:, 1:] - both[:, :1]
        return logits, expected_iou(logits), with_prediction(states, resized_logits(logits) > 0)


def _given(flag: Tensor) -> Tensor:
    return (flag > 0.5)[:, None, None, None]


def expected_iou(logits: Tensor) -> Tensor:
    """IoU that the probabilities themselves promise for the mask they give, (B, K, h, w) -> (B, K).

    The model has no score of its own, so that this one is not calibrated.
    """
    chance = torch.sigmoid(logits)
    mask = (logits > 0).to(chance.dtype)
    overlap, missed = (chance * mask).sum((-2, -1)), (chance * (1 - mask)).sum((-2, -1))
    return overlap / (mask.sum((-2, -1)) + missed + 1e-6)


def build(variant: str) -> InterFormer:
    """Model with fresh weights. Raises ValueError for a variant that is none of ``VARIANTS``."""
    if variant not in VARIANTS:
        raise ValueError(f"InterFormer comes as {', '.join(VARIANTS)}, not as {variant!r}")
    return InterFormer(VARIANTS[variant])


def adapt(state: Mapping[str, Tensor], variant: str) -> dict[str, Tensor]:
    """Tensors of an official state dict that :class:`InterFormer` takes strictly."""
    return {k: v for k, v in state.items() if not k.startswith(NOT_LOADED) and not k.endswith(NOT_STORED)}


def parts(model: nn.Module) -> Parts:
    """Encoder and head of an :class:`InterFormer` at its training size."""
    if not isinstance(model, InterFormer):
        raise ValueError(f"not an InterFormer: {type(model).__name__}")
    config = model.config
    sides = [config.size // s for s in STRIDES]
    return Parts(
        encoder=model.backbone,
        head=Head(model),
        input_size=config.size,
        logits_shape=(sides[0], sides[0]),
        candidates=1,
        features=tuple(FeatureShape((1, d, n, n)) for d, n in zip(config.dims, sides, strict=True)),
        state_shape=(1, 1, config.size, config.size),
        extra={
            "click_radius_px": config.radius,
            "zoom_in": "not in the exported head, as in the published evaluation",
            "scores": "expected IoU from the model's own probabilities, not calibrated",
            "box": "taken as a mask to start from; the published model knows clicks only",
        },
    )


@register_family("interformer")
def interformer() -> Family:
    """Entry of the family table."""
    return Family(
        title="InterFormer",
        licence="MIT",
        citation=(
            "Huang, Yang, Sun, Zhang, Cao, Jiang, Ji: InterFormer: Real-time Interactive Image Segmentation, ICCV 2023"
        ),
        variants=tuple(VARIANTS),
        detect=variant_of,
        build=build,
        parts=parts,
        adapt=adapt,
    )
