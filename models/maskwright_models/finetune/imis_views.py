"""What IMIS-Net is trained on: an image with several of its labelled objects and several regions found automatically.

Source: the published training code of IMIS-Bench (CVPR 2025): stretched to the square, the nearest pixel, objects drawn
without repetition where there are enough, intensities scaled and shifted by chance, regions cleaned.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from maskwright.core.preprocess import STRETCH_CENTRES, SliceTransform, normalised
from maskwright_models.data.index import ImageEntry, read_map
from maskwright_models.data.views import read_rgb
from maskwright_models.finetune.interformer_views import nearest
from maskwright_models.finetune.pictures import is_regions, raw_map

CHANGE, CHANGE_CHANCE = 0.2, 0.2
"""Largest relative and absolute change of normalised intensities, and the chance of each."""
LEAST_SHARE = 0.0005
"""Regions and islands that cover less of the image are left out."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True, slots=True, eq=False)
class MasksView:
    """An image with M objects and M regions.

    ``image`` (3, S, S) float32 normalised; ``truths`` (M, S, S) bool objects, ``texts`` their labels, empty where
    unknown; ``regions`` (M, S, S) bool, or (0, S, S) where the set has none.
    """

    image: np.ndarray
    truths: np.ndarray
    texts: tuple[str, ...]
    regions: np.ndarray


def masks_view(entry: ImageEntry, rng: np.random.Generator, *, size: int, masks: int) -> MasksView | None:
    """``masks`` objects and regions of an image; None where it has no object. Raises ScanError for damaged files."""
    shape = (size, size)
    objects: list[tuple[np.ndarray, str]] = []
    regions: list[np.ndarray] = []
    for source in entry.maps:
        if is_regions(entry, source):
            regions += cleaned_regions(nearest(raw_map(source), shape))
            continue
        index = nearest(np.asarray(read_map(source), np.int32), shape)
        objects += [(index == k, entry.labels.get((source.name, int(k)), "")) for k in np.unique(index[index > 0])]
    if not objects:
        return None
    picture = read_rgb(entry.image)
    rgb = SliceTransform((picture.shape[0], picture.shape[1]), size, STRETCH_CENTRES).image_to_input(picture)
    chosen = [objects[i] for i in _some(len(objects), masks, rng)]
    kept = [regions[i] for i in _some(len(regions), masks, rng)] if regions else []
    return MasksView(
        changed(normalised(rgb, shape)[0], rng),
        np.stack([mask for mask, _ in chosen]),
        tuple(text for _, text in chosen),
        np.stack(kept) if kept else np.zeros((0, *shape), bool),
    )


def changed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Normalised intensities times 0.8 to 1.2 and 0.2 more or less, each one time in five."""
    factor = rng.uniform(-CHANGE, CHANGE) if rng.random() < CHANGE_CHANCE else 0.0
    shift = rng.uniform(-CHANGE, CHANGE) if rng.random() < CHANGE_CHANCE else 0.0
    return (image * (1 + factor) + shift).astype(np.float32)


def cleaned_regions(index: np.ndarray) -> list[np.ndarray]:
    """Masks of the regions of a (Y, X) map that are large enough, opened, closed, and without islands."""
    least = LEAST_SHARE * index.size
    found = []
    for number in np.unique(index[index > 0]):
        mask = (index == number).astype(np.uint8)
        if mask.sum() < least:
            continue
        for how in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
            mask = cv2.morphologyEx(mask, how, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= least]
        if large:
            found.append(np.isin(parts, large))
    return found


def _some(count: int, wanted: int, rng: np.random.Generator) -> list[int]:
    """``wanted`` of ``count`` numbers, repeated only where there are fewer."""
    return [int(i) for i in rng.choice(count, wanted, replace=count < wanted)]
