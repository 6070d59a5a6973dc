"""Writes small models as ONNX pairs in the layouts of samexporter: names, padding and post-processing as there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.preprocess import MEAN_RGB, STD_RGB
from maskwright_models.export.onnx_files import trace
from maskwright_models.zoo.sam import Sam, SamConfig
from maskwright_models.zoo.sam2 import Sam2, Sam2Config, Sam2Encoder
from tests.models.sam_cases import SMALL

PROMPTS = ["point_coords", "point_labels", "mask_input", "has_mask_input"]
DYNAMIC = {"point_coords": {1: "num_points"}, "point_labels": {1: "num_points"}}


class Encoder(nn.Module):
    """``input_image`` (H, W, 3) in 0..255, or (1, 3, S, S) normalised -> ``image_embeddings``."""

    def __init__(self, model: Sam, *, preprocess: bool) -> None:
        super().__init__()
        self.encoder = model.image_encoder
        self.size = model.config.encoder.size
        self.preprocess = preprocess

    def forward(self, image: Tensor) -> Tensor:
        if self.preprocess:
            mean, std = (torch.tensor(v) * 255 for v in (MEAN_RGB, STD_RGB))
            image = ((image - mean) / std).permute(2, 0, 1)
            image = F.pad(image, (0, self.size - image.shape[2], 0, self.size - image.shape[1]))[None]
        return self.encoder(image)


class Decoder(nn.Module):
    """Prompt embedding and decoder without a padding point of its own; ``orig_im_size`` where the layout has it."""

    def __init__(self, model: Sam | Sam2) -> None:
        super().__init__()
        self.sam2 = isinstance(model, Sam2)
        self.prompts = model.sam_prompt_encoder if isinstance(model, Sam2) else model.prompt_encoder
        self.decoder = model.sam_mask_decoder if isinstance(model, Sam2) else model.mask_decoder

    def points(self, coords: Tensor, labels: Tensor) -> Tensor:
        if self.sam2:  # this layout pads by itself
            coords = torch.cat([coords, torch.zeros(1, 1, 2)], 1)
            labels = torch.cat([labels, -torch.ones(1, 1)], 1)
        place = self.prompts.pe_layer((coords + 0.5) / self.prompts.size) * (labels != -1)[..., None]
        place = place + self.prompts.not_a_point_embed.weight * (labels == -1)[..., None]
        for i, kind in enumerate(self.prompts.point_embeddings):
            assert isinstance(kind, nn.Embedding)
            place = place + kind.weight * (labels == i)[..., None]
        return place

    def decode(self, maps: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        coords, labels, mask, has_mask = inputs
        image = maps[0] + self.prompts.dense(mask, has_mask)
        return self.decoder(image, self.prompts.positions(), self.points(coords, labels), maps[1:])


class SamDecoder(Decoder):
    def forward(self, image_embeddings: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, scores = self.decode((image_embeddings,), inputs[:4])
        size: Any = tuple(inputs[4].to(torch.int64))
        return F.interpolate(logits, size=size, mode="bilinear"), scores, logits


class Sam2Decoder(Decoder):
    def forward(self, image: Tensor, fine: Tensor, middle: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        logits, scores = self.decode((image, fine, middle), inputs)
        return logits[:, 1:].clamp(-32, 32), scores[:, 1:]


class Sam2Outputs(nn.Module):
    def __init__(self, model: Sam2) -> None:
        super().__init__()
        self.encoder = Sam2Encoder(model)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse, fine, middle = self.encoder(image)
        return fine, middle, coarse


def write_sam_pair(folder: Path, *, preprocess: bool) -> tuple[Path, Path]:
    """Encoder and decoder of a small SAM of fresh weights."""
    config = SMALL["sam"]
    assert isinstance(config, SamConfig)
    torch.manual_seed(3)
    model = Sam(config).eval()
    size, grid = config.encoder.size, config.encoder.grid
    paths = folder / "small.encoder.onnx", folder / "small.decoder.onnx"
    image = torch.rand(size, size, 3) * 255 if preprocess else torch.randn(1, 3, size, size)
    axes = {"input_image": {0: "image_height", 1: "image_width"}} if preprocess else {}
    trace(Encoder(model, preprocess=preprocess), (image,), paths[0], ["input_image"], ["image_embeddings"], axes)
    inputs = (torch.randn(1, config.encoder.out, grid, grid), *prompts(size), torch.tensor([300.0, 400.0]))
    names = ["image_embeddings", *PROMPTS, "orig_im_size"]
    trace(SamDecoder(model), inputs, paths[1], names, ["masks", "iou_predictions", "low_res_masks"], DYNAMIC)
    return paths


def write_sam2_pair(folder: Path) -> tuple[Path, Path]:
    """Encoder and decoder of a small SAM 2 of fresh weights."""
    config = SMALL["sam2"]
    assert isinstance(config, Sam2Config)
    torch.manual_seed(3)
    model = Sam2(config).eval()
    size, grid, out = config.encoder.size, config.encoder.grid, config.encoder.out
    paths = folder / "small2.encoder.onnx", folder / "small2.decoder.onnx"
    outputs = ["high_res_feats_0", "high_res_feats_1", "image_embed"]
    trace(Sam2Outputs(model), (torch.randn(1, 3, size, size),), paths[0], ["image"], outputs, {})
    shapes = ((1, out, grid, grid), (1, out // 8, 4 * grid, 4 * grid), (1, out // 4, 2 * grid, 2 * grid))
    inputs = (*(torch.randn(s) for s in shapes), *prompts(size))
    names = ["image_embed", "high_res_feats_0", "high_res_feats_1", *PROMPTS]
    trace(Sam2Decoder(model), inputs, paths[1], names, ["masks", "iou_predictions"], DYNAMIC)
    return paths


def prompts(size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    labels = torch.tensor(np.array([[0, 1, 2, 3, -1]], np.float32))
    return torch.rand(1, 5, 2) * size, labels, torch.randn(1, 1, size // 4, size // 4), torch.ones(1)
