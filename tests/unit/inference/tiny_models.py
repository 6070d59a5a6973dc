"""Small ONNX models that obey the contract, made in the test: an encoder that averages, a head that draws disks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maskwright.core.model_card import CONTRACT_VERSION, FeatureSpec, ModelCard, card_to_json
from maskwright.inference.model_folder import sha256_of

SIZE, STRIDE, RADIUS = 64, 4, 8.0
CELLS, TOKENS = SIZE // STRIDE, 4
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def save_graph(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> None:
    """Write an ONNX file; inputs and outputs are (name, type, shape)."""
    values = [[helper.make_tensor_value_info(*one) for one in some] for some in (inputs, outputs)]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", values[0], values[1], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def save_encoder(path: Path, *, size: int = SIZE) -> None:
    """``image`` -> ``feat_0`` (1, 3, 4, 4) float16, the mean of each sixteenth."""
    cell = size // TOKENS
    save_graph(
        path,
        [
            helper.make_node("AveragePool", ["image"], ["mean"], kernel_shape=[cell, cell], strides=[cell, cell]),
            helper.make_node("Cast", ["mean"], ["feat_0"], to=HALF),
        ],
        [("image", FLOAT, [1, 3, size, size])],
        [("feat_0", HALF, [1, 3, TOKENS, TOKENS])],
        {},
    )


def save_head(path: Path, *, state: bool = False) -> None:
    """Candidate 1 is the disks round all points, joined with the mask to go on with; candidate 0 is all the rest.

    The score of candidate 1 is 0.7, that of candidate 0 the mean of the features. ``state_out`` counts the calls.
    """
    node = helper.make_node
    centres = ((np.arange(CELLS, dtype=np.float32) + 0.5) * STRIDE - 0.5).reshape(1, 1, 1, CELLS)
    constants: dict[str, Any] = {
        "across": centres,
        "down": centres.transpose(0, 1, 3, 2),
        "zero": np.int64(0),
        "one": np.int64(1),
        "axes": np.array([2, 3], np.int64),
        "square": np.float32(RADIUS**2),
        "flat": np.array([1, 1, 1, 1], np.int64),
        "pair": np.array([1, 1], np.int64),
        "unit": np.float32(1),
        "far": np.float32(1e6),
        "good": np.array([[0.7]], np.float32),
    }
    nodes = [
        node("Gather", ["point_coords", "zero"], ["x"], axis=2),
        node("Gather", ["point_coords", "one"], ["y"], axis=2),
        node("Unsqueeze", ["x", "axes"], ["x4"]),
        node("Unsqueeze", ["y", "axes"], ["y4"]),
        node("Sub", ["across", "x4"], ["dx"]),
        node("Sub", ["down", "y4"], ["dy"]),
        node("Mul", ["dx", "dx"], ["dxx"]),
        node("Mul", ["dy", "dy"], ["dyy"]),
        node("Add", ["dxx", "dyy"], ["apart"]),
        node("ReduceMin", ["apart"], ["nearest"], axes=[1], keepdims=1),
        node("Sub", ["square", "nearest"], ["disks"]),
        node("Reshape", ["has_mask_input", "flat"], ["has"]),
        node("Sub", ["has", "unit"], ["lacks"]),
        node("Mul", ["lacks", "far"], ["nothing"]),
        node("Add", ["mask_input", "nothing"], ["before"]),
        node("Max", ["disks", "before"], ["joined"]),
        node("Neg", ["joined"], ["rest"]),
        node("Concat", ["rest", "joined"], ["logits"], axis=1),
        node("Cast", ["feat_0"], ["real"], to=FLOAT),
        node("ReduceMean", ["real"], ["level"], keepdims=0),
        node("Reshape", ["level", "pair"], ["level2"]),
        node("Concat", ["level2", "good"], ["scores"], axis=1),
    ]
    inputs = [
        ("feat_0", HALF, [1, 3, TOKENS, TOKENS]),
        ("point_coords", FLOAT, [1, "points", 2]),
        ("mask_input", FLOAT, [1, 1, CELLS, CELLS]),
        ("has_mask_input", FLOAT, [1]),
    ]
    outputs = [("logits", FLOAT, [1, 2, CELLS, CELLS]), ("scores", FLOAT, [1, 2])]
    if state:
        nodes += [
            node("Mul", ["state_in", "has_state"], ["known"]),
            node("Add", ["known", "unit"], ["state_out"]),
        ]
        inputs += [("state_in", FLOAT, [1, 1]), ("has_state", FLOAT, [1])]
        outputs += [("state_out", FLOAT, [1, 1])]
    save_graph(path, nodes, inputs, outputs, constants)


def make_model(folder: Path, *, state: bool = False, **changes: Any) -> Path:
    """A model folder; ``changes`` are other entries of its card."""
    folder.mkdir(parents=True, exist_ok=True)
    save_encoder(folder / "encoder.onnx")
    save_head(folder / "head.onnx", state=state)
    write_card(folder, **({"state_shape": (1, 1)} if state else {}), **changes)
    return folder


def write_card(folder: Path, **changes: Any) -> None:
    """Write the card for the files as they are now."""
    card = ModelCard(
        id="tiny",
        name="Tiny",
        family="tiny",
        version="1",
        licence="Apache-2.0",
        citation="",
        contract=CONTRACT_VERSION,
        input_size=SIZE,
        logits_shape=(CELLS, CELLS),
        candidates=2,
        features=(FeatureSpec("feat_0", (1, 3, TOKENS, TOKENS), "float16"),),
        files={"encoder": "encoder.onnx", "head": "head.onnx"},
        sha256={name: sha256_of(folder / name) for name in ("encoder.onnx", "head.onnx")},
    )
    (folder / "model.json").write_text(json.dumps(card_to_json(replace(card, **changes))), "utf-8")


def edit_card(folder: Path, **changes: Any) -> None:
    """Change entries of a written card, whatever they are."""
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
