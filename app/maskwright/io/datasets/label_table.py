"""The table of labels beside a dataset: ``labels.json``, and the label description that ITK-SNAP reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

from maskwright.core.errors import AnnotationError, ExportError
from maskwright.core.labels import LabelSet
from maskwright.io.datasets.items import stem, with_named

JSON_NAME = "labels.json"
SNAP_NAME = "labels.txt"

_SNAP_HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
"""
_SNAP_LINE = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+\S+\s+\d+\s+\d+\s+"(.*)"\s*')


def write_json(labels: LabelSet, path: Path) -> None:
    """Write id (the value in the masks), name, colour and code of every label."""
    path.write_text(json.dumps({"labels": labels.to_json()}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path) -> LabelSet:
    """Labels of a ``labels.json``; AnnotationError when it is damaged."""
    try:
        return LabelSet.from_json(json.loads(path.read_text(encoding="utf-8"))["labels"])
    except (ValueError, KeyError, TypeError, AnnotationError) as error:
        raise AnnotationError(f"the table of labels cannot be read ({error})", path=path) from error


def write_snap(labels: LabelSet, path: Path) -> None:
    """Write the labels for ITK-SNAP (Segmentation > Import label descriptions)."""
    lines = [_SNAP_HEAD]
    for label in labels:
        red, green, blue = label.color
        name = label.name.replace('"', "'")
        lines.append(f'{label.id:5d} {red:5d} {green:4d} {blue:4d}        1  1  1    "{name}"\n')
    path.write_text("".join(lines), encoding="utf-8")


def read_snap(path: Path) -> LabelSet:
    """Labels of an ITK-SNAP description; the background (0) is left out.

    Raises
    ------
    AnnotationError
        When no line of it describes a label.
    """
    labels = LabelSet()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _SNAP_LINE.fullmatch(line)
        if match and int(match[1]) > 0 and int(match[1]) not in labels:
            red, green, blue = (min(int(match[i]), 255) for i in (2, 3, 4))
            labels = with_named(labels, int(match[1]), match[5].strip() or f"Label {match[1]}", (red, green, blue))
    if not labels:
        raise AnnotationError("this is not an ITK-SNAP label description", path=path)
    return labels


def find(beside: Path) -> LabelSet:
    """Labels from the table beside a mask file or in a folder; empty when there is none.

    Looked for, in this order: ``NAME.json`` of the file itself, ``labels.json``, ``labels.txt``; in the folder, and in
    the one above when the folder is called ``masks``.
    """
    folder = beside if beside.is_dir() else beside.parent
    own = beside.parent / f"{stem(beside.name)}.json"
    if beside.is_file() and own.is_file():
        try:
            return read_json(own)
        except AnnotationError:
            pass  # many tools write a JSON of another kind beside an image
    for place in (folder, folder.parent) if folder.name == "masks" else (folder,):
        if (place / JSON_NAME).is_file():
            return read_json(place / JSON_NAME)
        if (place / SNAP_NAME).is_file():
            try:
                return read_snap(place / SNAP_NAME)
            except AnnotationError:
                continue
    return LabelSet()


def check(labels: LabelSet, folder: Path, *, snap: bool) -> None:
    """ExportError unless the tables in a folder hold these labels."""
    if read_json(folder / JSON_NAME) != labels:
        raise ExportError("the table of labels reads back differently", path=folder / JSON_NAME)
    if snap:
        told = LabelSet()
        for one in labels:
            told = with_named(told, one.id, one.name.replace('"', "'"), one.color)
        if len(labels) and read_snap(folder / SNAP_NAME) != told:
            raise ExportError("the label description reads back differently", path=folder / SNAP_NAME)
