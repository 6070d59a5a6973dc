"""The words training knows: every label of the training and validation sets with its synonyms and its code.

The table is ``vocabulary.csv`` beside this file. ``synonyms`` are separated by ``|``; ``scheme``, ``code`` and
``meaning`` name the structure in a terminology as DICOM writes it (``SCT`` is SNOMED CT), without its side, and are
empty where the code is not known for certain.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("vocabulary.csv")


@dataclass(frozen=True, slots=True)
class Code:
    """Entry of a terminology, such as ``SCT``, ``10200004``, ``Liver``."""

    scheme: str
    value: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.value}"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Labels with their synonyms and codes, in the order of the table."""

    synonyms: Mapping[str, tuple[str, ...]]
    codes: Mapping[str, Code]

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label of the table."""
        return tuple(self.synonyms)

    def phrases(self, label: str) -> tuple[str, ...]:
        """All that may be typed for ``label``, itself first; an unknown label is its only phrase."""
        return (label, *self.synonyms.get(label, ()))


def load_vocabulary(path: Path = TABLE) -> Vocabulary:
    """Read the table. Raises ValueError for a row without a label, a label twice, or half a code."""
    synonyms: dict[str, tuple[str, ...]] = {}
    codes: dict[str, Code] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            label = row["label"]
            if not label or label in synonyms:
                raise ValueError(f"{path}: label {label!r} is empty or there twice")
            synonyms[label] = tuple(s for s in row["synonyms"].split("|") if s)
            entry = (row["scheme"], row["code"], row["meaning"])
            if any(entry):
                if not all(entry):
                    raise ValueError(f"{path}: the code of {label!r} is not complete")
                codes[label] = Code(*entry)
    return Vocabulary(synonyms, codes)
