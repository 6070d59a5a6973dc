"""COCO instance segmentation: writer and its reading back through pycocotools. The reader is ``coco_reader``.

Layout of what is written: ``annotations.json`` and ``images/``, the root that the file names in it are relative to.
A photo is one image entry; a volume has one for each annotated slice, ``NAME#z0012.png``.

Coordinates of polygons and boxes count from the upper left corner of the image, as pycocotools takes them: half a pixel
more than the pixel-centre coordinates used everywhere else here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.annotation import AnnotationObject
from maskwright.core.errors import ExportError
from maskwright.core.labels import LabelSet
from maskwright.core.mask import Mask, polygons, rle
from maskwright.core.outline import signed_area
from maskwright.io.datasets import pictures
from maskwright.io.datasets.items import (
    Item,
    Options,
    dataset_names,
    labels_of,
    slice_name,
    slices_of,
)

JSON_NAME = "annotations.json"
PICTURES = "images"
_DEFAULT = Options()


def accepts(item: Item) -> str:
    """Every item can be written."""
    del item
    return ""


def write(items: Sequence[Item], folder: Path, options: Options = _DEFAULT) -> list[str]:
    """Write the annotations and pictures; returns a sentence on the objects that polygons could not hold."""
    labels = labels_of(items)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    kept_runs: Counter[str] = Counter()
    if options.pictures:
        (folder / PICTURES).mkdir()
    for item, name in zip(items, dataset_names(items), strict=True):
        writer = pictures.PictureWriter(item, name=name, folder=folder / PICTURES)
        for index, shown in _slices(item):
            file_name = writer.write(index) if options.pictures else _unwritten_name(item, name, index)
            images.append(_image(item, file_name=file_name, image_id=len(images) + 1, name=name, index=index))
            for one, mask in shown:
                entry, reason = _annotation(one, mask, want_polygons=options.polygons)
                kept_runs += Counter([reason] if reason else [])
                annotations.append({"id": len(annotations) + 1, "image_id": len(images), **entry})
    data = {
        "info": {"description": "Exported by maskwright", "version": "1.0"},
        "licenses": [],
        "categories": _categories(labels),
        "images": images,
        "annotations": annotations,
    }
    with (folder / JSON_NAME).open("w", encoding="utf-8") as stream:
        json.dump(data, stream, ensure_ascii=False)
    return [
        f"{n} of {len(annotations)} masks {'stay' if n > 1 else 'stays'} run lengths: {reason}"
        for reason, n in sorted(kept_runs.items())
    ]


def check(items: Sequence[Item], folder: Path, options: Options = _DEFAULT) -> None:
    """Read everything back with pycocotools and compare pixel by pixel; ExportError on the first difference."""
    path = folder / JSON_NAME
    coco = open_with_pycocotools(path)
    labels = labels_of(items)
    if {one["id"]: one["name"] for one in coco.dataset["categories"]} != {one.id: one.name for one in labels}:
        raise ExportError("the categories read back differently", path=path)
    by_image: dict[int, list[dict[str, Any]]] = {}
    for entry in coco.dataset["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    images = iter(coco.dataset["images"])
    sizes: dict[str, tuple[int, int]] = {}
    n_images = 0
    for item in items:
        for index, shown in _slices(item):
            image = next(images, None)
            if image is None:
                raise ExportError("the export has fewer images than it should", path=path)
            sizes[Path(image["file_name"]).stem] = (item.geometry.shape_zyx[1], item.geometry.shape_zyx[2])
            _compare(coco, by_image.get(image["id"], []), shown, where=f"{item.name}, slice {index}", path=path)
            n_images += 1
    expected = sum(len(shown) for item in items for _, shown in _slices(item))
    if len(coco.dataset["images"]) != n_images or len(coco.dataset["annotations"]) != expected:
        raise ExportError("the export has more images or masks than it should", path=path)
    if options.pictures:
        pictures.check(folder / PICTURES, sizes)


def open_with_pycocotools(path: Path) -> Any:
    """Open a file as ``pycocotools.coco.COCO`` does, without what that prints; ExportError if it cannot be read."""
    from pycocotools.coco import COCO

    coco: Any = COCO()
    try:
        coco.dataset = json.loads(path.read_text(encoding="utf-8"))
        coco.imgs = {one["id"]: one for one in coco.dataset["images"]}
        coco.anns = {one["id"]: one for one in coco.dataset["annotations"]}
        coco.cats = {one["id"]: one for one in coco.dataset["categories"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"the annotations cannot be read back ({error})", path=path) from error
    return coco


def _slices(item: Item) -> Iterator[tuple[int, list[tuple[AnnotationObject, Mask]]]]:
    objects = slices_of(item)
    for index in sorted({z for _, per_slice in objects for z in per_slice}):
        yield index, [(one, per_slice[index]) for one, per_slice in objects if index in per_slice]


def _unwritten_name(item: Item, name: str, index: int) -> str:
    """File name of a picture that is not written: that of the photo itself, or of a slice that can be made from it."""
    return item.name if item.is_photo else slice_name(name, index, item.geometry) + ".png"


def _image(item: Item, *, file_name: str, image_id: int, name: str, index: int) -> dict[str, Any]:
    _, height, width = item.geometry.shape_zyx
    entry = {"id": image_id, "file_name": file_name, "width": width, "height": height}
    return entry if item.geometry.shape_zyx[0] == 1 else {**entry, "scan": name, "slice": index}


def _categories(labels: LabelSet) -> list[dict[str, Any]]:
    entries = []
    for one in labels:
        entry = {"id": one.id, "name": one.name, "supercategory": "", "color": list(one.color), "code": one.code}
        entries.append({**entry, "attributes": dict(one.attributes)} if one.attributes else entry)
    return entries


def _annotation(one: AnnotationObject, mask: Mask, *, want_polygons: bool) -> tuple[dict[str, Any], str]:
    """Entry of one mask without its ids, and why it has run lengths although polygons were asked for."""
    y0, x0, y1, x1 = mask.box
    segmentation, reason = _polygons(mask) if want_polygons else (None, "")
    entry = {
        "category_id": one.label_id,
        "segmentation": _runs(mask) if segmentation is None else segmentation,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": mask.area,
        "iscrowd": 0,
        "attributes": {"object_id": one.id} if one.score is None else {"object_id": one.id, "score": one.score},
    }
    return entry, reason


def _runs(mask: Mask) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    height, width = mask.shape_yx
    plain: Any = {"size": [height, width], "counts": rle(mask)}
    packed: Any = coco_mask.frPyObjects(plain, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}


def _polygons(mask: Mask) -> tuple[list[list[float]] | None, str]:
    """Polygons that pycocotools turns into this very mask, or None and the reason why there are none."""
    from pycocotools import mask as coco_mask

    rings = polygons(mask)
    if any(signed_area(ring) < 0 for ring in rings):
        return None, "they have holes, which COCO polygons cannot hold"
    flat: Any = [(ring + 0.5).ravel().tolist() for ring in rings]
    back = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *mask.shape_yx)))
    if not np.array_equal(back.astype(np.bool_), mask.to_array()):
        return None, "pycocotools does not draw their outline back exactly"
    return flat, ""


def _compare(
    coco: Any,
    entries: list[dict[str, Any]],
    shown: list[tuple[AnnotationObject, Mask]],
    *,
    where: str,
    path: Path,
) -> None:
    from pycocotools import mask as coco_mask

    by_object = {entry["attributes"]["object_id"]: entry for entry in entries}
    if len(entries) != len(shown) or by_object.keys() != {one.id for one, _ in shown}:
        raise ExportError(f"{where} has {len(entries)} masks instead of {len(shown)}", path=path)
    for one, mask in shown:
        entry = by_object[one.id]
        runs = coco.annToRLE(entry)
        same = (
            np.array_equal(coco_mask.decode(runs).astype(np.bool_), mask.to_array())
            and int(coco_mask.area(runs)) == entry["area"]
            and coco_mask.toBbox(runs).tolist() == entry["bbox"]
            and entry["category_id"] == one.label_id
        )
        if not same:
            raise ExportError(f"object {one.id} of {where} reads back differently", path=path)
