"""Snapshot: the state of a scan as keys of the journal, so that a verb rewrites no more than it changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from maskwright.core.annotation import Annotation
from maskwright.core.edits import Edit
from maskwright.core.errors import MaskwrightError, StoreError
from maskwright.core.labels import Label, LabelSet
from maskwright.core.volume import View
from maskwright.io.annotated import LABELS, MASK, OBJECT, load_objects, view_key, view_of
from maskwright.io.journal import PROJECT
from maskwright.session.steps import (
    DoneChange,
    DraftChange,
    Head,
    ObjectChange,
    ScanState,
    Step,
    head_from_json,
    head_to_json,
    prompts_from_json,
    prompts_to_json,
)

SHOWN, ACTIVE_LABEL = "shown", "active label"  # of the project
VIEW, DONE, DRAFT = "view", "done", "draft/"  # of a scan


def changed(scan: int, before: ScanState, after: ScanState, step: Step) -> dict[tuple[int, str], bytes | None]:
    """(scan, key) -> value that the journal has to hold after a step; None for what goes away."""
    objects = {one.id: one for one in after.annotation.objects}
    out: dict[tuple[int, str], bytes | None] = {}
    if (after.annotation.labels, after.retired) != (before.annotation.labels, before.retired):
        out[PROJECT, LABELS] = labels_to_bytes(after.annotation.labels, after.retired)
    for part in step.parts:
        match part:
            case ObjectChange():
                known = part.old or part.new
                assert known is not None
                found = objects.get(known.id)
                out[scan, object_key(known.id)] = None if found is None else _json(head_to_json(Head.of(found)))
            case DraftChange():
                draft = after.drafts.get(part.view)
                out[scan, f"{DRAFT}{view_key(part.view)}"] = _json(prompts_to_json(draft)) if draft else None
            case DoneChange():
                out[scan, DONE] = b"true" if after.done else None
            case Edit():
                found = objects.get(part.object_id)
                mask = None if found is None else found.masks.get(part.view)
                key = f"{MASK}{part.object_id}/{view_key(part.view)}"
                out[scan, key] = None if mask is None else mask.to_bytes()
    return out


def object_key(object_id: int) -> str:
    """Key under which an object's label, visibility and score are kept."""
    return f"{OBJECT}{object_id}"


def labels_to_bytes(labels: LabelSet, retired: tuple[Label, ...]) -> bytes:
    """Value of the key that holds the labels of the project."""
    return _json({"labels": labels.to_json(), "retired": [label.to_json() for label in retired]})


def load_scan(values: Mapping[str, bytes], labels: LabelSet, retired: tuple[Label, ...] = ()) -> ScanState:
    """State of one scan.

    Raises
    ------
    StoreError
        If what the journal holds is damaged.
    """
    objects = load_objects(values)
    try:
        drafts = {
            view_of(key.removeprefix(DRAFT)): prompts_from_json(_read(value))
            for key, value in values.items()
            if key.startswith(DRAFT)
        }
        return ScanState(Annotation(labels, objects), retired, MappingProxyType(drafts), DONE in values)
    except (ValueError, KeyError, TypeError, MaskwrightError) as error:
        raise StoreError(
            f"the annotation in the journal is damaged ({error})", hint="Put a copy of it back."
        ) from error


def view_to_bytes(view: View) -> bytes:
    """Value of the key that holds the slice shown last."""
    return _json([view.axis, view.index])


def view_from_bytes(value: bytes | None) -> View | None:
    """Reverse of `view_to_bytes`; None where none is kept, or it cannot be read: a slice is shown all the same."""
    try:
        axis, index = _read(value or b"")
        return View(int(axis), int(index))
    except (ValueError, TypeError):
        return None


def label_of(value: bytes) -> int:
    """Label id of the value under an object's key."""
    head = head_from_json(_read(value))
    return 0 if head is None else head.label_id


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _read(value: bytes):  # noqa: ANN202 (whatever JSON holds)
    return json.loads(value)
