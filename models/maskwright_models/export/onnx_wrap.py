"""Puts nodes round a SAM encoder or decoder in ONNX so that it obeys the model contract.

The graph inside stays as it is. Only operators and attributes that all opsets from 11 on have in common are
used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from maskwright.core.preprocess import MEAN_RGB, STD_RGB

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto

INNER = "inner/"
"""Before the names of the imported graph, so that they do not meet those of the contract."""
NOT_OFFERED = -10.0
"""As in the torch family: added to the score of a mask that the official predictor would not show."""


def inputs_of(model: ModelProto) -> list[str]:
    """Names of the inputs that are not weights."""
    weights = {t.name for t in model.graph.initializer}
    return [i.name for i in model.graph.input if i.name not in weights]


def wrap_encoder(model: ModelProto, outputs: Sequence[str], *, size: int) -> ModelProto:
    """``image`` (1, 3, size, size), normalised -> ``feat_0 …`` float16, from an encoder of one input.

    An encoder that takes (H, W, 3) in 0..255 and normalises by itself gets the image back in that form.
    """
    from onnx import TensorProto

    (name,) = inputs_of(model)
    rank = next(len(i.type.tensor_type.shape.dim) for i in model.graph.input if i.name == name)
    inner = _Wrapped(model, [name], list(outputs))
    if rank == 3:
        scale = np.array(STD_RGB, np.float32).reshape(1, 3, 1, 1) * 255
        shift = np.array(MEAN_RGB, np.float32).reshape(1, 3, 1, 1) * 255
        value = inner.add("Add", inner.add("Mul", "image", inner.constant(scale)), inner.constant(shift))
        value = inner.add("Reshape", value, inner.constant(np.array([3, size, size], np.int64)))
        inner.add("Transpose", value, to=INNER + name, perm=[1, 2, 0])
    else:
        inner.add("Identity", "image", to=INNER + name)
    for i, output in enumerate(outputs):
        inner.add("Cast", INNER + output, to=f"feat_{i}", last=True, dtype=TensorProto.FLOAT16)
    values = [
        inner.value(f"feat_{i}", TensorProto.FLOAT16, [1, f"channels_{i}", f"rows_{i}", f"columns_{i}"])
        for i in range(len(outputs))
    ]
    return inner.finished([inner.value("image", TensorProto.FLOAT, [1, 3, size, size])], values)


def wrap_decoder(
    model: ModelProto,
    features: Sequence[str],
    *,
    logits: str,
    scores: str,
    shapes: Sequence[Sequence[int]],
    pads: bool,
    chooses: bool,
) -> ModelProto:
    """Head of the contract round a decoder that takes ``features`` (of ``shapes``) and the four prompt inputs.

    ``pads`` adds the padding point that the caller of an official SAM decoder has to add where there is no box, and
    drops those of the caller. ``chooses`` is for a decoder that gives all four masks: the single one is offered for
    more than one prompt, the alternatives for a lone one.
    """
    from onnx import TensorProto

    prompts = ["point_coords", "point_labels", "mask_input", "has_mask_input"]
    inner = _Wrapped(model, [*features, *prompts], [logits, scores])
    for i, name in enumerate(features):
        inner.add("Cast", f"feat_{i}", to=INNER + name, dtype=TensorProto.FLOAT)
    for name in prompts[0 if not pads else 2 :]:
        inner.add("Identity", name, to=INNER + name)
    if pads:
        _pad(inner)
    inner.add("Identity", INNER + logits, to="logits", last=True)
    if chooses:
        _offer(inner, scores)
    else:
        inner.add("Identity", INNER + scores, to="scores", last=True)
    side = 4 * int(shapes[0][-1])
    inputs = [inner.value(f"feat_{i}", TensorProto.FLOAT16, shape) for i, shape in enumerate(shapes)]
    inputs += [
        inner.value("point_coords", TensorProto.FLOAT, [1, "points", 2]),
        inner.value("point_labels", TensorProto.FLOAT, [1, "points"]),
        inner.value("mask_input", TensorProto.FLOAT, [1, 1, side, side]),
        inner.value("has_mask_input", TensorProto.FLOAT, [1]),
    ]
    outputs = [
        inner.value("logits", TensorProto.FLOAT, [1, "candidates", side, side]),
        inner.value("scores", TensorProto.FLOAT, [1, "candidates"]),
    ]
    return inner.finished(inputs, outputs)


def _pad(inner: _Wrapped) -> None:
    labels = inner.add("Reshape", "point_labels", inner.constant(np.array([-1], np.int64)))  # (N,)
    given = inner.add("Not", inner.add("Less", labels, inner.constant(np.float32(0))))
    most = inner.add("ReduceMax", labels, keepdims=1)  # (1,)
    no_box = inner.add("Less", most, inner.constant(np.float32(2)))
    kept = inner.add("NonZero", inner.add("Concat", given, no_box, axis=0))
    kept = inner.add("Reshape", kept, inner.constant(np.array([-1], np.int64)))
    for name, pad in (("point_coords", np.zeros((1, 1, 2))), ("point_labels", -np.ones((1, 1)))):
        padded = inner.add("Concat", name, inner.constant(pad.astype(np.float32)), axis=1)
        inner.add("Gather", padded, kept, to=INNER + name, axis=1)


def _offer(inner: _Wrapped, scores: str) -> None:
    """Scores of the single mask and the three alternatives, so that the best is the official predictor's choice."""
    from onnx import TensorProto

    given = inner.add("Not", inner.add("Less", "point_labels", inner.constant(np.float32(0))))
    count = inner.add("ReduceSum", inner.add("Cast", given, dtype=TensorProto.FLOAT), keepdims=0)
    count = inner.add("Add", count, inner.add("Reshape", "has_mask_input", inner.constant(np.array([1], np.int64))))
    many = inner.add("Cast", inner.add("Less", inner.constant(np.float32(1.5)), count), dtype=TensorProto.FLOAT)
    lone = inner.add("Sub", inner.constant(np.float32(1)), many)
    single = inner.constant(np.array([[1, 0, 0, 0]], np.float32) * NOT_OFFERED)
    others = inner.constant(np.array([[0, 1, 1, 1]], np.float32) * NOT_OFFERED)
    change = inner.add("Add", inner.add("Mul", single, lone), inner.add("Mul", others, many))
    inner.add("Add", INNER + scores, change, to="scores", last=True)


class _Wrapped:
    """A graph being put together round another one."""

    def __init__(self, model: ModelProto, inputs: list[str], outputs: list[str]) -> None:
        from onnx import compose, utils

        part = utils.Extractor(model).extract_model(inputs, outputs)
        self.model = compose.add_prefix(part, INNER)
        self.before: list[NodeProto] = []
        self.after: list[NodeProto] = []
        self.count = 0

    def add(self, kind: str, *inputs: str, to: str = "", last: bool = False, **attributes: Any) -> str:
        """Add a node; name of its output. ``dtype`` is the attribute ``to`` of a Cast."""
        from onnx import helper

        if "dtype" in attributes:
            attributes["to"] = attributes.pop("dtype")
        self.count += 1
        name = to or f"outer/{self.count}"
        node = helper.make_node(kind, list(inputs), [name], name=f"outer/{kind}_{self.count}", **attributes)
        late = last or any(i.startswith(INNER) or any(i in n.output for n in self.after) for i in inputs)
        (self.after if late else self.before).append(node)
        return name

    def constant(self, value: Any) -> str:
        """Add a weight; its name."""
        from onnx import numpy_helper

        self.count += 1
        name = f"outer/{self.count}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        """Add a one-dimensional int64 weight; its name."""
        return self.constant(np.array(values, np.int64))

    def value(self, name: str, dtype: int, shape: Sequence[int | str]) -> ValueInfoProto:
        """Description of an input or output."""
        from onnx import helper

        return helper.make_tensor_value_info(name, dtype, shape)

    def finished(self, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
        """The whole model."""
        graph = self.model.graph
        nodes = [*self.before, *graph.node, *self.after]
        for field, values in ((graph.input, inputs), (graph.output, outputs)):
            del field[:]
            field.extend(values)
        del graph.node[:]
        graph.node.extend(nodes)
        return self.model
