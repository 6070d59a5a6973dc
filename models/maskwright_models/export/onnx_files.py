"""Writes a trained model as the app wants it: encoder.onnx, head.onnx and model.json in one folder.

Weights keep their torch names in the ONNX files, so that the torch side can read an installed model back
(:mod:`maskwright_models.export.read_back`). ONNX Runtime folds and fuses when it opens them.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.model_card import CONTRACT_VERSION, FeatureSpec, ModelCard, card_to_json
from maskwright.inference.model_folder import sha256_of
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, TEXT_WIDTH, TOKENS, Encoder, Head, HeadConfig

OPSET = 17


def example_prompts(points: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Prompt inputs with ``points`` points, to trace and to compare with."""
    generator = torch.Generator().manual_seed(points)
    coords = torch.rand(1, points, 2, generator=generator) * INPUT_SIZE
    labels = (torch.arange(points) % 2 == 0).float()[None]
    return coords, labels, torch.randn(1, 1, LOGITS, LOGITS, generator=generator), torch.ones(1)


def export_encoder(encoder: nn.Module, path: Path, *, outputs: int, size: int = INPUT_SIZE) -> None:
    """Trace ``image`` (1, 3, size, size) -> ``feat_0 … feat_k``."""
    names = [f"feat_{i}" for i in range(outputs)]
    trace(encoder, (torch.randn(1, 3, size, size),), path, ["image"], names, {})


def example_text() -> tuple[Tensor, Tensor]:
    """Text inputs of the default head."""
    vector = torch.randn(1, TEXT_WIDTH, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.normalize(vector, dim=-1), torch.ones(1)


def export_head(head: nn.Module, features: tuple[Tensor, ...], path: Path) -> None:
    """Trace the head with a dynamic number of points; ``features`` are examples of what the encoder gives."""
    names = [f"feat_{i}" for i in range(len(features))]
    names += ["point_coords", "point_labels", "mask_input", "has_mask_input", "text_embedding", "has_text"]
    dynamic = {"point_coords": {1: "points"}, "point_labels": {1: "points"}}
    trace(head, (*features, *example_prompts(), *example_text()), path, names, ["logits", "scores"], dynamic)


def export_text(tower: nn.Module, path: Path) -> None:
    """Trace ``input_ids`` (1, T) int64 -> ``text_embedding`` with a dynamic number of tokens."""
    names, outputs = ["input_ids"], ["text_embedding"]
    trace(tower, (torch.arange(1, 6)[None],), path, names, outputs, {"input_ids": {1: "tokens"}})


def trace(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    names: list[str],
    outputs: list[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> None:
    """Write ``module`` as ONNX; ``dynamic`` names the axes of an input that may have any length."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that are constant by design
        torch.onnx.export(
            module.eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes={k: dict(v) for k, v in dynamic.items()},
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,  # with eval(): batch norms stay, and so do all names
            do_constant_folding=False,
            dynamo=False,
        )


class _HalfFeatures(nn.Module):
    """Encoder whose outputs are float16, as they are stored."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(f.half() for f in self.encoder(image))


class _HeadOfHalf(nn.Module):
    """Head that takes float16 features; all inside is float32."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, feat_0: Tensor, feat_1: Tensor, *prompts: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(feat_0.float(), feat_1.float(), *prompts)


def export_default(
    encoder: Encoder,
    head: Head,
    folder: Path,
    *,
    about: Mapping[str, Any],
    text: Mapping[str, Any],
    precision: str = "fp16",
) -> ModelCard:
    """Export the default family into ``folder`` and write its card.

    ``about`` gives the card's words (id, name, version, licence, citation, notice …), ``text`` is what
    :func:`maskwright_models.export.text_files.export_text_files` said of the tower that it wrote into the same folder.
    Weights are stored in ``precision``, see :mod:`maskwright_models.export.quantize`.
    """
    from maskwright_models.export.quantize import store

    folder.mkdir(parents=True, exist_ok=True)
    config: HeadConfig = head.config
    shapes = ((1, config.stored, TOKENS, TOKENS), (1, config.fine, INPUT_SIZE // 4, INPUT_SIZE // 4))
    export_encoder(_HalfFeatures(encoder), folder / "encoder.onnx", outputs=2)
    examples = tuple(torch.randn(s).half() for s in shapes)
    export_head(_HeadOfHalf(head), examples, folder / "head.onnx")
    files = {"encoder": "encoder.onnx", "head": "head.onnx"}
    for role, name in files.items():
        store(folder / name, precision=precision, quantised=role == "encoder")
    hashes = {name: sha256_of(folder / name) for name in files.values()}
    joined = {
        "files": {**files, **text["files"]},
        "sha256": {**hashes, **text["sha256"]},
        "notice": " ".join(n for n in (about.get("notice"), text["notice"]) if n),
        "extra": {"sizes": sizes_of(encoder, head), **text.get("extra", {}), **about.get("extra", {})},
    }
    card = ModelCard(
        family="dinov2_imsa",
        contract=CONTRACT_VERSION,
        input_size=INPUT_SIZE,
        logits_shape=(LOGITS, LOGITS),
        candidates=config.candidates,
        features=tuple(FeatureSpec(f"feat_{i}", s, "float16") for i, s in enumerate(shapes)),
        prompts=("point", "box", "scribble", "text"),
        first_passes=2,
        kept_elsewhere=0.5,
        **{**text, **about, **joined},
    )
    (folder / "model.json").write_text(json.dumps(card_to_json(card), indent=2) + "\n", "utf-8")
    return card


def sizes_of(encoder: Encoder, head: Head) -> dict[str, Any]:
    """Sizes of trunk, neck and head in plain values, from which they can be built again."""
    vit = encoder.trunk.vit
    trunk = {**asdict(vit.config), "layers": list(vit.layers)}
    return {**asdict(head.config), "ratios": list(head.config.ratios), "trunk": trunk}
