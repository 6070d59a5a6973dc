"""Smaller ONNX files: float16 weights on disk that are cast to float32 when the session opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

HALF = "_half"
"""Suffix of a weight that is stored as float16."""
SMALLEST = 256
"""Tensors with fewer values stay float32: they cost nothing, and scales and biases keep their precision."""


def store_weights_as_half(path: Path) -> None:
    """Rewrite the float32 weights of an ONNX file as float16 plus a Cast.

    ONNX Runtime folds the Cast once at session creation, so that speed and arithmetic stay those of float32.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(path))
    graph, casts, kept = model.graph, [], []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < SMALLEST:
            kept.append(tensor)
            continue
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + HALF)
        kept.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    for field, values in ((graph.initializer, kept), (graph.node, nodes)):
        del field[:]
        field.extend(values)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
