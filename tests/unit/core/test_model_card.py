"""The model card: what it must hold, what the app refuses, and that it reads back equal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from maskwright.core.errors import ModelError
from maskwright.core.model_card import FeatureSpec, ModelCard, card_from_json, card_to_json

CARD = ModelCard(
    id="tiny",
    name="Tiny",
    family="test",
    version="1.2",
    licence="Apache-2.0",
    citation="Nobody, 2026",
    contract=1,
    input_size=64,
    logits_shape=(16, 16),
    candidates=3,
    features=(FeatureSpec("feat_0", (1, 8, 4, 4), "float16"), FeatureSpec("feat_1", (1, 2, 16, 16), "float32")),
    files={"encoder": "e.onnx", "head": "h.onnx"},
    sha256={"e.onnx": "1" * 64, "h.onnx": "2" * 64},
    prompts=("point", "text"),
    state_shape=(1, 1, 64, 64),
    text_shape=(1, 512),
    text_floor=0.3,
    mean_rgb=(0.5, 0.5, 0.5),
    std_rgb=(0.25, 0.25, 0.25),
    notice="From somewhere.",
    labels=("liver", "left kidney"),
    extra={"steps": 12},
)


def test_a_card_reads_back_equal() -> None:
    value = json.loads(json.dumps(card_to_json(CARD)))
    assert card_from_json(value) == CARD
    assert value["steps"] == 12 and "extra" not in value
    assert card_from_json(value | {"added by a later release": [1]}).extra["added by a later release"] == [1]


def test_what_a_card_need_not_say() -> None:
    value = card_to_json(CARD)
    optional = ("prompts", "state_shape", "text_shape", "text_floor", "mean_rgb", "std_rgb", "notice", "labels")
    for name in (*optional, "preprocessing"):
        del value[name]
    card = card_from_json(value)
    assert card.prompts == ("point", "box", "scribble")
    assert card.state_shape is None and card.text_shape is None and card.text_floor is None
    assert card.mean_rgb == (0.485, 0.456, 0.406) and card.std_rgb == (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    "name",
    ["id", "name", "licence", "input_size", "logits_shape", "candidates", "features", "files", "sha256"],
)
def test_a_missing_entry_is_named(name: str) -> None:
    value = card_to_json(CARD)
    del value[name]
    with pytest.raises(ModelError, match=f"incomplete .*'{name}'") as caught:
        card_from_json(value, path=Path("models/tiny/model.json"))
    assert caught.value.path == Path("models/tiny/model.json")
    assert caught.value.hint == "Import or export the model again."


@pytest.mark.parametrize(
    "features", [[{"name": "feat_0", "shape": [1, 2]}], [{"name": "a", "shape": 4, "dtype": "f"}], 3]
)
def test_a_feature_without_shape_or_dtype_is_refused(features: object) -> None:
    with pytest.raises(ModelError, match="incomplete"):
        card_from_json(card_to_json(CARD) | {"features": features})


@pytest.mark.parametrize("contract", [0, 2, "1", None])
def test_another_contract_is_refused(contract: object) -> None:
    with pytest.raises(ModelError, match=f"contract version {contract!r}, this app knows version 1"):
        card_from_json(card_to_json(CARD) | {"contract": contract})


def test_features_are_signed_with_the_hash_of_the_encoder() -> None:
    assert CARD.encoder_sha256 == "1" * 64
    other = replace(CARD, sha256={**CARD.sha256, "h.onnx": "3" * 64})
    assert other.encoder_sha256 == CARD.encoder_sha256


def test_an_adapted_model_uses_the_features_of_the_one_it_was_made_of() -> None:
    assert CARD.features_id == "tiny"
    adapted = replace(CARD, id="mine", extra={"features_of": "tiny"})
    assert adapted.features_id == "tiny" and card_from_json(card_to_json(adapted)).features_id == "tiny"
    for name in ("", "../tiny", "a\\b"):
        assert replace(CARD, extra={"features_of": name}).features_id == "tiny"
