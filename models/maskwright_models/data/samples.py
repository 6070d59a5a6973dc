"""Training samples: a view with its frozen features, and a few of its objects as masks at stride 2."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import StoreError
from maskwright.core.preprocess import SliceTransform
from maskwright.core.volume import View
from maskwright_models.data.features import Frozen, open_store
from maskwright_models.data.index import Dataset, read_map
from maskwright_models.data.views import ROUNDS, place_of, view_index
from maskwright_models.data.words import Absent, Words, other_side, taught
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
    tokens whose first row and column they are. ``asked`` (M,) bool: the first prompt is the text, whose sentence vector
    is in ``text`` (M, 384) float32. ``words`` (L, 384) float32 are those of labels, and ``shares`` (L, 32, 32) float32
    how much of each token the label covers, all its objects together.
    """

    tokens: np.ndarray
    stem: tuple[np.ndarray, ...]
    truths: np.ndarray
    valid: np.ndarray
    asked: np.ndarray
    text: np.ndarray
    words: np.ndarray = field(default_factory=lambda: np.zeros((0, TEXT_WIDTH), np.float32))
    shares: np.ndarray = field(default_factory=lambda: np.zeros((0, TOKENS, TOKENS), np.float32))
    corners: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of what is drawn.

    Of scans, of objects asked for by text, of those that the image does not show, of objects joined with a neighbour,
    and of batches that look at windows around small objects, which cost a quarter.
    """

    medical: float = 0.45
    text: float = 0.35
    absent: float = 0.3
    joined: float = 0.12
    windows: float = 0.5


def to_grid(mask: np.ndarray, transform: SliceTransform, cells: int = LOGITS) -> np.ndarray:
    """(Y, X) bool at the size of the view -> (cells, cells) float32, the share of each cell that is covered."""
    inner_h, inner_w = transform.inner_yx
    shrink = inner_h < mask.shape[0]
    how = cv2.INTER_AREA if shrink else cv2.INTER_LINEAR
    full = np.zeros((INPUT_SIZE, INPUT_SIZE), np.float32)
    full[:inner_h, :inner_w] = cv2.resize(mask.astype(np.float32), (inner_w, inner_h), interpolation=how)
    return cv2.resize(full, (cells, cells), interpolation=cv2.INTER_AREA)


def best_cells(share: np.ndarray) -> np.ndarray:
    """The cells that together have the greatest Dice with the mask, bool, from the share of each that is covered.

    Where a thing is thick these are the cells that are covered by half; of a vessel, also those covered by a third.
    """
    order = np.sort(share[share > 0])[::-1]
    if not len(order):
        return np.zeros(share.shape, bool)
    dice = np.cumsum(order) / (np.arange(1, len(order) + 1) + order.sum())
    return share >= order[int(dice.argmax())]


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
        self.absent = Absent(datasets)
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
        return tuple(
            sorted({n for names, v in zip(self.absent.labels, self.views, strict=True) if len(v) for n in names})
        )

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
        shown = set(entry.labels.values()) - {""}  # those of the image's other maps as well
        if crop.mirrored:
            names = {i: other_side(name) for i, name in names.items()}
            shown = {other_side(name) for name in shown}
        chance = np.sqrt(counts[ids].astype(float))
        picks = (int(i) for i in rng.choice(ids, WINDOW_OBJECTS if windows else self.objects, p=chance / chance.sum()))
        if windows:
            drawn = [_windowed(best_cells(to_grid(index == i, transform)), rng) for i in picks]
        else:
            drawn = [self._object(index, names, shown, ids, i, which, transform, rng) for i in picks]
        found = [d for d in drawn if d is not None]
        if not found:
            return None
        parts = [np.stack(part) for part in zip(*(found * len(drawn))[: len(drawn)], strict=True)]
        view = View(0, view_index(dataset, number, round_))
        tokens, *stem = (a[0] for store in self.stores[which] for a in store.read(view).arrays)
        valid = to_grid(np.ones(index.shape[:2], bool), transform) >= 0.5
        words, shares = taught(
            self.words,
            sorted({name for name in names.values() if name}),
            lambda: self.absent.draw(which, shown, rng),
            lambda name: to_grid(np.isin(index, [i for i in names if names[i] == name]), transform, TOKENS),
            rng,
        )
        if not windows:
            truths, asked, text = parts
            return Sample(
                tokens, tuple(stem), truths, np.repeat(valid[None], len(truths), 0), asked, text, words, shares
            )
        truths, corners = parts
        valid = np.stack([_cut(valid, corner) for corner in corners])
        text = np.zeros((len(truths), TEXT_WIDTH), np.float32)
        return Sample(tokens, tuple(stem), truths, valid, np.zeros(len(truths), bool), text, words, shares, corners)

    def _object(
        self,
        index: np.ndarray,
        names: Mapping[int, str],
        shown: set[str],
        ids: np.ndarray,
        chosen: int,
        which: int,
        transform: SliceTransform,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, ...] | None:
        """Truth, whether text asks for it, and its sentence vector."""
        label, mix = names[chosen], self.mix
        vector = self.words.draw(label, rng) if self.words is not None and rng.random() < mix.text else None
        text = np.zeros(TEXT_WIDTH, np.float32) if vector is None else vector.astype(np.float32)
        if vector is not None and self.words is not None and rng.random() < mix.absent:
            absent = self.words.draw(self.absent.draw(which, shown, rng), rng)
            if absent is not None:
                return np.zeros((LOGITS, LOGITS), bool), np.array(1, bool), absent.astype(np.float32)
        members = [chosen] if vector is None else [i for i, name in names.items() if name == label]
        photo = self.datasets[which].group != "medical"
        if vector is None and photo and len(ids) > 1 and rng.random() < mix.joined:
            members = [chosen, int(rng.choice(_neighbours(index, chosen, ids)))]
        truth = best_cells(to_grid(np.isin(index, members), transform))
        if truth.sum() < SMALLEST_PX // 2:
            return None
        return truth, np.array(vector is not None), text

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
