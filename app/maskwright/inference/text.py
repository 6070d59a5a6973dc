"""Words -> what a head takes: the text tower of a model, with its tokenizer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import ModelError
from maskwright.core.model_card import ModelCard
from maskwright.inference.model_folder import REINSTALL, checked_file, checked_graph
from maskwright.inference.ort import make_session, run_session

KEPT = 64
"""Texts whose vectors are remembered."""


def plain_words(text: str) -> str:
    """``text`` in lower case, with single spaces and without hyphens: what every tower is trained and asked with."""
    return " ".join(text.lower().replace("_", " ").replace("-", " ").split())


class TextTower:
    """Runs `text.onnx` on the tokens of `tokenizer.json`. The newest answers are kept: every click repeats its text.

    What the card's ``text`` entry may say: ``template``, a sentence with ``{}`` for the words, and ``names``, the words
    that stand for a data-set key.
    """

    def __init__(self, folder: Path, card: ModelCard, *, threads: int | None = None) -> None:
        """Open the tower of the model in ``folder``. Raises ModelError where a file is missing, changed or broken."""
        from tokenizers import Tokenizer

        path = checked_file(folder, card, "tokenizer")
        try:
            self._tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
        except Exception as error:  # the library raises plain Exception for what it cannot read
            raise ModelError(f"the tokenizer cannot be read ({error})", path=path, hint=REINSTALL) from error
        self._session = make_session(checked_graph(folder, card, "text"), threads=threads)
        about: Mapping[str, Any] = card.extra.get("text", {})
        self._template = str(about.get("template", "{}"))
        self._names: Mapping[str, str] = about.get("names", {})
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()  # by sentence, the least recently read first

    def sentence(self, text: str) -> str:
        """What the model reads: the words of a key or the text itself, in lower case, within the template."""
        return self._template.replace("{}", plain_words(self._names.get(text.strip(), text)))

    def tokens(self, text: str) -> np.ndarray:
        """Token ids of the sentence, (1, T) int64."""
        return np.array([self._tokenizer.encode(self.sentence(text)).ids], np.int64)

    def read(self, text: str) -> np.ndarray:
        """The head's ``text_embedding``, (1, D) or (1, T, D) float32 as the card says.

        Raises ModelError where the tower cannot run.
        """
        sentence = self.sentence(text)
        vector = self._known.get(sentence)
        if vector is None:
            vector = run_session(self._session, ["text_embedding"], {"input_ids": self.tokens(text)})[0]
            self._known[sentence] = vector
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(sentence)
        return vector
