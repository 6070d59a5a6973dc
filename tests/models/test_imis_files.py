"""What IMIS-Net needs beside its weights: CLIP's vocabulary and the category names, read as data alone."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from maskwright.core.errors import ModelError
from maskwright_models.zoo.imis_files import (
    BPE_FILE,
    CATEGORIES_FILE,
    TOKENIZER_FOLDER,
    find_files,
    read_categories,
    read_tokenizer,
    tokenizer_json,
)
from tests.models.imis_cases import MERGES, VOCABULARY, save_categories, save_vocabulary


def ids(tokenizer: str, text: str) -> list[int]:
    return Tokenizer.from_str(tokenizer).encode(text).ids


def test_a_sentence_becomes_the_official_tokens(tmp_path: Path) -> None:
    save_vocabulary(tmp_path / TOKENIZER_FOLDER)
    tokenizer = read_tokenizer(tmp_path)
    kidney = [49406, 320, 10551, 9512, 2445, 539, 320, 1823, 14610, 269, 49407]
    assert ids(tokenizer, "A segmentation area of a left kidney.") == kidney
    assert ids(tokenizer, "a  Segmentation area\nof a LEFT kidney .") == kidney
    assert ids(tokenizer, "A segmentation area of a liver.") == [*kidney[:7], 12639, 269, 49407]
    assert ids(tokenizer, "a photo of a cat") == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert read_tokenizer(tmp_path / TOKENIZER_FOLDER) == tokenizer


def test_the_tokens_are_those_of_the_test_vectors(shared_folder: Path) -> None:
    path = shared_folder / "vectors" / "imis_mini_256.npz"
    if not path.is_file():
        pytest.skip(f"no test vectors at {path}")
    with np.load(path) as vectors:
        expected = vectors["text/input_ids"].tolist()
    tokenizer = tokenizer_json(VOCABULARY, MERGES)
    assert ids(tokenizer, "A segmentation area of a left kidney.") == expected[0]
    assert [*ids(tokenizer, "A segmentation area of a liver."), 49407] == expected[1]  # padded to the longer one


def test_a_long_text_is_cut_and_keeps_its_end() -> None:
    found = ids(tokenizer_json(VOCABULARY, MERGES), "liver " * 100)
    assert len(found) == 77
    assert (found[0], found[1], found[75], found[76]) == (49406, 12639, 12639, 49407)


def test_the_packed_vocabulary_of_clip_is_read_too(tmp_path: Path) -> None:
    merges = [*(" ".join(pair) for pair in MERGES), *(f"q{i} w{i}" for i in range(48894 - len(MERGES)))]
    with gzip.open(tmp_path / BPE_FILE, "wt", encoding="utf-8") as file:
        file.write("\n".join(["#version: 0.2", *merges, "beyond what CLIP uses"]))
    words = json.loads(read_tokenizer(tmp_path))["model"]
    assert len(words["vocab"]) == 49408 and len(words["merges"]) == 48894
    # bytes come first in CLIP's order, then bytes at the end of a word, then the merges
    known = {w: words["vocab"][w] for w in ("!", "a", "Ā", "!</w>", ".</w>", "<|startoftext|>", "<|endoftext|>")}
    assert known == {
        "!": 0,
        "a": 64,
        "Ā": 188,
        "!</w>": 256,
        ".</w>": 269,
        "<|startoftext|>": 49406,
        "<|endoftext|>": 49407,
    }
    assert words["vocab"]["".join(MERGES[0])] == 512


@pytest.mark.parametrize(
    ("vocabulary", "merges", "reason"),
    [
        ('{"a": 0}', "", "it is not the vocabulary of CLIP"),
        ("{", "", "Expecting property name"),
        ("[]", "", "it is not the vocabulary of CLIP"),
        (json.dumps(VOCABULARY), "a b c", "a line of the merges is not a pair"),
        (json.dumps(VOCABULARY), None, "No such file"),
    ],
)
def test_another_vocabulary_is_refused(tmp_path: Path, vocabulary: str, merges: str | None, reason: str) -> None:
    (tmp_path / "vocab.json").write_text(vocabulary, "utf-8")
    if merges is not None:
        (tmp_path / "merges.txt").write_text(merges, "utf-8")
    with pytest.raises(ModelError, match="the tokenizer's vocabulary cannot be read") as caught:
        read_tokenizer(tmp_path)
    assert reason in caught.value.what


def test_a_cut_off_packed_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / BPE_FILE).write_bytes(gzip.compress(b"#version\na b\n" * 100)[:-20])
    with pytest.raises(ModelError, match="the tokenizer's vocabulary cannot be read"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_categories_are_read_from_the_published_pickle(tmp_path: Path, protocol: int) -> None:
    save_categories(tmp_path / CATEGORIES_FILE, protocol=protocol)
    found = read_categories(tmp_path / CATEGORIES_FILE)
    assert found.weights.shape == (512, 3) and found.weights.dtype == np.float32
    assert found.classes == ("Kidney", "Liver", "Background")
    assert dict(found.names) == {
        "kidney_left": "Left kidney",
        "kidney_right": "Right kidney",
        "liver": "Liver",
        "LIVER2": "liver",
        "background": "background",
    }
    assert found.completions == ("Left kidney", "liver", "Right kidney")


class Runs:
    """Would execute a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_a_pickle_that_would_run_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    (tmp_path / CATEGORIES_FILE).write_bytes(pickle.dumps((np.zeros((512, 1)), {"x": Runs(target)}, {}, {})))
    with pytest.raises(ModelError, match=r"it would run pathlib\.Path\.touch|it would run pathlib"):
        read_categories(tmp_path / CATEGORIES_FILE)
    assert not target.exists()


@pytest.mark.parametrize(
    "value",
    [
        (np.zeros((512, 2), np.float32), {}, {"a": 0}, {0: "a"}),
        (np.full((512, 1), np.nan, np.float32), {}, {"a": 0}, {0: "a"}),
        (np.zeros((512, 1), np.float32), {"x": 3}, {"a": 0}, {0: "a"}),
        (np.zeros((512, 1), np.float32), {}, {"a": 0}),
        "words",
    ],
)
def test_other_content_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / CATEGORIES_FILE
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(ModelError, match="the categories cannot be read"):
        read_categories(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ModelError, match="the categories cannot be read"):
        read_categories(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    found = find_files(tmp_path)
    assert (found.tokenizer, found.categories) == ("", None)
    assert [m.split(" in ")[0] for m in found.missing] == [
        "There is no clip-vit-base-patch32",
        "There is no categories_weight.pkl",
    ]
    save_vocabulary(tmp_path / TOKENIZER_FOLDER)
    (tmp_path / "dataloaders").mkdir()
    save_categories(tmp_path / "dataloaders" / CATEGORIES_FILE)
    found = find_files(tmp_path)
    assert found.missing == () and found.tokenizer and found.categories is not None
