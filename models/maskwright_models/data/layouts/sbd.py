"""SBD (Hariharan et al., 2011): photos with instance maps in MATLAB files.

``img/NAME.jpg``, ``inst/NAME.mat`` with ``GTinst.Segmentation`` and ``GTinst.Categories``, ``train.txt``, ``val.txt``;
in ``dataset/`` or ``benchmark_RELEASE/dataset/`` as unpacked. For training, objects that fill less than 8 % of their
box are left out, as RITM does: they are outlines by mistake. Tests have all of them, as InterFormer's do.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from maskwright.core.errors import ScanError
from maskwright_models.data.index import Dataset, ImageEntry, LazyMap
from maskwright_models.data.layouts.files import images_in, read_names

CLASSES = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow dining-table dog horse motorbike person potted-plant "
    "sheep sofa train tv-monitor"
)
LEAST_FILLED = 0.08


def sniff(folder: Path, split: str) -> bool:
    """Whether instance maps and the list of the split are there, here or in the folders it unpacks to."""
    return _place(folder, split) is not None


def _place(folder: Path, split: str) -> Path | None:
    places = (folder, folder / "dataset", folder / "benchmark_RELEASE" / "dataset")
    return next((p for p in places if (p / "inst").is_dir() and (p / f"{split}.txt").is_file()), None)


def read(folder: Path, split: str) -> Dataset:
    """One set. Every instance map is read once, for the classes and shapes of its objects."""
    place = _place(folder, split)
    if place is None:
        raise ScanError(f"there are no instance maps with {split}.txt", path=folder, hint="Unpack the set again.")
    images, names = images_in(place / "img"), [n.replace("-", " ") for n in CLASSES.split()]
    entries = []
    for name in read_names(place / f"{split}.txt"):
        if name not in images:
            raise ScanError(
                f"{split}.txt names an image that is not there: {name}",
                path=place / "img",
                hint="Unpack the set again.",
            )
        path = place / "inst" / f"{name}.mat"
        index, categories = _read(path)
        wanted = [k for k in range(1, int(index.max(initial=0)) + 1) if (index == k).any()]
        if split == "train":
            wanted = [k for k in wanted if _filled(index == k) >= LEAST_FILLED]
        one = LazyMap(path.name, partial(_decode, path, tuple(wanted)))
        texts = {k: int(categories[k - 1]) if k <= len(categories) else 0 for k in wanted}
        labels = {(one.name, k): names[c - 1] if 1 <= c <= len(names) else "" for k, c in texts.items()}
        if labels:
            entries.append(ImageEntry(images[name], (one,), labels))
    if not entries:
        raise ScanError("there is no object in this set", path=place, hint="Unpack the set again.")
    return Dataset(folder.name, "natural", "photo", tuple(entries))


def _filled(mask: np.ndarray) -> float:
    """Share of its box that a mask fills."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(mask.sum()) / ((ys[-1] - ys[0] + 1) * (xs[-1] - xs[0] + 1))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(Y, X) int32 and the class of each object."""
    from scipy.io import loadmat

    try:
        held = loadmat(path)["GTinst"][0, 0]
        index = np.asarray(held["Segmentation"], np.int32)
        if index.ndim != 2:
            raise ValueError(f"{index.ndim} dimensions")
        return index, np.asarray(held["Categories"]).reshape(-1)
    except OSError as error:
        raise ScanError("the instance map is not there", path=path, hint="Unpack the set again.") from error
    except Exception as error:  # the MATLAB reader raises whatever damaged bytes lead it to
        raise ScanError(f"not an instance map of SBD ({error})", path=path, hint="Unpack the set again.") from error


def _decode(path: Path, wanted: tuple[int, ...]) -> np.ndarray:
    index, _ = _read(path)
    return np.where(np.isin(index, wanted), index, 0)
