"""Training samples: a view with its frozen features, and a few of its objects as masks at stride 2."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import StoreError
from maskwright.core.preprocess import SliceTransform
from maskwright.core.volume import View
from maskwright_models.data.features import Frozen, open_store
from maskwright_models.data.index import Dataset, read_map
from maskwright_models.data.views import ROUNDS, place_of, view_index
from maskwright_models.data.vocabulary import Vocabulary
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, TEXT_WIDTH, TOKENS

WINDOW = TOKENS // 2
"""Side of a training window, in tokens."""
WINDOW_OBJECTS = 8
"""Objects of a view that windows are cut around."""
EMPHASIS = {
    "COCO_instances": 3.0,
    "ECSSD": 2.0,
    "BSDS500": 0.6,
    "BuildingFacade": 0.4,
    "CCP": 0.6,
    "CWFID": 0.4,
    "CamVid": 0.4,
    "CarParts": 0.5,
    "CrackForest": 0.3,
    "LabelMeFacade": 0.5,
}
"""Photo sets drawn more, or less, often than their size says: a first click mostly means a whole thing, not a part."""
SMALLEST_PX = 24
"""Objects with fewer pixels of the 256 x 256 map are not sampled."""
MOST_TRIES, MOST_WINDOW_TRIES = 2000, 100
"""Views drawn in a row that show nothing of a size to train on, before the sets are taken to have nothing."""
HELD_EVERY = 40
"""One image in so many is never trained on: the validation curve and the calibration of scores stand on them."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One view with M objects.

    ``tokens`` (1536, 32, 32) and ``stem``, (24, 128, 128) and (40, 64, 64), are float16 features, ``truths`` and
    ``valid`` (M, 256, 256) bool; where ``corners`` (M, 2) int are given, (M, 128, 128) bool over a window of 16 x 16
    tokens whose first row and column they are. ``asked`` (M,) bool: the first prompt is the text. ``text`` (M, 384)
    float32 is the sentence vector of the object's label where ``known`` (M,) bool, and ``named`` (M, 32, 32) float32
    how much of each token the label covers, all its objects together.
    """

    tokens: np.ndarray
    stem: tuple[np.ndarray, ...]
    truths: np.ndarray
    valid: np.ndarray
    asked: np.ndarray
    text: np.ndarray
    known: np.ndarray
    named: np.ndarray
    corners: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of what is drawn.

    Of scans, of objects asked for by text, of those that the image does not show, of objects joined with a neighbour,
    and of batches that look at windows around small objects, which cost a quarter.
    """

    medical: float = 0.45
    text: float = 0.15
    absent: float = 0.3
    joined: float = 0.12
    windows: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Sentence vectors of all phrases, and the phrases of each label."""

    vocabulary: Vocabulary
    vectors: Mapping[str, np.ndarray]

    def draw(self, label: str, rng: np.random.Generator) -> np.ndarray | None:
        """Vector of the label or of one of its synonyms, None where it has none."""
        phrases = [p for p in self.vocabulary.phrases(label) if p in self.vectors] if label else []
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


def to_grid(mask: np.ndarray, transform: SliceTransform, cells: int = LOGITS) -> np.ndarray:
    """(Y, X) bool at the size of the view -> (cells, cells) float32, the share of each cell that is covered."""
    inner_h, inner_w = transform.inner_yx
    shrink = inner_h < mask.shape[0]
    how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    full = np.zeros((INPUT_SIZE, INPUT_SIZE), np.float32)
    full[:inner_h, :inner_w] = cv2.resize(mask.astype(np.float32), (inner_w, inner_h), interpolation=how)
    return cv2.resize(full, (cells, cells), interpolation=cv2.INTER_AREA)


class SampleSource:
    """Draws views and objects: sets by the root of their size, photos against scans by ``mix.medical``."""

    def __init__(
        self,
        datasets: list[Dataset],
        store_root: Path,
        parts: Sequence[Frozen],
        *,
        words: Words | None = None,
        rounds: int = 1,
        objects: int = 3,
        mix: Mix | None = None,
        held: bool = False,
    ) -> None:
        """``held`` draws from the images that training leaves out, instead of from all others."""
        self.datasets, self.held, self.root = datasets, held, store_root
        self.words, self.mix = words, mix or Mix()
        self.stores = [[open_store(store_root, d, part) for part in parts] for d in datasets]
        self.objects = objects
        self.rounds = min(rounds, ROUNDS)
        self.labels = [sorted({v for e in d.images for v in e.labels.values() if v}) for d in datasets]
        self.refresh()
        if not held and not self.any:
            raise StoreError(
                "no features of these sets are ready", path=store_root, hint="First run: maskwright-models features"
            )

    @property
    def any(self) -> bool:
        """Whether there is anything to draw: few images may leave none to hold back."""
        return any(map(len, self.views))

    def refresh(self) -> None:
        """Look again which views have features: they may be computed while training runs."""
        views = []
        for d, stores in zip(self.datasets, self.stores, strict=True):
            for store in stores:
                store.refresh()
            ready = np.logical_and.reduce([store.ready_flags(0) for store in stores])
            numbers = [n for n in range(len(d.images)) if (n % HELD_EVERY == HELD_EVERY // 2) == self.held]
            pairs = [(n, r) for r in range(self.rounds) for n in numbers if ready[view_index(d, n, r)]]
            views.append(np.array(pairs, int).reshape(-1, 2))
        weights = np.sqrt([float(len(v)) for v in views]) * [EMPHASIS.get(d.name, 1.0) for d in self.datasets]
        medical = np.array([d.group == "medical" for d in self.datasets])
        for part, share in ((medical, self.mix.medical), (~medical, 1 - self.mix.medical)):
            if weights[part].sum() > 0:
                weights[part] *= share / weights[part].sum()
        self.views, self.weights = views, weights / max(weights.sum(), 1e-9)

    @property
    def shown_labels(self) -> tuple[str, ...]:
        """Labels of the sets that have views, in alphabetical order."""
        return tuple(sorted({n for names, v in zip(self.labels, self.views, strict=True) if len(v) for n in names}))

    def draw(self, rng: np.random.Generator, *, windows: bool = False) -> Sample:
        """One random view with ``objects`` objects (repeated where it has fewer), or with windows around small ones.

        Raises StoreError where no view shows any.
        """
        sample = self._draw(rng, MOST_TRIES, windows=windows)
        if sample is None:
            small = " that is small enough for a window" if windows else ""
            raise StoreError(
                f"no view shows an object of {SMALLEST_PX} pixels or more{small}",
                path=self.root,
                hint="Look into the index maps of the sets.",
            )
        return sample

    def _draw(self, rng: np.random.Generator, tries: int, *, windows: bool) -> Sample | None:
        for _ in range(tries):
            which = int(rng.choice(len(self.datasets), p=self.weights))
            number, round_ = (int(v) for v in self.views[which][rng.integers(len(self.views[which]))])
            sample = self.load(which, number, round_, rng, windows=windows)
            if sample is not None:
                return sample
        return None

    def load(
        self, which: int, number: int, round_: int, rng: np.random.Generator, *, windows: bool = False
    ) -> Sample | None:
        """A given view with random objects, None where it shows none that is large (and for windows small) enough."""
        dataset = self.datasets[which]
        entry = dataset.images[number]
        crop, transform = place_of(dataset, number, round_, INPUT_SIZE)
        path = entry.maps[int(rng.integers(len(entry.maps)))]
        index = crop.apply(read_map(path))
        scale = (LOGITS / max(index.shape)) ** 2
        counts = np.bincount(index.reshape(-1))
        counts[0] = 0
        ids = np.nonzero(counts * scale >= SMALLEST_PX)[0]
        if len(ids) == 0:
            return None
        names = {int(i): entry.labels.get((path.name, int(i)), "") for i in np.nonzero(counts)[0]}
        if crop.mirrored:
            names = {i: other_side(name) for i, name in names.items()}
        chance = np.sqrt(counts[ids].astype(float))
        picks = (int(i) for i in rng.choice(ids, WINDOW_OBJECTS if windows else self.objects, p=chance / chance.sum()))
        if windows:
            drawn = [_windowed(to_grid(index == i, transform) >= 0.5, rng) for i in picks]
        else:
            drawn = [self._object(index, names, ids, i, which, transform, rng) for i in picks]
        found = [d for d in drawn if d is not None]
        if not found:
            return None
        parts = [np.stack(part) for part in zip(*(found * len(drawn))[: len(drawn)], strict=True)]
        view = View(0, view_index(dataset, number, round_))
        tokens, *stem = (a[0] for store in self.stores[which] for a in store.read(view).arrays)
        valid = to_grid(np.ones(index.shape[:2], bool), transform) >= 0.5
        if not windows:
            truths, *words = parts
            return Sample(tokens, tuple(stem), truths, np.repeat(valid[None], len(truths), 0), *words)
        truths, corners = parts
        valid = np.stack([_cut(valid, corner) for corner in corners])
        none = np.zeros(len(truths), bool)
        text, named = (
            np.zeros((len(truths), TEXT_WIDTH), np.float32),
            np.zeros((len(truths), WINDOW, WINDOW), np.float32),
        )
        return Sample(tokens, tuple(stem), truths, valid, none, text, none, named, corners)

    def _object(
        self,
        index: np.ndarray,
        names: Mapping[int, str],
        ids: np.ndarray,
        chosen: int,
        which: int,
        transform: SliceTransform,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, ...] | None:
        """Truth, whether text asks for it, sentence vector, whether there is one, and where its label is."""
        label, mix = names[chosen], self.mix
        vector = self.words.draw(label, rng) if self.words is not None else None
        same = [i for i, name in names.items() if name == label] if vector is not None else [chosen]
        asked = vector is not None and rng.random() < mix.text
        members = same if asked else [chosen]
        photo = self.datasets[which].group != "medical"
        if not asked and photo and len(ids) > 1 and rng.random() < mix.joined:
            members = [chosen, int(rng.choice(_neighbours(index, chosen, ids)))]
        truth = to_grid(np.isin(index, members), transform) >= 0.5
        named = to_grid(np.isin(index, same), transform, TOKENS)
        if asked and rng.random() < mix.absent:
            absent = self._absent(which, set(names.values()), rng)
            if absent is not None:
                vector, truth, named = absent, np.zeros_like(truth), np.zeros_like(named)
        elif truth.sum() < SMALLEST_PX // 2:
            return None
        text = np.zeros(TEXT_WIDTH, np.float32) if vector is None else vector.astype(np.float32)
        return truth, np.array(asked), text, np.array(vector is not None), named

    def _absent(self, which: int, shown: set[str], rng: np.random.Generator) -> np.ndarray | None:
        """Sentence vector of a label that the image does not show: one of its set, or of a set of the other kind."""
        others = [i for i, d in enumerate(self.datasets) if d.group != self.datasets[which].group]
        pool = self.labels[which] if rng.random() < 0.5 or not others else self.labels[int(rng.choice(others))]
        pool = [name for name in pool if name not in shown]
        return self.words.draw(str(rng.choice(pool)), rng) if pool and self.words is not None else None

    def batches(self, size: int, *, seed: int, ahead: int = 4) -> Iterator[list[Sample]]:
        """Endless batches of ``size`` views, drawn in a background thread; the same ``seed`` gives the same ones."""
        ready: queue.Queue[list[Sample] | BaseException] = queue.Queue(maxsize=ahead)
        rng = np.random.default_rng(seed)

        def fill() -> None:
            try:
                while True:
                    ready.put(self._batch(rng, size))
            except BaseException as error:  # handed to the trainer, which raises it
                ready.put(error)

        threading.Thread(target=fill, daemon=True).start()
        while True:
            batch = ready.get()
            if isinstance(batch, BaseException):
                raise batch
            yield batch

    def _batch(self, rng: np.random.Generator, size: int) -> list[Sample]:
        """Views of one kind. Where windows are rare those found are repeated, and given up where there are none."""
        if rng.random() < self.mix.windows:
            drawn = (self._draw(rng, MOST_WINDOW_TRIES, windows=True) for _ in range(size))
            found = [sample for sample in drawn if sample is not None]
            if found:
                return (found * size)[:size]
            self.mix = replace(self.mix, windows=0.0)
        return [self.draw(rng) for _ in range(size)]


def _cut(grid: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The window of a (256, 256) map whose first token is ``corner`` (row, column)."""
    cell = LOGITS // TOKENS
    (y, x), side = corner * cell, WINDOW * cell
    return grid[y : y + side, x : x + side]


def _windowed(truth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Truth in a random window that holds all of it, and the window's corner; None where it is too large or small."""
    corner, cell = [], LOGITS // TOKENS
    if truth.sum() < SMALLEST_PX // 2:
        return None
    for axis in (1, 0):
        along = np.flatnonzero(truth.any(axis))
        first, last = int(along[0]) // cell, int(along[-1]) // cell
        low, high = max(0, last + 1 - WINDOW), min(first, TOKENS - WINDOW)
        if last - first + 1 > WINDOW - 2 or low > high:
            return None
        corner.append(int(rng.integers(low, high + 1)))
    at = np.array(corner)
    return _cut(truth, at), at


def _neighbours(index: np.ndarray, chosen: int, ids: np.ndarray) -> np.ndarray:
    """Objects that touch ``chosen`` in the map, all others where none does."""
    grown = cv2.dilate((index == chosen).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    touching = np.intersect1d(np.unique(index[grown]), ids)
    touching = touching[touching != chosen]
    return touching if len(touching) else ids[ids != chosen]
