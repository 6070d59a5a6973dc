"""Reads the torch weights of the default family back out of an installed model folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from maskwright.core.errors import ModelError
from maskwright.core.model_card import ModelCard
from maskwright.inference.model_folder import checked_graph, read_card
from maskwright_models.export.weights import HALF
from maskwright_models.nn.vit import ViT, ViTConfig
from maskwright_models.zoo.dinov2_imsa import Encoder, Head, HeadConfig, Neck, Trunk
from maskwright_models.zoo.efficient_stem import EfficientStem

_M = TypeVar("_M", bound=nn.Module)


TRAINED_WITH = ("rough.weight", "rough.bias")
"""Weights of the head that only the losses look at: no answer depends on them, so no file has them."""


def read_encoder(folder: Path) -> Encoder:
    """Encoder with the very weights of ``encoder.onnx`` in ``folder``.

    Raises ModelError for a model of another family or of an earlier release, or where a weight is missing.
    """
    card, config, vit = _card(folder)
    return _load(Encoder(Trunk(vit), EfficientStem(), Neck(config)), folder, card, role="encoder")


def read_head(folder: Path) -> Head:
    """Head with the very weights of ``head.onnx`` in ``folder``. Raises ModelError as :func:`read_encoder`.

    What only training looks at is as in a new head.
    """
    card, config, _ = _card(folder)
    return _load(Head(config), folder, card, role="head", absent=TRAINED_WITH)


def trained_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the trained parts, ``neck.*`` and ``head.*``, whatever their sizes. Raises ModelError."""
    card = _own_family(folder)
    encoder, head = _tensors(folder, card, "encoder"), _tensors(folder, card, "head")
    neck = {name: value for name, value in encoder.items() if name.startswith("neck.")}
    return neck | {f"head.{name}": value for name, value in head.items()}


def _own_family(folder: Path) -> ModelCard:
    card = read_card(folder)
    if card.family != "dinov2_imsa":
        raise ModelError(
            f"a model of family {card.family} cannot be read back into torch",
            path=folder,
            hint="Use its original checkpoint, or for features: maskwright precompute",
        )
    return card


def _card(folder: Path) -> tuple[ModelCard, HeadConfig, ViT]:
    """The card, the sizes it names, and a trunk of these sizes."""
    card = _own_family(folder)
    sizes = dict(card.extra.get("sizes", {}))
    try:
        trunk = dict(sizes.pop("trunk"))
        layers = trunk.pop("layers")
        config = HeadConfig(**{**sizes, "ratios": tuple(sizes["ratios"])})
        return card, config, ViT(ViTConfig(**trunk), layers=layers)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"model {card.id} was exported by an earlier release and cannot be read back into torch",
            path=folder,
            hint="Export it again from its checkpoint, or for features: maskwright precompute",
        ) from error


def _load(module: _M, folder: Path, card: ModelCard, *, role: str, absent: Sequence[str] = ()) -> _M:
    tensors, own = _tensors(folder, card, role), module.state_dict()
    wanted = {k for k in own if not k.endswith("num_batches_tracked") and k not in absent}
    missing = sorted(wanted - tensors.keys())
    if missing:
        raise ModelError(
            f"the {role} lacks {len(missing)} weights, first {missing[0]}", path=folder, hint="Export the model again."
        )
    module.load_state_dict(own | {k: tensors[k] for k in wanted})
    return module.eval().requires_grad_(requires_grad=False)


def _tensors(folder: Path, card: ModelCard, role: str) -> dict[str, torch.Tensor]:
    """All weights in the graph of ``role`` by the names that they have in torch, float32."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(checked_graph(folder, card, role))).graph
    return {
        t.name.removesuffix(HALF).removeprefix(role + "."): torch.tensor(numpy_helper.to_array(t)).float()
        for t in graph.initializer
    }
