"""A small data set, stand-ins for the frozen parts, and words: what tests of views, samples and training stand on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from maskwright_models.data import features as data_features
from maskwright_models.data.features import Frozen, frozen_stem, frozen_trunk
from maskwright_models.data.index import Dataset
from maskwright_models.data.vocabulary import Vocabulary
from maskwright_models.data.words import Words
from maskwright_models.zoo.dinov2_imsa import TEXT_WIDTH, HeadConfig

CPU = torch.device("cpu")
SHAPE = (90, 120)
SMALL = HeadConfig(
    coarse=16, fine=8, width=16, match=8, named=8, depth=1, heads=2, hidden=16, ratios=(8,), middle=8, drawn=8
)
DISKS = ((35, 40, 22), (85, 50, 17))
"""Column, row and radius; picture ``n`` has the first 3 n further right and the second 2 n further down."""


class Means(nn.Module):
    """Stands for a frozen part: maps of pixel means; counts the views it saw."""

    def __init__(self, *sizes: tuple[int, int]) -> None:
        """``sizes`` are channels and side of each map."""
        super().__init__()
        self.register_buffer("weight", torch.ones(1))
        self.sizes, self.seen = sizes, 0

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        self.seen += len(image)
        grey = image.mean(1, keepdim=True)
        maps = [nn.functional.adaptive_avg_pool2d(grey, n).repeat(1, c, 1, 1) for c, n in self.sizes]
        return tuple(maps) if len(maps) > 1 else maps[0]


def frozen_parts() -> tuple[Frozen, Frozen]:
    """Trunk and stem whose maps show how bright the picture is."""
    return frozen_trunk(Means((1536, 32))), frozen_stem(Means((24, 128), (40, 64)))  # type: ignore[arg-type]


def disk(x: int, y: int, radius: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """(Y, X) bool."""
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    return (xx - x) ** 2 + (yy - y) ** 2 <= radius**2


def make_set(
    folder: Path,
    *,
    modality: str = "",
    images: int = 2,
    disks: Sequence[tuple[int, int, int]] = DISKS,
    labels: Sequence[str] = ("left", ""),
) -> Path:
    """Pictures of bright disks, with their index maps and labels."""
    (folder / "images").mkdir(parents=True)
    (folder / "objects").mkdir()
    rows = ["file,index,label"]
    for n in range(images):
        index = np.zeros(SHAPE, np.uint8)
        for k, (x, y, radius) in enumerate(disks):
            index[disk(x + (3 * n if k == 0 else 0), y + (2 * n if k == 1 else 0), radius)] = k + 1
        pixels = np.random.default_rng(n).integers(0, 60, (*SHAPE, 3), np.uint8) + (index > 0)[..., None] * 120
        cv2.imwrite(str(folder / "images" / f"{n}.png"), pixels.astype(np.uint8))
        cv2.imwrite(str(folder / "objects" / f"{n}.png"), index)
        rows += [f"{n}.png,{k + 1},{label}" for k, label in enumerate(labels)]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", "utf-8")
    if modality:
        (folder / "modality.txt").write_text(modality + "\n", "utf-8")
    return folder


def compute_all(datasets: list[Dataset], root: Path, round_: int = 0) -> int:
    """Features of one round of both parts; how many views the second one ran on."""
    parts = frozen_parts()
    return [data_features.compute(p, datasets, root, round_=round_, device=CPU) for p in parts][-1]


def words(**synonyms: tuple[str, ...]) -> Words:
    """Labels with their synonyms; the sentence vector of each phrase is a unit vector of its own."""
    vocabulary = Vocabulary(synonyms, {})
    phrases = [p for label in vocabulary.labels for p in vocabulary.phrases(label)]
    return Words(vocabulary, dict(zip(phrases, np.eye(TEXT_WIDTH, dtype=np.float32), strict=False)))
