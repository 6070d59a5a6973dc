"""Training samples: a view with its frozen features, and a few of its objects as masks at stride 2."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import ScanError, StoreError
from maskwright.core.preprocess import SliceTransform, normalised
from maskwright.core.volume import View
from maskwright_models.data.features import open_store
from maskwright_models.data.index import Dataset
from maskwright_models.data.views import ROUNDS, input_of, view_index
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS

SMALLEST_PX = 40
"""Objects with fewer pixels of the 256 x 256 map are not sampled."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One view.

    ``tokens`` (1536, 32, 32) float16, ``image`` (3, 512, 512) float32, ``truths`` (M, 256, 256) and ``valid``
    (256, 256) bool.
    """

    tokens: np.ndarray
    image: np.ndarray
    truths: np.ndarray
    valid: np.ndarray


def object_map(mask: np.ndarray, transform: SliceTransform) -> np.ndarray:
    """(Y, X) bool at the size of the view -> (256, 256) bool, area filtered."""
    inner_h, inner_w = (max(1, round(n * LOGITS / INPUT_SIZE)) for n in transform.inner_yx)
    shrink = inner_h < mask.shape[0]
    small = cv2.resize(
        mask.astype(np.float32), (inner_w, inner_h), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    )
    out = np.zeros((LOGITS, LOGITS), bool)
    out[:inner_h, :inner_w] = small >= 0.5
    return out


class SampleSource:
    """Draws views and objects: sets by the root of their size, photos against scans by ``medical_share``."""

    def __init__(
        self,
        datasets: list[Dataset],
        store_root: Path,
        trunk_sha256: str,
        *,
        rounds: int = 1,
        objects: int = 3,
        medical_share: float = 0.3,
    ) -> None:
        self.datasets = datasets
        self.stores = [open_store(store_root, d, trunk_sha256) for d in datasets]
        self.objects = objects
        self.views: list[np.ndarray] = []
        for d, store in zip(datasets, self.stores, strict=True):
            ready = store.ready_flags(0)
            pairs = [
                (n, r) for r in range(min(rounds, ROUNDS)) for n in range(len(d.images)) if ready[view_index(d, n, r)]
            ]
            self.views.append(np.array(pairs, int).reshape(-1, 2))
        weights = np.sqrt([float(len(v)) for v in self.views])
        medical = np.array([d.group == "medical" for d in datasets])
        for part, share in ((medical, medical_share), (~medical, 1 - medical_share)):
            if weights[part].sum() > 0:
                weights[part] *= share / weights[part].sum()
        if weights.sum() == 0:
            raise StoreError(
                "no features of these sets are ready", path=store_root, hint="First run: maskwright-models features"
            )
        self.weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> Sample:
        """One random view with ``objects`` objects (repeated where it has fewer)."""
        while True:
            which = int(rng.choice(len(self.datasets), p=self.weights))
            number, round_ = (int(v) for v in self.views[which][rng.integers(len(self.views[which]))])
            sample = self.load(which, number, round_, rng)
            if sample is not None:
                return sample

    def load(self, which: int, number: int, round_: int, rng: np.random.Generator) -> Sample | None:
        """A given view with random objects, None where it shows none that is large enough."""
        dataset, store = self.datasets[which], self.stores[which]
        entry = dataset.images[number]
        rgb, crop, transform = input_of(dataset, number, round_, INPUT_SIZE)
        path = entry.maps[int(rng.integers(len(entry.maps)))]
        index = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if index is None:
            raise ScanError("not a readable index map", path=path, hint="Replace the file or take it out of the set.")
        index = crop.apply(index)
        scale = (LOGITS / max(index.shape)) ** 2
        counts = np.bincount(index.reshape(-1))
        counts[0] = 0
        ids = np.nonzero(counts * scale >= SMALLEST_PX)[0]
        if len(ids) == 0:
            return None
        chance = np.sqrt(counts[ids].astype(float))
        truths = []
        for _ in range(self.objects):
            chosen = [int(rng.choice(ids, p=chance / chance.sum()))]
            if dataset.modality == "photo" and len(ids) > 1 and rng.random() < 0.12:
                chosen.append(int(rng.choice(_neighbours(index, chosen[0], ids))))
            truth = object_map(np.isin(index, chosen), transform)
            if truth.sum() >= SMALLEST_PX // 2:
                truths.append(truth)
        if not truths:
            return None
        while len(truths) < self.objects:
            truths.append(truths[0])
        tokens = store.read(View(0, view_index(dataset, number, round_))).arrays[0][0]
        valid = object_map(np.ones(index.shape[:2], bool), transform)
        return Sample(tokens, normalised(rgb, transform.inner_yx)[0], np.stack(truths), valid)

    def batches(self, size: int, *, seed: int, ahead: int = 4) -> Iterator[list[Sample]]:
        """Endless batches of ``size`` views, drawn in a background thread; the same ``seed`` gives the same ones."""
        ready: queue.Queue[list[Sample] | BaseException] = queue.Queue(maxsize=ahead)
        rng = np.random.default_rng(seed)

        def fill() -> None:
            try:
                while True:
                    ready.put([self.draw(rng) for _ in range(size)])
            except BaseException as error:  # handed to the trainer, which raises it
                ready.put(error)

        threading.Thread(target=fill, daemon=True).start()
        while True:
            batch = ready.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch


def _neighbours(index: np.ndarray, chosen: int, ids: np.ndarray) -> np.ndarray:
    """Objects that touch ``chosen`` in the map, all others where none does."""
    grown = cv2.dilate((index == chosen).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    touching = np.intersect1d(np.unique(index[grown]), ids)
    touching = touching[touching != chosen]
    return touching if len(touching) else ids[ids != chosen]
