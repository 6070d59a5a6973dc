"""What was annotated in a project, as the state in its journal holds it: `session` writes it, others read it.

A session keeps more under keys of its own: unfinished prompts, what is shown, which scans are done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View
from maskwright.io.journal import PROJECT, Journal
from maskwright.io.places import JOURNAL, default_folder, is_project

LABELS = "labels"
"""Key of the labels, of the project as a whole."""
SCAN, OBJECT, MASK = "scan", "object/", "mask/"
"""Key of where a scan is, beginnings of the keys of an object and of its mask on one slice."""
_DAMAGE = (ValueError, KeyError, TypeError, IndexError, MaskwrightError)
_HINT = "Put a copy of it back."


@dataclass(frozen=True, slots=True)
class AnnotatedScan:
    """A scan of a project: its number, where it was last, the fingerprint of what was annotated, and the annotation."""

    id: int
    path: Path
    name: str
    fingerprint: str
    annotation: Annotation


def read_annotated(path: Path) -> list[AnnotatedScan]:
    """Scans of a project that have objects, by number; nothing is changed.

    ``path`` is a project folder, or the scan or folder of scans that was opened in the window.

    Raises
    ------
    StoreError
        If there is no project, if it is open elsewhere, or if it is damaged.
    """
    folder = next((place for place in (path, default_folder(path)) if is_project(place)), None)
    if folder is None:
        raise StoreError(
            "there is no project here",
            path=path,
            hint="Name the folder given with --project, or the scan or folder that was opened.",
        )
    journal = Journal.open(folder / JOURNAL)
    try:
        labels, _ = load_labels(journal.get(PROJECT))
        found = []
        for scan, key, value in journal.find(SCAN):
            objects = load_objects(journal.get(scan)) if key == SCAN else ()
            if objects:
                found.append(_scan(scan, value, labels, objects))
        return found
    finally:
        journal.close()


def load_labels(project: Mapping[str, bytes]) -> tuple[LabelSet, tuple[Label, ...]]:
    """Labels, and those removed, from the state of the project; those of a new project where there are none yet.

    Raises
    ------
    StoreError
        If what the journal holds is damaged.
    """
    if LABELS not in project:
        return LabelSet.default(), ()
    try:
        value = json.loads(project[LABELS])
        return LabelSet.from_json(value["labels"]), tuple(Label.from_json(one) for one in value["retired"])
    except _DAMAGE as error:
        raise StoreError(f"the labels in the journal are damaged ({error})", hint=_HINT) from error


def load_objects(scan: Mapping[str, bytes]) -> tuple[AnnotationObject, ...]:
    """Objects from the state of a scan, by number. Raises StoreError where what the journal holds is damaged."""
    try:
        heads: dict[int, list[Any]] = {}
        masks: dict[int, dict[View, Mask]] = {}
        for key, value in scan.items():
            if key.startswith(OBJECT):
                head = json.loads(value)
                heads[int(head[0])] = head
            elif key.startswith(MASK):
                object_id, view = key.removeprefix(MASK).split("/", 1)
                masks.setdefault(int(object_id), {})[view_of(view)] = Mask.from_bytes(value)
        return tuple(
            AnnotationObject(one, int(head[1]), masks.get(one, {}), bool(head[2]), head[3])
            for one, head in sorted(heads.items())
        )
    except _DAMAGE as error:
        raise StoreError(f"the annotation in the journal is damaged ({error})", hint=_HINT) from error


def view_key(view: View) -> str:
    """A slice, in a key."""
    return f"{view.axis}/{view.index}"


def view_of(text: str) -> View:
    """Reverse of `view_key`. Raises ValueError where that is not what it is."""
    axis, index = text.split("/")
    return View(int(axis), int(index))


def _scan(scan: int, value: bytes, labels: LabelSet, objects: tuple[AnnotationObject, ...]) -> AnnotatedScan:
    try:
        entry = json.loads(value)
        path, name, fingerprint = Path(entry["path"]), str(entry["name"]), str(entry["fingerprint"])
        return AnnotatedScan(scan, path, name, fingerprint, Annotation(labels, objects))
    except _DAMAGE as error:
        raise StoreError(f"scan {scan} in the journal is damaged ({error})", hint=_HINT) from error
