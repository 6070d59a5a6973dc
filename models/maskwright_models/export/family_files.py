"""Writes a model of any family as the app wants it: encoder.onnx, head.onnx and model.json in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.model_card import CONTRACT_VERSION, FeatureSpec, ModelCard
from maskwright.inference.model_folder import sha256_of
from maskwright_models.export.install import write_card
from maskwright_models.export.onnx_files import export_text, trace
from maskwright_models.export.quantize import store
from maskwright_models.registry import FeatureShape, Parts


class _StoredEncoder(nn.Module):
    """Encoder whose outputs have the dtypes they are stored in."""

    def __init__(self, encoder: nn.Module, features: tuple[FeatureShape, ...]) -> None:
        super().__init__()
        self.encoder = encoder
        self.dtypes = tuple(getattr(torch, f.dtype) for f in features)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(f.to(d) for f, d in zip(self.encoder(image), self.dtypes, strict=True))


class _StoredHead(nn.Module):
    """Head that takes features as they are stored; all inside is float32."""

    def __init__(self, head: nn.Module, count: int) -> None:
        super().__init__()
        self.head = head
        self.count = count

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.head(*(f.float() for f in inputs[: self.count]), *inputs[self.count :])


def head_inputs(parts: Parts, points: int = 3) -> dict[str, Tensor]:
    """Example inputs of the head by name, in the order of the contract, to trace and to compare with."""
    rng = torch.Generator().manual_seed(points)
    inputs = {
        f"feat_{i}": torch.randn(f.shape, generator=rng).to(getattr(torch, f.dtype))
        for i, f in enumerate(parts.features)
    }
    inputs["point_coords"] = torch.rand(1, points, 2, generator=rng) * parts.input_size
    inputs["point_labels"] = (torch.arange(points) % 2 == 0).float()[None]
    inputs["mask_input"] = torch.randn(1, 1, *parts.logits_shape, generator=rng)
    inputs["has_mask_input"] = torch.ones(1)
    for shape, value, flag in (
        (parts.state_shape, "state_in", "has_state"),
        (parts.text_shape, "text_embedding", "has_text"),
    ):
        if shape is not None:
            inputs |= {value: torch.zeros(shape), flag: torch.ones(1)}
    return inputs


def export_parts(parts: Parts, folder: Path, *, about: Mapping[str, Any], precision: str = "fp32") -> ModelCard:
    """Write encoder, head and card into ``folder``, weights as ``fp32``, ``fp16`` or ``int8``.

    ``about`` gives the card's words: id, name, family, version, licence, citation, notice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {"encoder": "encoder.onnx", "head": "head.onnx"}
    size, count = parts.input_size, len(parts.features)
    names = [f"feat_{i}" for i in range(count)]
    encoder = _StoredEncoder(parts.encoder, parts.features)
    trace(encoder, (torch.randn(1, 3, size, size),), folder / files["encoder"], ["image"], names, {})
    inputs = head_inputs(parts)
    outputs = ["logits", "scores"]
    outputs += ["state_out"] if parts.state_shape is not None else []
    outputs += ["category"] if parts.categories else []
    dynamic = {"point_coords": {1: "points"}, "point_labels": {1: "points"}}
    head = _StoredHead(parts.head, count)
    trace(head, tuple(inputs.values()), folder / files["head"], list(inputs), outputs, dynamic)
    if parts.text_tower is not None:
        files["text"] = "text.onnx"
        export_text(parts.text_tower, folder / files["text"])
    if parts.more_files is not None:
        files |= parts.more_files(folder)
    for role in [role for role, name in files.items() if name.endswith(".onnx")]:
        files |= store(folder / files[role], precision=precision, quantised=role != "head")
    card = ModelCard(
        contract=CONTRACT_VERSION,
        input_size=size,
        logits_shape=parts.logits_shape,
        candidates=parts.candidates,
        features=tuple(FeatureSpec(n, f.shape, f.dtype) for n, f in zip(names, parts.features, strict=True)),
        files=files,
        sha256={name: sha256_of(folder / name) for name in files.values()},
        prompts=parts.prompts,
        state_shape=parts.state_shape,
        text_shape=parts.text_shape,
        mean_rgb=parts.mean_rgb,
        std_rgb=parts.std_rgb,
        preprocessing=parts.preprocessing,
        labels=parts.labels,
        categories=parts.categories,
        extra=parts.extra,
        **about,
    )
    write_card(card, folder)
    return card
