"""Datasets: what annotations leave as and come from. One entry a format in FORMATS; each is written, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from maskwright.io.datasets import coco, coco_reader, nifti, png
from maskwright.io.datasets.items import Format, ImportedItem, Item, Loaded, Options

__all__ = ["FORMATS", "Format", "ImportedItem", "Item", "Loaded", "Options"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        one.name: one
        for one in (
            Format(
                name="coco",
                title="COCO (JSON)",
                write=coco.write,
                check=coco.check,
                read=coco_reader.read,
                accepts=coco.accepts,
                options=("polygons", "pictures"),
            ),
            Format(
                name="png",
                title="PNG masks",
                write=png.write,
                check=png.check,
                read=png.read,
                accepts=png.accepts,
                options=("instances", "pictures"),
            ),
            Format(
                name="nifti",
                title="NIfTI label maps",
                write=nifti.write,
                check=nifti.check,
                read=nifti.read,
                accepts=nifti.accepts,
            ),
        )
    }
)
