"""Asks a model for things that are not in the picture, and for those that are: which does it say it cannot find.

The words that are not there are those of another kind of picture, so that no unlabelled object can be meant by them.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from maskwright.core.features import Features
from maskwright.core.prompts import Prompts, Text
from maskwright.core.protocol import EvaluationItem
from maskwright.inference import Segmenter

THINGS = ("bicycle", "airplane", "pizza", "traffic light", "giraffe", "umbrella")
BODY = ("liver", "spleen", "left kidney", "vertebra l3", "aorta")
SURFACES = {"fundus": "optic disc", "endoscopy": "polyp", "dermoscopy": "skin lesion", "xray": "tooth 36"}
"""Modality -> what only such pictures show."""
BODY_SEEN = ("ct", "mr", "pet", "xray", "ultrasound")
WORDS_PER_IMAGE = 2


def absent_words(modality: str, key: str) -> tuple[str, ...]:
    """Words that name nothing in a picture of this modality; which of them depends on ``key`` alone."""
    if modality == "photo":
        known = [*BODY, *(w for m, w in SURFACES.items() if m != "dermoscopy")]
    else:
        known = [*THINGS, *(w for m, w in SURFACES.items() if m != modality and not {m, modality} <= set(BODY_SEEN))]
        known += [] if modality in BODY_SEEN else list(BODY)
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    return tuple(known[i] for i in rng.choice(len(known), WORDS_PER_IMAGE, replace=False))


class AbsentWords:
    """Asks while a set is evaluated: pass ``ask`` as ``on_item``."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._asked: set[tuple[str, str]] = set()
        self.there: list[tuple[float, float]] = []
        self.not_there: list[tuple[float, float]] = []

    def ask(self, features: Features, item: EvaluationItem) -> None:
        """Ask for the item's label, and once an image for words that are not in it: (score, share of the image)."""
        for words, answers in (
            ((item.text,) if item.text else (), self.there),
            (absent_words(item.modality, item.image_name), self.not_there),
        ):
            for word in words:
                if (item.image_name, word) not in self._asked:
                    self._asked.add((item.image_name, word))
                    answer = self._segmenter.segment(features, Prompts((Text(word),)))
                    answers.append((float(answer.score), float(np.asarray(answer.mask, bool).mean())))

    def row(self) -> dict[str, Any]:
        """For both kinds how many were asked, how many of them had no mask, and mean and 5 or 95 % of the scores."""
        out: dict[str, Any] = {}
        for name, answers, percent in (("there", self.there, 5), ("not_there", self.not_there, 95)):
            if answers:
                score, share = np.array(answers).T
                out[name] = {
                    "asked": len(answers),
                    "no_mask": int((share == 0).sum()),
                    "score": round(float(score.mean()), 4),
                    f"score_{percent}": round(float(np.percentile(score, percent)), 4),
                    "share": round(float(share.mean()), 4),
                }
        return out
