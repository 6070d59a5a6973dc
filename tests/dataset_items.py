"""Annotated scans for the tests of datasets: a photo with a hole and an overlap, a CT on a turned grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.geometry import Geometry
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View, Volume
from maskwright.io.datasets import Item

PHOTO_YX = (40, 60)
CT_ZYX = (5, 24, 30)


def labels() -> LabelSet:
    """Object (1), Liver (2), Läsion "links" (3)."""
    liver = Label(2, "Liver", (86, 180, 233), "SCT:10200004", (("side", "right"),))
    return LabelSet.default().with_label(liver).add('Läsion "links"')[0]


def disk(shape_yx: tuple[int, int], center_yx: tuple[float, float], radius: float) -> np.ndarray:
    """Filled circle."""
    y, x = np.mgrid[: shape_yx[0], : shape_yx[1]]
    return (y - center_yx[0]) ** 2 + (x - center_yx[1]) ** 2 <= radius**2


def box(shape_yx: tuple[int, int], y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    """Filled rectangle, half-open."""
    array = np.zeros(shape_yx, np.bool_)
    array[y0:y1, x0:x1] = True
    return array


def photo_item(folder: Path, name: str = "ein Foto.png") -> Item:
    """Ring (object 1), box over its right half (object 2, Liver), and a second small Liver in a corner (object 4)."""
    rng = np.random.default_rng(0)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (*PHOTO_YX, 3)).astype(np.uint8)).save(path)
    ring = disk(PHOTO_YX, (20, 30), 12) & ~disk(PHOTO_YX, (20, 30), 5)
    objects = (
        AnnotationObject(1, 1, {View(0, 0): Mask.from_array(ring)}, score=0.875),
        AnnotationObject(2, 2, {View(0, 0): Mask.from_array(box(PHOTO_YX, 10, 30, 30, 50))}),
        AnnotationObject(4, 2, {View(0, 0): Mask.from_array(box(PHOTO_YX, 38, 0, 40, 3))}),
    )
    return Item(name, path, Geometry.photo(*PHOTO_YX), Annotation(labels(), objects))


def ct_geometry() -> Geometry:
    """Oblique grid with a spacing of its own along each axis."""
    turned, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = turned * np.array([0.7, 0.8, 2.5])
    affine[:3, 3] = (-101.25, 33.5, 1234.5)
    return Geometry(CT_ZYX, affine)


def ct_item(folder: Path, name: str = "CT 1.nii.gz") -> Item:
    """Ball on slices 1 to 3, a box on slice 3 that overlaps it, and a cut through all slices at y = 20."""
    voxels = np.random.default_rng(1).integers(-1000, 1000, CT_ZYX).astype(np.int16)
    size = CT_ZYX[1:]
    ball = {View(0, z): Mask.from_array(disk(size, (10, 12), r)) for z, r in ((1, 3), (2, 5), (3, 3))}
    objects = (
        AnnotationObject(1, 2, ball),
        AnnotationObject(2, 3, {View(0, 3): Mask.from_array(box(size, 8, 12, 14, 25))}),
        AnnotationObject(3, 1, {View(1, 20): Mask.from_array(box((CT_ZYX[0], CT_ZYX[2]), 0, 4, 5, 9))}),
    )
    volume = Volume(voxels, ct_geometry(), "ct", folder / name)
    return Item(name, folder / name, volume.geometry, Annotation(labels(), objects), volume=volume)


def voxels_of(item: Item, object_id: int) -> np.ndarray:
    """Voxels of an object, built without the code under test: bool (z, y, x)."""
    out = np.zeros(item.geometry.shape_zyx, np.bool_)
    for view, mask in item.annotation.get(object_id).masks.items():
        np.moveaxis(out, view.axis, 0)[view.index] |= mask.to_array()
    return out
