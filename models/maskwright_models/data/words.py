"""Words that a view is asked about: phrases of its labels, of what it does not show, and the cells that each names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskwright_models.data.index import Dataset
from maskwright_models.data.vocabulary import Vocabulary
from maskwright_models.zoo.dinov2_imsa import TEXT_WIDTH, TOKENS

MOST_SHOWN, NOT_SHOWN = 8, 4
"""Labels of a view that teach their words in one step, and labels that it does not show."""


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Sentence vectors of all phrases, and the phrases of each label."""

    vocabulary: Vocabulary
    vectors: Mapping[str, np.ndarray]

    def phrases(self, label: str) -> list[str]:
        """The label and its synonyms, as far as they have vectors."""
        return [p for p in self.vocabulary.phrases(label) if p in self.vectors] if label else []

    def draw(self, label: str, rng: np.random.Generator) -> np.ndarray | None:
        """Vector (384,) of the label or of one of its synonyms, None where it has none."""
        phrases = self.phrases(label)
        if not phrases:
            return None
        which = 0 if rng.random() < 0.6 else int(rng.integers(len(phrases)))
        return self.vectors[phrases[which]]


def other_side(label: str) -> str:
    """The label of what a mirrored view shows: ``left kidney`` becomes ``right kidney``, ``tooth 36`` ``tooth 46``.

    Teeth carry FDI numbers, whose first digit is the quadrant.
    """
    swap = {"left": "right", "right": "left"}
    first, _, number = label.partition(" ")
    if first == "tooth" and number[:1] in ("1", "2", "3", "4"):
        return f"tooth {'2143'[int(number[0]) - 1]}{number[1:]}"
    return " ".join(swap.get(word, word) for word in label.split(" "))


class Absent:
    """Draws labels that an image does not show: half of them of its own set, the others of sets of the other kind.

    Sets of the same kind are left out: what they name may be there without being marked.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.labels = [sorted({v for e in d.images for v in e.labels.values() if v}) for d in datasets]
        kinds = [d.group == "medical" for d in datasets]
        self.others = [[i for i, kind in enumerate(kinds) if kind != own and self.labels[i]] for own in kinds]

    def draw(self, which: int, shown: set[str], rng: np.random.Generator) -> str:
        """A label that is not among ``shown``, empty where there is none. ``which`` is the set of the image."""
        others = self.others[which]
        pool = self.labels[which] if rng.random() < 0.5 or not others else self.labels[int(rng.choice(others))]
        pool = [name for name in pool if name not in shown]
        return str(rng.choice(pool)) if pool else ""


def taught(
    words: Words | None,
    names: Sequence[str],
    absent: Callable[[], str],
    share_of: Callable[[str], np.ndarray],
    rng: np.random.Generator,
    *,
    most: int = MOST_SHOWN,
) -> tuple[np.ndarray, np.ndarray]:
    """What a view teaches about words: sentence vectors (L, 384) and the share of each token they cover, (L, 32, 32).

    ``names`` are the labels it shows, ``share_of`` gives where; ``absent`` draws one that it does not show.
    """
    vectors, shares = [np.zeros((0, TEXT_WIDTH), np.float32)], [np.zeros((0, TOKENS, TOKENS), np.float32)]
    if words is not None:
        some = rng.permutation(np.array(list(names), dtype=object))[:most]
        asked = [(str(name), True) for name in some] + [(absent(), False) for _ in range(NOT_SHOWN)]
        for name, there in asked:
            vector = words.draw(name, rng)
            if vector is not None:
                vectors.append(vector[None].astype(np.float32))
                shares.append((share_of(name) if there else np.zeros((TOKENS, TOKENS), np.float32))[None])
    return np.concatenate(vectors), np.concatenate(shares)
