"""The table of words: complete, without contradictions, and read strictly."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from maskwright.inference.text import plain_words
from maskwright_models.data.vocabulary import load_vocabulary


def test_labels_have_their_synonyms() -> None:
    words = load_vocabulary()
    assert words.phrases("left kidney")[0] == "left kidney"
    assert {"kidney on the left", "kidney left", "ren sinister"} < set(words.phrases("left kidney"))
    assert {"kitten", "feline"} < set(words.phrases("cat"))
    assert "lower left first molar" in words.phrases("tooth 36")
    assert words.phrases("xylophone") == ("xylophone",)
    assert all(len(words.phrases(label)) > 1 for label in words.labels)


def test_no_phrase_names_two_labels() -> None:
    words, owner = load_vocabulary(), {}
    for label in words.labels:
        for phrase in words.phrases(label):
            assert owner.setdefault(plain_words(phrase), label) == label, phrase


def test_left_is_never_a_word_for_right() -> None:
    words = load_vocabulary()
    for label in words.labels:
        for side, other in (("left", "right"), ("right", "left")):
            if side in label.split():
                assert not any(other in plain_words(p).split() for p in words.phrases(label)), label


def test_codes_name_what_they_code() -> None:
    words = load_vocabulary()
    assert str(words.codes["liver"]) == "SCT:10200004"
    assert words.codes["left kidney"] == words.codes["right kidney"]  # the side is a modifier of its own
    assert all(code.scheme == "SCT" and code.value.isdigit() and code.meaning for code in words.codes.values())
    assert set(words.codes) <= set(words.labels)


def test_every_label_of_the_shared_data_is_there(shared_data: Path) -> None:
    found = set()
    for path in shared_data.glob("train/*/*/labels.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found |= {row["label"] for row in csv.DictReader(file)}
    for path in shared_data.glob("val/*/labels.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found |= {row[1] for row in csv.reader(file)}
    for path in shared_data.glob("*/volumes/*/meta.json"):
        found |= set(json.loads(path.read_text("utf-8"))["classes"].values())
    assert len(found) > 400 and found - {""} <= set(load_vocabulary().labels)


@pytest.mark.parametrize(
    ("row", "says"),
    [("cat,kitten,,,", "there twice"), (",kitten,,,", "is empty"), ("dog,puppy,SCT,1,", "'dog' is not complete")],
)
def test_a_wrong_table_is_refused(tmp_path: Path, row: str, says: str) -> None:
    path = tmp_path / "words.csv"
    path.write_text(f"label,synonyms,scheme,code,meaning\ncat,feline,,,\n{row}\n", "utf-8")
    with pytest.raises(ValueError, match=says):
        load_vocabulary(path)
