"""Segment Anything and what was made of it with the same decoder: SAM, MobileSAM, MedSAM, SAM-Med2D.

Sources: Kirillov et al., ICCV 2023; Zhang et al. (MobileSAM), 2023; Ma et al. (MedSAM), Nature Communications 2024;
Cheng et al. (SAM-Med2D), 2023. State dicts have the official names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from maskwright.core.preprocess import LETTERBOX, STRETCH, STRETCH_NEAREST
from maskwright_models.registry import Family, FeatureShape, Parts, register_family
from maskwright_models.zoo.sam_decoder import MaskDecoder
from maskwright_models.zoo.sam_prompts import PromptEncoder
from maskwright_models.zoo.sam_vit import SamViT, SamViTConfig
from maskwright_models.zoo.tiny_vit import TinyViT, TinyViTConfig

NOT_OFFERED = -10.0
"""Added to the score of a candidate that the official predictor would not show for these prompts."""

SAM_CITATION = "Kirillov A., Mintun E., Ravi N., et al. Segment Anything. ICCV 2023. https://arxiv.org/abs/2304.02643"


@dataclass(frozen=True, slots=True)
class SamConfig:
    """One variant.

    ``masks`` is how the official predictor chooses: ``ambiguous`` three alternatives for a lone prompt and the single
    mask for more, ``alternatives`` always the three, ``single`` always the one.
    """

    encoder: SamViTConfig | TinyViTConfig
    masks: str = "ambiguous"
    fit: str = LETTERBOX
    normalise: bool = True
    prompts: tuple[str, ...] = ("point", "box", "scribble")
    heads: int = 8
    hidden: int = 2048


VIT_B = SamViTConfig()
VIT_L = SamViTConfig(width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23))
VIT_H = SamViTConfig(width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31))

SAM = {"vit_b": SamConfig(VIT_B), "vit_l": SamConfig(VIT_L), "vit_h": SamConfig(VIT_H)}
MOBILE_SAM = {"vit_t": SamConfig(TinyViTConfig())}
MEDSAM = {"vit_b": SamConfig(VIT_B, masks="single", fit=STRETCH, normalise=False, prompts=("box",))}
_MED2D = SamConfig(replace(VIT_B, size=256, adapters=True), masks="alternatives", fit=STRETCH_NEAREST)
SAM_MED2D = {"vit_b": _MED2D, "vit_b_without_adapters": replace(_MED2D, encoder=replace(VIT_B, size=256))}


class Sam(nn.Module):
    """The three parts under their official names."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = config
        self.image_encoder = TinyViT(encoder) if isinstance(encoder, TinyViTConfig) else SamViT(encoder)
        self.prompt_encoder = PromptEncoder(encoder.out, size=encoder.size, grid=encoder.grid)
        self.mask_decoder = MaskDecoder(encoder.out, heads=config.heads, hidden=config.hidden)


class SamEncoder(nn.Module):
    """``image`` -> ``(feat_0,)``."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.encoder(image),)


class SamHead(nn.Module):
    """Inputs of the model contract -> ``logits``, ``scores``: prompt embedding, decoder, choice of candidates."""

    def __init__(self, prompts: PromptEncoder, decoder: MaskDecoder, masks: str) -> None:
        super().__init__()
        self.prompts = prompts
        self.decoder = decoder
        self.masks = masks

    def forward(
        self, feat_0: Tensor, point_coords: Tensor, point_labels: Tensor, mask_input: Tensor, has_mask_input: Tensor
    ) -> tuple[Tensor, Tensor]:
        sparse = self.prompts.sparse(point_coords, point_labels)
        image = feat_0 + self.prompts.dense(mask_input, has_mask_input)
        logits, scores = self.decoder(image, self.prompts.positions(), sparse)
        return choose(logits, scores, point_labels, has_mask_input, masks=self.masks)


def choose(logits: Tensor, scores: Tensor, labels: Tensor, has_mask: Tensor, *, masks: str) -> tuple[Tensor, Tensor]:
    """Candidates of the four masks as the official predictor offers them, so that the best score is its answer."""
    if masks == "single":
        return logits[:, :1], scores[:, :1]
    if masks == "alternatives":
        return logits[:, 1:], scores[:, 1:]
    prompts = (labels >= 0).to(scores.dtype).sum(1) + has_mask  # (1,); a box counts twice
    many = (prompts > 1.5).to(scores.dtype)[:, None]
    return logits, scores + NOT_OFFERED * torch.cat([1 - many, many, many, many], 1)


def sam_parts(model: nn.Module) -> Parts:
    """A SAM-like model as the contract cuts it."""
    assert isinstance(model, Sam)
    config = model.config
    encoder = config.encoder
    parts = Parts(
        encoder=SamEncoder(model.image_encoder),
        head=SamHead(model.prompt_encoder, model.mask_decoder, config.masks),
        input_size=encoder.size,
        logits_shape=(4 * encoder.grid, 4 * encoder.grid),
        candidates={"single": 1, "alternatives": 3, "ambiguous": 4}[config.masks],
        features=(FeatureShape((1, encoder.out, encoder.grid, encoder.grid)),),
        prompts=config.prompts,
        preprocessing=config.fit,
    )
    return parts if config.normalise else replace(parts, mean_rgb=(0.0, 0.0, 0.0), std_rgb=(1.0, 1.0, 1.0))


def vit_variant(state: Mapping[str, Tensor], variants: Mapping[str, SamConfig]) -> str | None:
    """Which of the variants a state dict has the width, depth, input size and adapters of."""
    place = state.get("image_encoder.pos_embed")
    if place is None or place.ndim != 4 or "mask_decoder.iou_token.weight" not in state:
        return None
    blocks = {key.split(".")[2] for key in state if key.startswith("image_encoder.blocks.")}
    adapters = any(".Adapter." in key for key in state)
    for name, config in variants.items():
        e = config.encoder
        if isinstance(e, SamViTConfig) and (e.width, e.grid, e.depth, e.adapters) == (
            place.shape[3],
            place.shape[1],
            len(blocks),
            adapters,
        ):
            return name
    return None


def tiny_variant(state: Mapping[str, Tensor], variants: Mapping[str, SamConfig]) -> str | None:
    """Which of the variants a state dict with a TinyViT encoder has the widths of."""
    stem = state.get("image_encoder.patch_embed.seq.2.c.weight")
    last = state.get("image_encoder.neck.0.weight")
    if stem is None or last is None or "mask_decoder.iou_token.weight" not in state:
        return None
    for name, config in variants.items():
        e = config.encoder
        if isinstance(e, TinyViTConfig) and (e.widths[0], e.widths[3], e.out) == (
            stem.shape[0],
            last.shape[1],
            last.shape[0],
        ):
            return name
    return None


@register_family("sam")
def sam() -> Family:
    """Segment Anything, ViT-B, ViT-L and ViT-H."""
    return Family(
        title="Segment Anything (SAM)",
        licence="Apache-2.0",
        citation=SAM_CITATION,
        variants=tuple(SAM),
        detect=lambda state: vit_variant(state, SAM),
        build=lambda variant: Sam(SAM[variant]),
        parts=sam_parts,
    )


@register_family("mobile_sam")
def mobile_sam() -> Family:
    """MobileSAM: the SAM decoder on a distilled TinyViT."""
    return Family(
        title="MobileSAM",
        licence="Apache-2.0",
        citation="Zhang C., Han D., Qiao Y., et al. Faster Segment Anything: Towards Lightweight SAM for Mobile "
        "Applications. 2023. https://arxiv.org/abs/2306.14289",
        variants=tuple(MOBILE_SAM),
        detect=lambda state: tiny_variant(state, MOBILE_SAM),
        build=lambda variant: Sam(MOBILE_SAM[variant]),
        parts=sam_parts,
    )


@register_family("medsam")
def medsam() -> Family:
    """MedSAM: SAM ViT-B fine-tuned on medical images with boxes. Its checkpoint looks like SAM's."""
    return Family(
        title="MedSAM",
        licence="Apache-2.0",
        citation="Ma J., He Y., Li F., et al. Segment anything in medical images. Nature Communications 15, 654, 2024. "
        "https://doi.org/10.1038/s41467-024-44824-z",
        variants=tuple(MEDSAM),
        detect=lambda state: vit_variant(state, MEDSAM),
        build=lambda variant: Sam(MEDSAM[variant]),
        parts=sam_parts,
        after="sam",
        notice="Trained with boxes only. For research use, not for diagnosis.",
    )


@register_family("sam_med2d")
def sam_med2d() -> Family:
    """SAM-Med2D: SAM ViT-B at 256 pixels with adapters, fine-tuned on medical images."""
    return Family(
        title="SAM-Med2D",
        licence="Apache-2.0",
        citation="Cheng J., Ye J., Deng Z., et al. SAM-Med2D. 2023. https://arxiv.org/abs/2308.16184",
        variants=tuple(SAM_MED2D),
        detect=lambda state: vit_variant(state, SAM_MED2D),
        build=lambda variant: Sam(SAM_MED2D[variant]),
        parts=sam_parts,
        notice="For research use, not for diagnosis.",
    )
