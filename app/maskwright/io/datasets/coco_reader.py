"""Reads COCO instance segmentation made by anyone: polygons, run lengths of both kinds, fields left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.annotation import AnnotationObject
from maskwright.core.errors import AnnotationError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import Color, LabelSet
from maskwright.core.mask import Mask, from_rle
from maskwright.core.rle import decode_string
from maskwright.core.volume import View
from maskwright.io.datasets.items import ImportedItem, Loaded, path_stem, split_slice_name, with_named

_NO_MASK = "only a box and no mask"
_CROWD = "a crowd, which was read as one object"
_ODD = "a polygon of fewer than three points or far outside its image"


def read(path: Path) -> list[ImportedItem]:
    """Images with annotations of a COCO file, or of the one in a folder; slices of a volume come as one item.

    Raises
    ------
    AnnotationError
        When the file is not COCO, or a field that masks depend on is missing.
    """
    file = _find(path)
    data = _parse(file)
    labels, by_category = _labels(data.get("categories") or [], file)
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    for entry in data["annotations"]:
        by_image.setdefault(_field(entry, "image_id", "annotation", file), []).append(entry)
    groups: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for image in data["images"]:
        name, index = _scan_and_slice(image, file)
        if _field(image, "id", "image", file) in by_image:
            groups.setdefault(name, []).append((index, image))
    unknown = by_image.keys() - {image["id"] for image in data["images"]}
    if unknown:
        raise AnnotationError(
            f"{sum(len(by_image[key]) for key in unknown)} annotations belong to images that are not in the file, "
            f"such as {sorted(map(str, unknown))[0]}",
            path=file,
            hint="The file is incomplete: export it again.",
        )
    items = []
    for name, members in groups.items():
        images = [(index, image, by_image[image["id"]]) for index, image in members]
        items.append(ImportedItem(name, file, partial(_load, images, labels, by_category, file)))
    return items


def _find(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted({*path.glob("*.json"), *path.glob("annotations/*.json")})
    named = [one for one in files if one.name == "annotations.json"]
    coco = named or [one for one in files if _is_coco(one)]
    if len(coco) == 1:
        return coco[0]
    if coco:
        raise AnnotationError(f"there are {len(coco)} COCO files in this folder", path=path, hint="Choose one of them.")
    raise AnnotationError("there is no COCO file in this folder", path=path)


def _is_coco(file: Path) -> bool:
    try:
        _parse(file)
    except AnnotationError:
        return False
    return True


def _parse(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise AnnotationError(f"the COCO file cannot be read ({error})", path=file) from error
    for key in ("images", "annotations"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise AnnotationError(f'this is not a COCO file: it has no list "{key}"', path=file)
        if not all(isinstance(one, dict) for one in data[key]):
            raise AnnotationError(f'this is not a COCO file: "{key}" holds something else than entries', path=file)
    return data


def _labels(categories: list[Any], file: Path) -> tuple[LabelSet, dict[Any, int]]:
    """Labels, and which of them each category id means. A label keeps the id of its category where that is possible."""
    labels = LabelSet()
    by_category: dict[Any, int] = {}
    for one in categories:
        if not isinstance(one, dict):
            raise AnnotationError("a category is not an entry", path=file)
        number = _field(one, "id", "category", file)
        usable = isinstance(number, int) and number >= 1 and number not in labels
        label_id = number if usable else labels.next_id
        labels = with_named(labels, label_id, str(one.get("name") or f"Category {number}"), _color(one.get("color")))
        code, attributes = one.get("code"), one.get("attributes")
        if isinstance(code, str) and code:
            labels = labels.with_label(replace(labels.get(label_id), code=code))
        if isinstance(attributes, dict):
            pairs = tuple((str(key), str(value)) for key, value in attributes.items())
            labels = labels.with_label(replace(labels.get(label_id), attributes=pairs))
        by_category[number] = label_id
    return labels, by_category


def _field(entry: Mapping[str, Any], key: str, kind: str, file: Path) -> Any:
    value = entry.get(key)
    if not isinstance(value, int | str):
        raise AnnotationError(f"this is not a COCO file: an entry of the kind {kind} has no {key}", path=file)
    return value


def _color(value: Any) -> Color | None:
    good = isinstance(value, list) and len(value) == 3 and all(isinstance(c, int) and 0 <= c <= 255 for c in value)
    return (value[0], value[1], value[2]) if good else None


def _scan_and_slice(image: Mapping[str, Any], file: Path) -> tuple[str, int]:
    """Scan that an image is of, with the folders that the file names, and the index of the slice in it."""
    file_name = str(image.get("file_name") or image.get("id"))
    name, index = split_slice_name(path_stem(file_name))
    if "slice" in image:
        index = image["slice"]
        if not isinstance(index, int) or index < 0:
            raise AnnotationError(f"the slice of {file_name} is not a number from 0", path=file)
    return str(image.get("scan") or name), index


def _load(
    images: list[tuple[int, Mapping[str, Any], list[Mapping[str, Any]]]],
    labels: LabelSet,
    by_category: Mapping[Any, int],
    file: Path,
    geometry: Geometry,
) -> Loaded:
    """Objects on a scan's grid. Annotations of several slices are one object when they say the same object id."""
    size_yx = (geometry.shape_zyx[1], geometry.shape_zyx[2])
    by_category = dict(by_category)
    found: dict[Any, tuple[int, dict[View, Mask], float | None]] = {}
    odd: Counter[str] = Counter()
    for index, image, entries in images:
        _check_size(image, index, geometry, file)
        for entry in entries:
            masked = annotation_mask(entry, size_yx, odd, file)
            if masked is None:
                continue
            category = entry.get("category_id", 0)
            if category not in by_category:
                by_category[category] = labels.next_id
                labels = with_named(labels, labels.next_id, f"Category {category}" if category else "Object")
            extra = entry.get("attributes")
            extra = extra if isinstance(extra, dict) else {}
            own = (0, extra["object_id"]) if isinstance(extra.get("object_id"), int) else (1, len(found))
            label_id = by_category[category]
            key = (own, label_id)
            _, masks, _ = found.setdefault(key, (label_id, {}, _score(extra.get("score"))))
            view = View(0, index)
            masks[view] = masks[view] | masked if view in masks else masked
    in_order = sorted(found.items(), key=lambda one: one[0][0])  # by object id, then those without one as listed
    objects = [
        AnnotationObject(number, label_id, masks, score=score)
        for number, (_, (label_id, masks, score)) in enumerate(in_order, start=1)
    ]
    notes = tuple(f"{n} annotation{'s have' if n > 1 else ' has'} {what}" for what, n in sorted(odd.items()))
    return Loaded(labels, tuple(one for one in objects if not one.is_empty), notes)


def _check_size(image: Mapping[str, Any], index: int, geometry: Geometry, file: Path) -> None:
    depth, height, width = geometry.shape_zyx
    told = (image.get("width", width), image.get("height", height))
    if told != (width, height):
        raise AnnotationError(
            f"{image.get('file_name')} has {told[0]} x {told[1]} pixels in the file, the scan {width} x {height}",
            path=file,
            hint="It belongs to another scan, or was scaled.",
        )
    if index >= depth:
        raise AnnotationError(f"{image.get('file_name')} is slice {index} of a scan with {depth} slices", path=file)


def annotation_mask(entry: Mapping[str, Any], size_yx: tuple[int, int], odd: Counter[str], file: Path) -> Mask | None:
    """Mask of an annotation, or None when it has none; what is unusual about it is counted in `odd`.

    Raises AnnotationError where it cannot be read.
    """
    segmentation = entry.get("segmentation")
    name = entry.get("id", "without id")
    try:
        if not segmentation:
            odd[_NO_MASK] += 1
            return None
        if entry.get("iscrowd"):
            odd[_CROWD] += 1
        if isinstance(segmentation, dict):
            return _from_runs(segmentation, size_yx)
        rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
        good = [ring for ring in rings if _is_drawable(ring, size_yx)]
        if len(good) < len(rings):
            odd[_ODD] += 1
        return _from_rings(good, size_yx) if good else None
    except (KeyError, TypeError, ValueError, OverflowError, AnnotationError) as error:
        reason = error.what if isinstance(error, AnnotationError) else str(error)
        raise AnnotationError(f"the mask of annotation {name} cannot be read ({reason})", path=file) from error


def _from_runs(runs: Mapping[str, Any], size_yx: tuple[int, int]) -> Mask:
    height, width = (int(n) for n in runs["size"])
    if (height, width) != size_yx:
        raise AnnotationError(f"run lengths of {width} x {height} pixels on a scan of {size_yx[1]} x {size_yx[0]}")
    counts = runs["counts"]
    return from_rle(size_yx, decode_string(counts) if isinstance(counts, str) else [int(n) for n in counts])


def _is_drawable(ring: Any, size_yx: tuple[int, int]) -> bool:
    """Whether pycocotools may have it: with four numbers it would take it for a box, and far points cost memory."""
    points = np.asarray(ring, np.float64)
    if np.isnan(points).any():
        raise ValueError("a point is not a number")
    reach = 2 * max(size_yx)
    return points.ndim == 1 and points.size >= 6 and points.size % 2 == 0 and bool((np.abs(points) <= reach).all())


def _from_rings(rings: list[list[float]], size_yx: tuple[int, int]) -> Mask:
    from pycocotools import mask as coco_mask

    pieces: Any = [[float(n) for n in ring] for ring in rings]
    return Mask.from_array(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(pieces, *size_yx))))


def _score(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 <= value <= 1 else None
