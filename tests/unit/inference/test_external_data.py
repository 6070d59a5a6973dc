"""Weights outside an ONNX file are found without loading it, and only those that the card vouches for are used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from maskwright.core.errors import ModelError
from maskwright.core.model_card import FeatureSpec, ModelCard, card_to_json
from maskwright.inference import OnnxSegmenter
from maskwright.inference.external_data import external_files
from maskwright.inference.model_folder import checked_graph, read_card, sha256_of


def outside(location: str, name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def inside(name: str = "w") -> TensorProto:
    return numpy_helper.from_array(np.zeros(4, np.float32), name)


def saved(path: Path, *tensors: TensorProto, nodes: list[onnx.NodeProto] | None = None) -> Path:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph(nodes or [helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], list(tensors))
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


def test_initialisers_name_their_files(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", outside("b.bin"), outside("a.bin", "v"), outside("b.bin", "u"), inside("t"))
    assert external_files(path) == ("a.bin", "b.bin")
    assert external_files(saved(tmp_path / "n.onnx", inside())) == ()


def test_tensors_in_attributes_subgraphs_and_functions_count_too(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=outside("constant.bin"))
    branch = helper.make_graph([], "branch", [], [], [outside("branch.bin")])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch)
    path = saved(tmp_path / "m.onnx", nodes=[constant, node])
    assert external_files(path) == ("branch.bin", "constant.bin")
    model = helper.make_model(
        helper.make_graph([], "g", [], []),
        functions=[helper.make_function("d", "f", ["x"], ["w"], [constant], [helper.make_opsetid("", 17)])],
    )
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    assert external_files(tmp_path / "f.onnx") == ("constant.bin",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a model", b"\xff" * 20, b"\x3a\x7f"])
def test_what_is_no_protocol_buffer_is_no_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="it is not ONNX"):
        external_files(tmp_path / "m.onnx")


def test_a_cut_file_is_no_onnx_file(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", inside())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match="it is not ONNX"):
        external_files(path)


def folder_with(folder: Path, location: str, *, extra: dict[str, str] | None = None) -> ModelCard:
    """A model whose head takes its weights from ``location``; ``extra`` are further files of the card by role."""
    folder.mkdir()
    saved(folder / "head.onnx", outside(location))
    saved(folder / "encoder.onnx", inside())
    files = {"encoder": "encoder.onnx", "head": "head.onnx", **(extra or {})}
    hashes = {n: sha256_of(folder / n) if (folder / n).is_file() else "0" for n in files.values()}
    card = ModelCard(
        "m", "m", "f", "1", "", "", 1, 4, (1, 1), 1, (FeatureSpec("feat_0", (1,), "float32"),), files, hashes
    )
    (folder / "model.json").write_text(json.dumps(card_to_json(card)), "utf-8")
    return card


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "beside.bin", "sub/beside.bin"])
def test_weights_that_the_card_does_not_know_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder_with(folder, location)
    (folder / "beside.bin").write_bytes(bytes(16))
    with pytest.raises(ModelError, match=rf"takes weights from a file that is no part of it \({location}\)"):
        OnnxSegmenter(folder)


def test_weights_beside_the_model_are_used_where_their_hash_fits(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    card = folder_with(folder, "head.onnx.data", extra={"head_data": "head.onnx.data"})
    content = np.arange(4, dtype=np.float32).tobytes()
    (folder / "head.onnx.data").write_bytes(content)
    with pytest.raises(ModelError, match="the head_data of model m does not match its hash"):
        checked_graph(folder, read_card(folder), "head")
    good = replace(card, sha256={**card.sha256, "head.onnx.data": hashlib.sha256(content).hexdigest()})
    assert checked_graph(folder, good, "head") == folder / "head.onnx"
    (folder / "head.onnx.data").unlink()
    with pytest.raises(ModelError, match="the head_data of model m is missing"):
        checked_graph(folder, good, "head")
