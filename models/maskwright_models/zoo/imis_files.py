"""What IMIS-Net needs beside its weights: CLIP's vocabulary as one tokenizer.json, and the names of its categories."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import ModelError
from maskwright_models.arrays_only import load_arrays

if TYPE_CHECKING:
    import numpy as np

TOKENIZER_FOLDER = "clip-vit-base-patch32"
"""Folder that the published code loads its tokenizer from."""
BPE_FILE = "bpe_simple_vocab_16e6.txt.gz"
"""The same vocabulary as OpenAI's CLIP and open_clip carry it."""
CATEGORIES_FILE = "categories_weight.pkl"
TEXT_LENGTH = 77
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BACKGROUND = "background"


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """Names of the published training targets and the classes a mask is put into.

    ``weights`` (512, n) float32, one unit vector for each of the ``classes``; ``names`` maps each data-set key to the
    name that was put into the text prompt.
    """

    weights: np.ndarray
    classes: tuple[str, ...]
    names: Mapping[str, str]

    @property
    def completions(self) -> tuple[str, ...]:
        """Names to offer for a text prompt, sorted; one of several that differ in capitals alone."""
        unique = {name.lower(): name for name in self.names.values()}
        return tuple(unique[k] for k in sorted(unique) if k and k != BACKGROUND)


@dataclass(frozen=True, slots=True, eq=False)
class ImisFiles:
    """What was found: ``tokenizer`` is the text of a tokenizer.json. ``missing`` says in sentences what was not."""

    tokenizer: str = ""
    categories: Categories | None = None
    missing: tuple[str, ...] = field(default=())


def find_files(folder: Path) -> ImisFiles:
    """Look into ``folder``, usually the one of the checkpoint, as the published code lays it out.

    Raises ModelError for a file that is there and cannot be used.
    """
    missing = []
    tokenizer = read_tokenizer(folder)
    if not tokenizer:
        missing.append(f"There is no {TOKENIZER_FOLDER} in {folder}, so that the model takes no text.")
    places = (folder / CATEGORIES_FILE, folder / "dataloaders" / CATEGORIES_FILE)
    path = next((p for p in places if p.is_file()), None)
    if path is None:
        missing.append(f"There is no {CATEGORIES_FILE} in {folder}, so that the model names no categories.")
    return ImisFiles(tokenizer, None if path is None else read_categories(path), tuple(missing))


def read_tokenizer(folder: Path) -> str:
    """Text of a tokenizer.json from the vocabulary in ``folder``, empty where there is none."""
    for place in (folder / TOKENIZER_FOLDER, folder):
        vocabulary, merges, packed = (place / name for name in ("vocab.json", "merges.txt", BPE_FILE))
        path = packed if packed.is_file() else vocabulary
        try:
            if packed.is_file():
                with gzip.open(packed, "rt", encoding="utf-8") as file:
                    lines = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
                pairs = [line.split() for line in lines]
                return tokenizer_json(_full_vocabulary(pairs), pairs)
            if vocabulary.is_file():
                path = merges
                lines = merges.read_text("utf-8").splitlines()
                pairs = [line.split() for line in lines if line and not line.startswith("#version")]
                path = vocabulary
                return tokenizer_json(json.loads(vocabulary.read_text("utf-8")), pairs)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"the tokenizer's vocabulary cannot be read ({error})",
                path=path,
                hint="Put vocab.json and merges.txt of CLIP ViT-B/32 there.",
            ) from error
    return ""


def tokenizer_json(vocabulary: Mapping[str, int], merges: Sequence[Sequence[str]]) -> str:
    """CLIP's byte-pair tokenizer for the ``tokenizers`` package; texts are cut to 77 tokens.

    Raises ValueError where the vocabulary is not CLIP's.
    """
    if not isinstance(vocabulary, Mapping) or (vocabulary.get(START), vocabulary.get(END)) != (49406, 49407):
        raise ValueError("it is not the vocabulary of CLIP")
    if not all(len(pair) == 2 for pair in merges):
        raise ValueError("a line of the merges is not a pair")
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    value: dict[str, Any] = {
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": TEXT_LENGTH, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [{"id": vocabulary[t], "content": t, **special} for t in (START, END)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": True},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, vocabulary[END]],
            "cls": [START, vocabulary[START]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "vocab": dict(vocabulary),
            "merges": [list(pair) for pair in merges],
        },
    }
    return json.dumps(value, ensure_ascii=False)


def _full_vocabulary(merges: Sequence[Sequence[str]]) -> dict[str, int]:
    """CLIP's vocabulary: bytes as printable characters, the same at the end of a word, merges in order, two marks."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    letters = [*(chr(b) for b in shown), *(chr(256 + i) for i in range(len(hidden)))]
    words = [*letters, *(c + "</w>" for c in letters), *("".join(pair) for pair in merges), START, END]
    return {word: i for i, word in enumerate(words)}


def read_categories(path: Path) -> Categories:
    """Category names and vectors from the published pickle, read as data alone.

    Raises ModelError where it is something else or would execute code.
    """
    import numpy as np

    try:
        weights, names, to_index, from_index = load_arrays(path.read_bytes())
        weights = np.array(weights, np.float32)
        classes = tuple(str(from_index[i]).strip() for i in range(len(from_index)))
        if weights.shape != (512, len(classes)) or len(to_index) != len(classes) or not np.isfinite(weights).all():
            raise ValueError(f"{weights.shape} vectors for {len(classes)} categories")
        shown = {str(key): str(value[0]).strip() for key, value in names.items()}
    except Exception as error:  # an unpickler raises whatever the bytes make it raise
        raise ModelError(
            f"the categories cannot be read ({error or type(error).__name__})",
            path=path,
            hint="Use the file that came with IMIS-Net, or take it away to go on without categories.",
        ) from error
    return Categories(weights, classes, shown)
