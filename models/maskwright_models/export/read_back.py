"""Reads the torch weights of the default family back out of an installed model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from maskwright.core.errors import ModelError
from maskwright.core.model_card import ModelCard
from maskwright.inference.model_folder import checked_graph, read_card
from maskwright_models.export.weights import HALF
from maskwright_models.zoo.dinov2_imsa import Encoder, Head, HeadConfig, Neck, Trunk

_M = TypeVar("_M", bound=nn.Module)


def read_encoder(folder: Path) -> Encoder:
    """Encoder with the very weights of ``encoder.onnx`` in ``folder``.

    Raises ModelError for a model of another family, or where a weight is missing.
    """
    card = _card(folder)
    config = HeadConfig(coarse=card.features[0].shape[1], fine=card.features[1].shape[1])
    return _load(Encoder(Trunk(), Neck(config)), folder, card, role="encoder")


def read_head(folder: Path) -> Head:
    """Head with the very weights of ``head.onnx`` in ``folder``. Raises ModelError as :func:`read_encoder`."""
    card = _card(folder)
    config = HeadConfig(coarse=card.features[0].shape[1], fine=card.features[1].shape[1], candidates=card.candidates)
    return _load(Head(config), folder, card, role="head")


def _card(folder: Path) -> ModelCard:
    card = read_card(folder)
    if card.family != "dinov2_imsa":
        raise ModelError(
            f"a model of family {card.family} cannot be read back into torch",
            path=folder,
            hint="Use its original checkpoint, or for features: maskwright precompute",
        )
    return card


def _load(module: _M, folder: Path, card: ModelCard, *, role: str) -> _M:
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(checked_graph(folder, card, role))).graph
    tensors = {
        t.name.removesuffix(HALF).removeprefix(role + "."): torch.tensor(numpy_helper.to_array(t)).float()
        for t in graph.initializer
    }
    own = module.state_dict()
    wanted = {k for k in own if not k.endswith("num_batches_tracked")}
    missing = sorted(wanted - tensors.keys())
    if missing:
        raise ModelError(
            f"the {role} lacks {len(missing)} weights, first {missing[0]}", path=folder, hint="Export the model again."
        )
    module.load_state_dict(own | {k: tensors[k] for k in wanted})
    return module.eval().requires_grad_(requires_grad=False)
