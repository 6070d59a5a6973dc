"""Weights of an exported ONNX file as float32, float16 or int8, and in as few files as a protocol buffer allows.

float16 halves the file and keeps the arithmetic of float32. int8 quantises the matrix products of the encoder (weights
ahead of time, activations as they come) and keeps the head as in float16: there is nothing to gain in it, and its
logits are what a user sees.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.inference.external_data import external_files
from maskwright_models.export.weights import store_weights_as_half

if TYPE_CHECKING:
    from onnx import ModelProto

PRECISIONS = ("fp32", "fp16", "int8")
LARGEST_FILE = 2_000_000_000
"""Bytes; a protocol buffer holds 2 GiB at most, what is larger puts its weights into a file beside it."""
QUANTISED = ("MatMul", "Gemm")


def store(path: Path, *, precision: str, quantised: bool) -> dict[str, str]:
    """Rewrite the ONNX file ``path`` in place in one of :data:`PRECISIONS`; role and name of each file beside it.

    ``quantised`` says whether int8 means int8 for this file; otherwise it is stored as float16.
    """
    import onnx

    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}")
    strays = [path.parent / name for name in external_files(path)]
    if precision == "int8" and quantised:
        _quantise(path)
    elif precision != "fp32":
        store_weights_as_half(path)
    elif sum(p.stat().st_size for p in strays) + path.stat().st_size > LARGEST_FILE:
        data = path.name + ".data"
        model = onnx.load(str(path))
        _remove(strays)
        onnx.save_model(model, str(path), save_as_external_data=True, location=data, size_threshold=1024)
        return {f"{path.stem}_data": data}
    elif strays:
        onnx.save(onnx.load(str(path)), str(path))
    _remove(strays)
    return {}


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink()


def _quantise(path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    model = onnx.load(str(path))
    transpose_weights(model)
    add_pre_process_metadata(model)  # it is prepared: no advice on the log
    # unsigned weights: the signed kernels of processors without VNNI add pairs in 16 bits and saturate
    quantize_dynamic(
        model, str(path), op_types_to_quantize=list(QUANTISED), weight_type=QuantType.QUInt8, per_channel=True
    )


def transpose_weights(model: ModelProto) -> None:
    """Transpose weights once in the file instead of by a node: only then are they known to be constant."""
    from onnx import numpy_helper

    tensors = {t.name: t for t in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "Transpose" or node.input[0] not in tensors:
            kept.append(node)
            continue
        axes = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        array = numpy_helper.to_array(tensors[node.input[0]]).transpose(axes)
        model.graph.initializer.append(numpy_helper.from_array(array, node.output[0]))
    used = {name for node in kept for name in node.input}
    left = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(left)
    del model.graph.node[:]
    model.graph.node.extend(kept)
