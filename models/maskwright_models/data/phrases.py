"""Phrases -> sentence vectors of the MiniLM tower, and a file that keeps them so that training only reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwright.inference.text import plain_words
from maskwright_models.zoo.minilm import WIDTH, load_minilm, load_tokenizer

if TYPE_CHECKING:
    from maskwright_models.data.vocabulary import Vocabulary

BATCH = 64


def embed_phrases(phrases: Iterable[str]) -> dict[str, np.ndarray]:
    """Each phrase with its vector, (384,) float32 of length 1, as the tower in float32 gives it.

    Phrases are read as the app reads a text prompt (:func:`plain_words`). Those of equal length are run together, so
    that none is padded. Raises ModelError where the weights are not here, ValueError for a phrase without a word.
    """
    import torch

    unique = list(dict.fromkeys(phrases))
    if empty := [p for p in unique if not plain_words(p)]:
        raise ValueError(f"a phrase has no word: {empty[0]!r}")
    if not unique:
        return {}
    tokenizer, tower = load_tokenizer(), load_minilm()
    ids = [tokenizer.encode(plain_words(p)).ids for p in unique]
    vectors = np.empty((len(unique), WIDTH), np.float32)
    order = sorted(range(len(unique)), key=lambda i: len(ids[i]))
    start = 0
    with torch.inference_mode():
        while start < len(order):
            length = len(ids[order[start]])
            part = [i for i in order[start : start + BATCH] if len(ids[i]) == length]
            vectors[part] = tower(torch.tensor([ids[i] for i in part])).numpy()
            start += len(part)
    return dict(zip(unique, vectors, strict=True))


def phrase_table(path: Path, phrases: Iterable[str]) -> dict[str, np.ndarray]:
    """Vectors of ``phrases`` from the ``.npz`` file at ``path``; what it lacks is computed and added to it."""
    wanted = list(dict.fromkeys(phrases))
    known: dict[str, np.ndarray] = {}
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            known = dict(zip(file["phrases"].tolist(), file["vectors"], strict=True))
    missing = [p for p in wanted if p not in known]
    if missing:
        known |= embed_phrases(missing)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez(file, phrases=np.array(list(known)), vectors=np.stack(list(known.values())))
        part.replace(path)
    return {p: known[p] for p in wanted}


def vocabulary_table(path: Path, vocabulary: Vocabulary) -> dict[str, np.ndarray]:
    """Vectors of every phrase of every label of ``vocabulary``, kept at ``path``."""
    return phrase_table(path, (p for label in vocabulary.labels for p in vocabulary.phrases(label)))
