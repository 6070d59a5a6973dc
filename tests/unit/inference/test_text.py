"""A text prompt becomes what the head takes, and a category it names comes back, with a tiny model made here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.core.errors import ModelError
from maskwright.core.features import Features
from maskwright.core.model_card import FeatureSpec, ModelCard, card_from_json, card_to_json
from maskwright.core.prompts import Point, Prompts, Text
from maskwright.inference import OnnxSegmenter
from maskwright.inference.model_folder import sha256_of
from maskwright.inference.ort import run_session
from maskwright.inference.text import KEPT, TextTower

onnx = pytest.importorskip("onnx")

WORDS = ("[UNK]", "the", "left", "kidney", ".", "liver")
FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def save(path: Path, nodes: list, inputs: list, outputs: list) -> None:
    def values(specs):
        return [onnx.helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in specs]

    graph = onnx.helper.make_graph(nodes, "tiny", values(inputs), values(outputs))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose text vector is the sum of the token ids, whose logits are features + text - 10."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    node = onnx.helper.make_node
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    one = onnx.helper.make_tensor("one", INT, [1], [1])
    save(
        tmp_path / "text.onnx",
        [
            node("Constant", [], ["one"], value=one),
            node("Cast", ["input_ids"], ["real"], to=FLOAT),
            node("ReduceSum", ["real", "one"], ["text_embedding"], keepdims=1),
        ],
        [("input_ids", INT, [1, "tokens"])],
        [("text_embedding", FLOAT, [1, 1])],
    )
    ten = onnx.helper.make_tensor("ten", FLOAT, [], [10.0])
    scores = onnx.helper.make_tensor("both", FLOAT, [1, 2], [0.25, 0.75])
    category = onnx.helper.make_tensor("number", INT, [1, 2], [0, 1])
    save(
        tmp_path / "head.onnx",
        [
            node("Constant", [], ["ten"], value=ten),
            node("Constant", [], ["scores"], value=scores),
            node("Constant", [], ["category"], value=category),
            node("Mul", ["text_embedding", "has_text"], ["text"]),
            node("Sub", ["text", "ten"], ["term"]),
            node("Add", ["feat_0", "term"], ["logits"]),
        ],
        [("feat_0", FLOAT, [1, 2, 4, 4]), ("text_embedding", FLOAT, [1, 1]), ("has_text", FLOAT, [1])],
        [("logits", FLOAT, [1, 2, 4, 4]), ("scores", FLOAT, [1, 2]), ("category", INT, [1, 2])],
    )
    (tmp_path / "encoder.onnx").write_bytes(b"never opened")
    write_card(tmp_path)
    return tmp_path


def write_card(folder: Path, **other: Any) -> ModelCard:
    files = {role: f"{role}.onnx" for role in ("encoder", "head", "text")} | {"tokenizer": "tokenizer.json"}
    card = ModelCard(
        id="tiny",
        name="Tiny",
        family="tiny",
        version="1",
        licence="Apache-2.0",
        citation="",
        contract=1,
        input_size=16,
        logits_shape=(4, 4),
        candidates=2,
        features=(FeatureSpec("feat_0", (1, 2, 4, 4), "float32"),),
        files=files,
        sha256={f: sha256_of(folder / f) for f in files.values()},
        prompts=("point", "text"),
        text_shape=(1, 1),
        labels=("Left kidney", "Liver"),
        categories=("organ", "kidney"),
        extra={"text": {"template": "The {}.", "names": {"kidney_left": "Left kidney"}}},
    )
    card = replace(card, **other)
    (folder / "model.json").write_text(json.dumps(card_to_json(card)), "utf-8")
    return card


FEATURES = Features((np.zeros((1, 2, 4, 4), np.float32),), (16, 16))


def test_the_card_keeps_labels_and_categories(folder: Path) -> None:
    card = write_card(folder)
    assert card_from_json(json.loads((folder / "model.json").read_text("utf-8"))) == card


def test_a_key_a_name_and_free_text_become_the_same_sentence(folder: Path) -> None:
    tower = TextTower(folder, write_card(folder))
    for text in ("kidney_left", " kidney_left ", "Left kidney", "LEFT-kidney", " left   kidney"):
        assert tower.sentence(text) == "The left kidney."
    assert tower.sentence("{}") == "The {}."
    # "The" has no lower case of its own in this vocabulary
    assert tower.tokens("Left kidney").tolist() == [[0, 2, 3, 4]]
    assert tower.read("kidney_left").tolist() == [[9.0]]
    assert tower.tokens("spleen").tolist() == [[0, 0, 4]]


def test_without_a_template_the_words_stand_alone(folder: Path) -> None:
    tower = TextTower(folder, write_card(folder, extra={}))
    assert tower.sentence("Kidney_Left") == "kidney left"
    assert tower.tokens("the liver").tolist() == [[1, 5]]


def counted_runs(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Token ids of every run of a text tower from now on."""
    runs: list[np.ndarray] = []

    def run(session: Any, names: list[str], feed: dict[str, np.ndarray], **options: Any) -> list[np.ndarray]:
        if "input_ids" in feed:
            runs.append(feed["input_ids"])
        return run_session(session, names, feed, **options)

    monkeypatch.setattr("maskwright.inference.text.run_session", run)
    return runs


def test_a_text_is_read_once_while_it_is_known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = counted_runs(monkeypatch)
    tower = TextTower(folder, write_card(folder))
    first = tower.read("liver")
    assert tower.read("left liver").tolist() == [[0 + 2 + 5 + 4]]
    assert tower.read(" Liver ") is first and len(runs) == 2
    for i in range(KEPT - 1):
        tower.read(f"word {i}")
    assert tower.read("liver") is first and len(runs) == KEPT + 1  # used last but KEPT - 1: still there
    tower.read("left liver")
    assert len(runs) == KEPT + 2


def test_a_click_after_a_text_does_not_read_it_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = counted_runs(monkeypatch)
    segmenter = OnnxSegmenter(folder, threads=1)
    prompts = Prompts((Text("liver liver"),))
    answer = segmenter.segment(FEATURES, prompts)
    for i in range(3):
        prompts = prompts.add(Point(float(i), 1))
        answer = segmenter.segment(FEATURES, prompts, previous=answer)
    assert answer.mask.all() and len(runs) == 1


def test_text_below_the_floor_of_the_card_is_not_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_card(folder, text_floor=0.75)
    words = Prompts((Text("liver liver"),))
    assert OnnxSegmenter(folder, threads=1).segment(FEATURES, words).mask.all()  # its score is 0.75
    write_card(folder, text_floor=0.76)
    segmenter = OnnxSegmenter(folder, threads=1)
    nothing = segmenter.segment(FEATURES, words)
    assert nothing.not_found and not nothing.mask.any() and nothing.score == 0.75
    assert nothing.not_found_sentence("slice") == "No “liver liver” was found in this slice."
    # a click is answered as if nothing had been said: the vector of the text would make the mask full
    clicked = segmenter.segment(FEATURES, words.add(Point(1, 1)), previous=nothing)
    assert clicked.missing == "liver liver" and clicked.logits.max() == -10
    monkeypatch.setattr(segmenter, "_text", None)  # a tower that knows nothing yet
    runs = counted_runs(monkeypatch)
    segmenter.uncertainty(FEATURES, words.add(Point(1, 1)), clicked)
    assert runs == []  # nor is it read to find what is in doubt
    again = segmenter.segment(FEATURES, words.add(Point(1, 1)).add(Text("left liver liver")), previous=clicked)
    assert again.missing == "" and again.mask.all()


def test_text_reaches_the_head_and_its_category_comes_back(folder: Path) -> None:
    segmenter = OnnxSegmenter(folder, threads=1)
    plain = segmenter.segment(FEATURES, Prompts((Point(1, 1),)))
    assert plain.logits.tolist() == np.full((4, 4), -10).tolist()
    assert (plain.label, plain.score) == ("kidney", 0.75)
    assert not plain.mask.any()
    for text, value in (("left kidney", -1.0), ("the left kidney", 0.0), ("liver liver", 4.0)):
        found = segmenter.segment(FEATURES, Prompts((Text("liver"), Text(text))))
        assert found.logits.tolist() == np.full((4, 4), value).tolist()
        assert found.mask.all() == (value > 0)


def test_blank_text_is_no_text_and_opens_no_tower(folder: Path) -> None:
    (folder / "text.onnx").unlink()
    segmenter = OnnxSegmenter(folder, threads=1)
    assert segmenter.segment(FEATURES, Prompts((Text("  "),))).logits.max() == -10
    with pytest.raises(ModelError, match="the text of model tiny is missing"):
        segmenter.segment(FEATURES, Prompts((Text("liver"),)))


def test_a_model_without_text_says_so(folder: Path) -> None:
    write_card(folder, prompts=("point",))
    with pytest.raises(ModelError, match="model tiny does not take text"):
        OnnxSegmenter(folder, threads=1).segment(FEATURES, Prompts((Text("liver"),)))


def test_a_changed_or_broken_tokenizer_is_refused(folder: Path) -> None:
    card = write_card(folder)
    (folder / "tokenizer.json").write_text("{}", "utf-8")
    with pytest.raises(ModelError, match="the tokenizer of model tiny does not match its hash"):
        TextTower(folder, card)
    with pytest.raises(ModelError, match="the tokenizer cannot be read"):
        TextTower(folder, write_card(folder))
