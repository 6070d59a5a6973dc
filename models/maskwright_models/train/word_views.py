"""Views as words see them, kept in memory: what the neck makes of the trunk's tokens, and where each label is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskwright.core.volume import View
from maskwright_models.data.index import read_map
from maskwright_models.data.samples import SampleSource, to_grid
from maskwright_models.data.views import place_of, view_index
from maskwright_models.data.words import other_side, taught
from maskwright_models.train.batch import half_precision
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, TOKENS, Neck

MOST_LABELS = 16
"""Labels of a view that are taught in one step."""


@dataclass(frozen=True, slots=True, eq=False)
class WordView:
    """One view: ``tokens`` (1024, C) bfloat16, ``names`` of its labels and their ``shares`` (L, 32, 32) float16.

    ``shown`` are the labels of all maps of the image, ``which`` is its set.
    """

    tokens: Tensor
    names: tuple[str, ...]
    shares: np.ndarray
    shown: frozenset[str]
    which: int


def read_views(
    source: SampleSource, neck: Neck, *, on_view: Callable[[int, int], None] | None = None
) -> list[WordView]:
    """All views of ``source`` that have a label with words; one for each index map of an image."""
    places = [(which, int(n), int(r)) for which, views in enumerate(source.views) for n, r in views]
    places = [p for p in places if any(source.datasets[p[0]].images[p[1]].labels.values())]
    found: list[WordView] = []
    with ThreadPoolExecutor(2) as pool:
        for done, views in enumerate(pool.map(lambda place: _views(source, neck, *place), places)):
            found += views
            if on_view is not None:
                on_view(done + 1, len(places))
    return found


def _views(source: SampleSource, neck: Neck, which: int, number: int, round_: int) -> list[WordView]:
    dataset, words = source.datasets[which], source.words
    entry = dataset.images[number]
    crop, transform = place_of(dataset, number, round_, INPUT_SIZE)
    turned: Callable[[str], str] = other_side if crop.mirrored else str
    shown = frozenset(turned(name) for name in entry.labels.values() if name)
    tokens, found = None, []
    for path in entry.maps:
        index = crop.apply(read_map(path))
        ids: dict[str, list[int]] = {}
        for i in np.unique(index).tolist():
            name = turned(entry.labels.get((path.name, i), ""))
            if name and words is not None and words.phrases(name):
                ids.setdefault(name, []).append(i)
        if not ids:
            continue
        if tokens is None:
            tokens = _coarse(source, neck, which, view_index(dataset, number, round_))
        shares = np.stack([to_grid(np.isin(index, some), transform, TOKENS) for some in ids.values()])
        found.append(WordView(tokens, tuple(ids), shares.astype(np.float16), shown, which))
    return found


def _coarse(source: SampleSource, neck: Neck, which: int, index: int) -> Tensor:
    device = neck.join.weight.device
    tokens = torch.from_numpy(source.stores[which][0].read(View(0, index)).arrays[0]).to(device)
    with torch.inference_mode(), half_precision(device):
        return neck.joined(tokens.float())[0].flatten(1).T.to(torch.bfloat16).cpu().contiguous()


def drawn(source: SampleSource, view: WordView, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sentence vectors (L, 384) and shares (L, 32, 32) of some labels of a view and of some that it does not show."""
    places = dict(zip(view.names, view.shares, strict=True))
    return taught(
        source.words,
        view.names,
        lambda: source.absent.draw(view.which, set(view.shown), rng),
        lambda name: places[name].astype(np.float32),
        rng,
        most=MOST_LABELS,
    )
