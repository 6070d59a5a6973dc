"""COCO panoptic, which InterFormer trains on: one picture an image whose colour is the number of a segment.

``annotations/panoptic_train2017.json`` with the pictures in the folder of the same name, images in ``train2017/``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from maskwright.core.errors import ScanError
from maskwright_models.data.index import Dataset, ImageEntry, LazyMap
from maskwright_models.data.layouts.coco import ignored_names, image_folders
from maskwright_models.data.layouts.files import images_in, read_json, words

_STUFF = (" merged", " other", " stuff")


def sniff(folder: Path, split: str) -> bool:
    """Whether there is a list of segments with its folder of pictures."""
    return _file(folder, split) is not None


def _file(folder: Path, split: str) -> Path | None:
    found = [f for p in ("annotations/panoptic_{}*.json", "panoptic_{}*.json") for f in folder.glob(p.format(split))]
    return next((f for f in sorted(found) if f.with_suffix("").is_dir()), None)


def read(folder: Path, split: str) -> Dataset:
    """One set, things and stuff; crowds are ignored. Images without a picture of segments are passed over."""
    file = _file(folder, split)
    if file is None:
        raise ScanError("there is no panoptic list with its pictures", path=folder, hint="Unpack both.")
    data = read_json(file, what="the list of segments")
    images: dict[str, Path] = {}
    for place in image_folders(folder, file, split):
        images = {**images_in(place), **images}
    ignored, entries = ignored_names(folder, split), []
    try:
        names = {c["id"]: _text(str(c["name"])) for c in data["categories"]}
        for one in data["annotations"]:
            picture = file.with_suffix("") / Path(str(one["file_name"])).name
            image = images.get(picture.stem)
            if image is None or picture.stem in ignored or not picture.is_file():
                continue
            shown = [
                (int(s["id"]), names.get(s["category_id"], ""), bool(s.get("iscrowd"))) for s in one["segments_info"]
            ]
            things = tuple(number for number, _, crowd in shown if not crowd)
            crowds = tuple(number for number, _, crowd in shown if crowd)
            segments = LazyMap(picture.name, partial(_decode, picture, things, crowds))
            texts = [text for _, text, crowd in shown if not crowd]
            entries.append(
                ImageEntry(image, (segments,), {(segments.name, k): t for k, t in enumerate(texts, start=1)})
            )
    except (KeyError, TypeError, ValueError) as error:
        raise ScanError(
            f"not a panoptic list ({error} is missing or odd)", path=file, hint="Choose another file."
        ) from error
    if not entries:
        raise ScanError(
            f"none of the {len(data['annotations'])} images of this list is here",
            path=file,
            hint=f"Put them into {split}2017/.",
        )
    return Dataset(folder.name, "natural", "photo", tuple(entries))


def _text(name: str) -> str:
    text = words(name.replace("-", " "))
    for ending in _STUFF:
        text = text.removesuffix(ending)
    return text


def _decode(path: Path, segments: tuple[int, ...], crowds: tuple[int, ...]) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ScanError("not a readable picture of segments", path=path, hint="Download it again.")
    blue, green, red = (picture[..., k].astype(np.int32) for k in range(3))
    number = red + 256 * green + 65536 * blue
    index = np.zeros(number.shape, np.int32)
    for k, segment in enumerate(segments, start=1):
        index[number == segment] = k
    index[np.isin(number, crowds)] = -1
    return index
