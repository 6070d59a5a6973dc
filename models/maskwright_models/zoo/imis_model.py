"""IMIS-Net as a whole: its sizes, its parts under their published names, and its click part in the one contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.nn.clip_text import ClipText, ClipTextConfig
from maskwright_models.zoo.imis_decoder import ImisMaskDecoder
from maskwright_models.zoo.imis_encoder import ImageEncoder
from maskwright_models.zoo.imis_files import ImisFiles
from maskwright_models.zoo.imis_prompts import ImisPromptEncoder
from maskwright_models.zoo.sam_vit import SamViTConfig


@dataclass(frozen=True, slots=True)
class ImisConfig:
    """Sizes of one variant; the defaults are the published model at 1024 px."""

    vit: SamViTConfig = field(default_factory=SamViTConfig)
    text: ClipTextConfig = field(default_factory=ClipTextConfig)
    hidden: int = 2048
    heads: int = 8
    iou_hidden: int = 256


_MINI = ImisConfig(
    vit=SamViTConfig(width=48, depth=4, heads=3, global_blocks=(1, 3), size=256, out=16),
    text=ClipTextConfig(width=32, depth=2, heads=4, hidden=64),
    hidden=64,
    iou_hidden=32,
)
VARIANTS: Mapping[str, ImisConfig] = {
    "mini": _MINI,
    "mini_128": replace(_MINI, vit=replace(_MINI.vit, size=128)),
    "vit_b": ImisConfig(),
    "vit_b_512": ImisConfig(vit=SamViTConfig(size=512)),
    "vit_b_256": ImisConfig(vit=SamViTConfig(size=256)),
}
"""``vit_b`` is the published model. ``vit_b_512`` and ``vit_b_256`` run the same weights on smaller input; the
published training code tunes at 256 px. ``mini`` and ``mini_128`` are for tests."""


class ImisNet(nn.Module):
    """The whole model. Parameters have the published names. ``files`` is what it has beside them."""

    def __init__(self, config: ImisConfig) -> None:
        super().__init__()
        self.config = config
        self.files = ImisFiles()
        vit = config.vit
        self.image_encoder = ImageEncoder(vit)
        self.prompt_encoder = ImisPromptEncoder(vit.width, size=vit.size, grid=vit.grid)
        self.mask_decoder = ImisMaskDecoder(
            vit.width, hidden=config.hidden, heads=config.heads, iou_hidden=config.iou_hidden
        )
        self.text_model = ClipText(config.text)
        self.text_out_dim = nn.Linear(config.text.width, vit.width)

    def encode_text(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) int64 -> (B, C), as wide as the features."""
        return self.text_out_dim(self.text_model(ids))

    def forward(
        self,
        features: Tensor,
        *,
        coords: Tensor | None = None,
        labels: Tensor | None = None,
        box: Tensor | None = None,
        mask: Tensor | None = None,
        text: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All four candidates for prompts on ``image_encoder``'s features (1 or B, C, S / 16, S / 16).

        ``coords`` (B, N, 2) and ``box`` (B, 4) in input pixels, ``labels`` (B, N), ``mask`` logits
        (B, 1, S / 4, S / 4), ``text`` (B, C) of :meth:`encode_text` -> logits (B, 4, S / 4, S / 4), predicted IoU
        (B, 4), semantic vectors (B, 4, 512). :func:`chosen` picks among them as published.
        """
        encoder = self.prompt_encoder
        sparse = encoder.tokens(coords=coords, labels=labels, box=box, text=text)
        dense = encoder.no_mask_embed.weight[..., None, None] if mask is None else encoder.mask_downscaling(mask)
        image = (features + dense).expand(len(sparse), -1, -1, -1)
        return self.mask_decoder(image, encoder.positions(), sparse, text)


def chosen(iou: Tensor) -> Tensor:
    """Index 1..3 of the candidate with the highest predicted IoU, (B, 4) -> (B,)."""
    return iou[:, 1:].argmax(1) + 1


class Encoder(nn.Module):
    """``image`` -> ``(feat_0,)``."""

    def __init__(self, model: ImisNet) -> None:
        super().__init__()
        self.encoder = model.image_encoder

    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (self.encoder(image),)


class Head(nn.Module):
    """The click part in the one contract of the app: the published candidates 1..3.

    ``text_embedding`` (1, C) is :meth:`ImisNet.encode_text`'s; both text inputs are absent where ``takes_text`` is
    False. With ``categories`` (512, n), one unit vector a category, the last output is the number of the most likely
    one of each candidate, (1, 3) int64.
    """

    categories: Tensor | None

    def __init__(self, model: ImisNet, *, takes_text: bool, categories: Tensor | None = None) -> None:
        super().__init__()
        self.prompts = model.prompt_encoder
        self.decoder = model.mask_decoder
        self.takes_text = takes_text
        self.register_buffer("categories", categories, persistent=False)

    def forward(
        self,
        feat_0: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        text_embedding: Tensor | None = None,
        has_text: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        if not self.takes_text:
            text_embedding = has_text = None
        sparse = self.prompts.contract_tokens(point_coords, point_labels, text_embedding, has_text)
        image = feat_0 + self.prompts.dense(mask_input, has_mask_input)
        logits, scores, semantic = self.decoder(image, self.prompts.positions(), sparse, text_embedding, has_text)
        outputs = (logits[:, 1:], scores[:, 1:])
        if self.categories is None:
            return outputs
        return (*outputs, (semantic[:, 1:] @ self.categories).argmax(-1))


class TextTower(nn.Module):
    """``input_ids`` (1, T) int64 -> ``text_embedding`` (1, C), ready for the head."""

    def __init__(self, model: ImisNet) -> None:
        super().__init__()
        self.model = model.text_model
        self.project = model.text_out_dim

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.project(self.model(input_ids))


def detect(state: Mapping[str, Tensor]) -> str | None:
    """Variant whose width and depth a state dict has; None where it is another family's."""
    if "mask_decoder.semantic_tokens.weight" not in state or "text_out_dim.weight" not in state:
        return None
    width = state["text_out_dim.weight"].shape[0]
    depth = len({name.split(".")[3] for name in state if name.startswith("image_encoder.sam_encoder.blocks.")})
    for name, config in VARIANTS.items():
        if (config.vit.width, config.vit.depth) == (width, depth):
            return name  # the weights do not tell at which input size they were tuned: the published one comes first
    return None


def adapt(state: Mapping[str, Tensor], variant: str) -> Mapping[str, Tensor]:
    """State dict for ``variant``: position tables at its size, without the index buffer of older text towers."""
    vit = VARIANTS[variant].vit
    trunk = "image_encoder.sam_encoder"
    tables = {f"{trunk}.blocks.{i}.attn.rel_pos_{axis}" for i in vit.global_blocks for axis in "hw"}
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.endswith("embeddings.position_ids"):
            continue
        if name == f"{trunk}.pos_embed":
            value = resized_positions(value, vit.grid)
        elif name in tables:
            value = resized_distances(value, vit.grid)
        out[name] = value
    return out


def resized_positions(table: Tensor, grid: int) -> Tensor:
    """Absolute positions (1, g, g, C) for another grid: bicubic with antialias, as timm does it."""
    if table.ndim != 4 or table.shape[1] == grid:
        return table
    size = (grid, grid)
    x = F.interpolate(table.permute(0, 3, 1, 2).float(), size=size, mode="bicubic", antialias=True)
    return x.permute(0, 2, 3, 1).to(table.dtype)


def resized_distances(table: Tensor, grid: int) -> Tensor:
    """Relative positions (2g - 1, C) for another grid: linear, as SAM does it."""
    length = 2 * grid - 1
    if table.ndim != 2 or len(table) == length:
        return table
    return F.interpolate(table.T[None].float(), size=length, mode="linear")[0].T.to(table.dtype)
