"""A piece of CLIP's vocabulary with its real numbers, and categories as the published pickle holds them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np

# What the words of the tests are put together from.
VOCABULARY: dict[str, int] = json.loads(
    '{"a": 64, "c": 66, "d": 67, "e": 68, "f": 69, "g": 70, "h": 71, "i": 72, "k": 74, "l": 75, "m": 76, "n": 77, '
    '"o": 78, "p": 79, "r": 81, "s": 82, "t": 83, "v": 85, ".</w>": 269, "a</w>": 320, "f</w>": 325, "n</w>": 333, '
    '"o</w>": 334, "r</w>": 337, "t</w>": 339, "y</w>": 344, "re": 515, "en": 524, "on</w>": 525, "at": 527, '
    '"er</w>": 528, "to</w>": 531, "le": 534, "at</w>": 536, "of</w>": 539, "li": 554, "ne": 557, "se": 567, '
    '"ati": 591, "ho": 606, "ation</w>": 656, "ver</w>": 667, "ent": 724, "pho": 816, "ki": 848, "ft</w>": 981, '
    '"are": 1076, "photo</w>": 1125, "ney</w>": 1438, "ment": 1585, "left</w>": 1823, "cat</w>": 2368, '
    '"area</w>": 2445, "kid": 3948, "mentation</w>": 9512, "seg": 10551, "liver</w>": 12639, "kidney</w>": 14610, '
    '"<|startoftext|>": 49406, "<|endoftext|>": 49407}'
)
MERGES = [
    pair.split()
    for pair in (
        "r e,e n,o n</w>,a t,e r</w>,t o</w>,l e,a t</w>,o f</w>,l i,n e,s e,at i,h o,ati on</w>,v er</w>,en t,p ho,"
        "k i,f t</w>,a re,pho to</w>,ne y</w>,m ent,le ft</w>,c at</w>,are a</w>,ki d,ment ation</w>,se g,li ver</w>,"
        "kid ney</w>"
    ).split(",")
]


def save_vocabulary(folder: Path) -> None:
    """Write `vocab.json` and `merges.txt` as the published tokenizer folder has them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY), "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in MERGES), ""]
    (folder / "merges.txt").write_text("\n".join(lines), "utf-8")


def save_categories(path: Path, *, protocol: int = 4) -> None:
    """Write three categories with unit vectors, and five data-set keys."""
    weights = np.random.default_rng(0).standard_normal((512, 3)).astype(np.float32)
    weights /= np.linalg.norm(weights, axis=0)
    names = {
        "kidney_left": ["Left kidney", "Kidney"],
        "kidney_right": ["Right kidney ", "Kidney"],
        "liver": ["Liver", "Liver"],
        "LIVER2": ["liver", "Liver"],
        "background": ["background", "Background"],
    }
    classes = ["Kidney", "Liver", "Background "]
    value = (weights, names, {c: np.int64(i) for i, c in enumerate(classes)}, dict(enumerate(classes)))
    path.write_bytes(pickle.dumps(value, protocol=protocol))
