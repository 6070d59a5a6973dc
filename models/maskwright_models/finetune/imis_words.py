"""Words of IMIS-Net's training: the label of an object in the published sentence, as token ids."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from maskwright_models.data.layouts.files import words
from maskwright_models.nn.clip_text import END
from maskwright_models.zoo.imis import TEMPLATE
from maskwright_models.zoo.imis_files import TEXT_LENGTH, ImisFiles


class Words:
    """Turns labels into token ids where the vocabulary is there.

    Labels that are keys of the published names, as they are or in the order of ours, get those names.
    """

    def __init__(self, files: ImisFiles) -> None:
        names = {} if files.categories is None else dict(files.categories.names)
        self.names = {_plain(words(k)): v for k, v in names.items()} | {_plain(k): v for k, v in names.items()}
        self._tokenizer = None
        if files.tokenizer:
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_str(files.tokenizer)
            self._tokenizer.enable_truncation(TEXT_LENGTH)

    def sentence(self, label: str) -> str:
        """The sentence that the model reads for a label or the key of a published set."""
        plain = _plain(label)
        return TEMPLATE.format(_plain(self.names.get(plain, plain)))

    def ids(self, labels: Sequence[str]) -> Tensor | None:
        """(B, T) int64; None where there is no vocabulary, or a label is empty: a batch is asked by text as a whole."""
        if self._tokenizer is None or not all(labels):
            return None
        rows = [self._tokenizer.encode(self.sentence(label)).ids for label in labels]
        most = max(map(len, rows))
        return torch.tensor([row + [END] * (most - len(row)) for row in rows])


def _plain(label: str) -> str:
    """Lower case, hyphens and underscores as spaces."""
    return re.sub(r"\s+", " ", label.lower().replace("_", " ").replace("-", " ")).strip()
