"""GrabCut, Berkeley and DAVIS, as RITM and InterFormer test on them: one mask a picture, one object a mask.

Folders of images and masks are ``img/`` and ``gt/``, ``images/`` and ``masks/``, or ``data_GT/`` and ``boundary_GT/``.
A mask is named as its image, or that with ``#001`` and so on behind. In the second case, where it has a 1 in it, that
is the object and 255 is ignored. Else all that is not black is the object, but for the grey 128, which is ignored; in
``gt/`` it is not (DAVIS as RITM has it).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from maskwright.core.errors import ScanError
from maskwright_models.data.index import Dataset, ImageEntry, LazyMap
from maskwright_models.data.layouts.files import images_in

_PAIRS = (("img", "gt"), ("images", "masks"), ("data_GT", "boundary_GT"))


def sniff(folder: Path, split: str) -> bool:
    """Whether two such folders are there; these sets have no splits, and only ``val`` finds them."""
    return split == "val" and _pair(folder) is not None


def _pair(folder: Path) -> tuple[Path, Path] | None:
    pairs = ((folder / a, folder / b) for a, b in _PAIRS)
    return next(((a, b) for a, b in pairs if a.is_dir() and b.is_dir()), None)


def read(folder: Path, split: str) -> Dataset:
    """One set; raises ScanError for an image without a mask."""
    del split
    pair = _pair(folder)
    if pair is None:
        raise ScanError("there are no folders of images and masks", path=folder, hint="They are img/ and gt/.")
    masks: dict[str, list[Path]] = {}
    for path in images_in(pair[1]).values():
        masks.setdefault(path.stem.split("#")[0], []).append(path)
    entries = []
    for name, image in images_in(pair[0]).items():
        if name not in masks:
            raise ScanError(
                "no mask has the name of this image", path=image, hint="Masks are NAME.png or NAME#001.png."
            )
        maps = tuple(LazyMap(path.name, partial(_decode, path)) for path in masks[name])
        entries.append(ImageEntry(image, maps, {(one.name, 1): "" for one in maps}))
    if not entries:
        raise ScanError("there is no image here", path=pair[0], hint="Unpack the set again.")
    return Dataset(folder.name, "natural", "photo", tuple(entries))


def _decode(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            values = np.array(picture)
    except (OSError, UnidentifiedImageError) as error:
        raise ScanError("not a readable mask", path=path, hint="Unpack the set again.") from error
    if values.ndim == 3:
        colours = values[..., :3]
        grey = bool((colours == colours[..., :1]).all())
        values = colours[..., 0] if grey else np.where(colours.any(axis=2), 255, 0)
    values = values.astype(np.int32)
    if "#" in path.stem and (values == 1).any():
        return np.where(values == 1, 1, np.where(values == 255, -1, 0))
    index = (values > 0).astype(np.int32)
    if path.parent.name != "gt" or "#" in path.stem:
        index[values == 128] = -1
    return index
