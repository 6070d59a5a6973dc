"""Opens all that training draws from: sets, their stored features, the words of their labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from maskwright_models.data.features import pretrained_parts
from maskwright_models.data.phrases import vocabulary_table
from maskwright_models.data.samples import Mix, SampleSource
from maskwright_models.data.vocabulary import load_vocabulary
from maskwright_models.data.volumes import index_with_volumes
from maskwright_models.data.words import Words

HELD_TEXT = 0.15
"""Share of objects held back that text asks for, whatever the run trains on: so that curves of runs can be compared."""


def open_sources(
    data: Path,
    store: Path,
    *,
    volumes: Path | None = None,
    licences: str = "all",
    rounds: int = 1,
    objects: int = 3,
    mix: Mix | None = None,
    layout: str = "auto",
    split: str = "train",
) -> tuple[SampleSource, SampleSource]:
    """What is trained on, and the images held back from it; ``layout`` and ``split`` say how ``data`` lies.

    Raises ModelError where a package with weights is not installed, StoreError where no features are ready.
    """
    vocabulary = load_vocabulary()
    words = Words(vocabulary, vocabulary_table(store / "phrases.npz", vocabulary))
    datasets = index_with_volumes(data, volumes, licences=licences, layout=layout, split=split)
    parts = pretrained_parts()
    mix = mix or Mix()
    train, held = (
        SampleSource(datasets, store, parts, words=words, rounds=rounds, objects=objects, mix=drawn, held=held)
        for held, drawn in ((False, mix), (True, replace(mix, text=HELD_TEXT)))
    )
    return train, held
