"""Step: what one verb changes, as data that can be applied, taken back, written to the journal and read from it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.edits import Edit
from maskwright.core.errors import AnnotationError, StoreError
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.prompts import Prompt, Prompts, prompt_from_json, prompt_to_json
from maskwright.core.volume import View

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class LabelChange:
    """A label came (``old`` is None), went (``new`` is None) or changed."""

    old: Label | None
    new: Label | None


@dataclass(frozen=True, slots=True)
class Head:
    """An object without its masks."""

    id: int
    label_id: int
    visible: bool = True
    score: float | None = None

    @classmethod
    def of(cls, one: AnnotationObject) -> Head:
        """Head of an object."""
        return cls(one.id, one.label_id, one.visible, one.score)


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """An object came, still without masks, went, after its masks did, or changed its label, visibility or score."""

    old: Head | None
    new: Head | None


@dataclass(frozen=True, slots=True)
class DraftChange:
    """The prompts of the unfinished object on one slice changed."""

    view: View
    old: Prompts
    new: Prompts


@dataclass(frozen=True, slots=True)
class DoneChange:
    """The scan was marked as done, or as not done."""

    old: bool
    new: bool


Part = LabelChange | ObjectChange | DraftChange | DoneChange | Edit


@dataclass(frozen=True, slots=True)
class ScanState:
    """All that verbs change: labels and objects, unfinished prompts per slice (none of them empty), done or not.

    ``retired`` are labels that were removed: undo may bring back an object that needs one, and no id is given twice.
    """

    annotation: Annotation = field(default_factory=Annotation)
    retired: tuple[Label, ...] = ()
    drafts: Mapping[View, Prompts] = field(default_factory=lambda: MappingProxyType({}))
    done: bool = False

    @property
    def is_started(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.annotation.objects or self.drafts)


@dataclass(frozen=True, slots=True)
class Step:
    """Parts of one verb, in the order in which they are applied."""

    parts: tuple[Part, ...]

    def inverse(self) -> Step:
        """Step that takes this one back."""
        return Step(tuple(_inverse(part) for part in reversed(self.parts)))

    @property
    def view(self) -> View | None:
        """First slice that changes, where one does."""
        return next((part.view for part in self.parts if isinstance(part, Edit | DraftChange)), None)

    def touches(self, *kinds: type) -> bool:
        """Whether a part is of one of these kinds."""
        return any(isinstance(part, kinds) for part in self.parts)

    def to_bytes(self) -> bytes:
        """Form for the journal."""
        edits = [part.to_bytes() for part in self.parts if isinstance(part, Edit)]
        plain = iter(edits)
        listed = [{"edit": len(next(plain))} if isinstance(part, Edit) else _to_json(part) for part in self.parts]
        head = json.dumps(listed, separators=(",", ":")).encode()
        return b"".join((_LENGTH.pack(len(head)), head, *edits))

    @classmethod
    def from_bytes(cls, data: bytes) -> Step:
        """Step from what `to_bytes` gave. Raises StoreError when it is damaged."""
        try:
            (size,) = _LENGTH.unpack_from(data)
            at = _LENGTH.size + size
            parts: list[Part] = []
            for one in json.loads(data[_LENGTH.size : at]):
                if "edit" in one:
                    parts.append(Edit.from_bytes(data[at : at + one["edit"]]))
                    at += one["edit"]
                else:
                    parts.append(_from_json(one))
            return cls(tuple(parts))
        except (struct.error, ValueError, KeyError, TypeError, AnnotationError) as error:
            raise StoreError(
                "a recorded step is damaged", hint="It cannot be undone; everything else is there."
            ) from error


def apply(state: ScanState, step: Step) -> ScanState:
    """State after a step.

    Raises
    ------
    AnnotationError
        If the step does not fit, because something it builds on is no longer there.
    """
    labels = {label.id: label for label in state.annotation.labels}
    retired = {label.id: label for label in state.retired}
    objects = {one.id: one for one in state.annotation.objects}
    masks: dict[int, dict[View, Mask]] = {}
    drafts = dict(state.drafts)
    done = state.done
    for part in step.parts:
        match part:
            case LabelChange():
                _change_label(labels, retired, part)
            case ObjectChange():
                _change_object(objects, masks, part)
            case DraftChange():
                drafts.pop(part.view, None)
                if part.new:
                    drafts[part.view] = part.new
            case DoneChange():
                done = part.new
            case Edit():
                _change_mask(objects, masks, part)
    for object_id, views in masks.items():
        if object_id in objects:
            objects[object_id] = replace(objects[object_id], masks=views)
    if not step.touches(LabelChange, ObjectChange, Edit):  # a click: the annotation is not made anew for it
        return replace(state, drafts=MappingProxyType(drafts), done=done)
    _bring_back(labels, retired, objects.values(), step)
    kept = LabelSet(tuple(labels[key] for key in sorted(labels)))
    annotation = Annotation(kept, tuple(objects[key] for key in sorted(objects)))
    return ScanState(annotation, tuple(retired.values()), MappingProxyType(drafts), done)


def _change_label(labels: dict[int, Label], retired: dict[int, Label], part: LabelChange) -> None:
    known = part.old or part.new
    assert known is not None
    if (part.old is None) == (known.id in labels):
        raise AnnotationError(f'the label "{known.name}" has changed since', hint="It was left as it is.")
    if part.new is None:
        retired[known.id] = labels.pop(known.id)
    else:
        retired.pop(known.id, None)
        labels[known.id] = part.new


def _bring_back(
    labels: dict[int, Label], retired: dict[int, Label], objects: Iterable[AnnotationObject], step: Step
) -> None:
    """Labels that objects need and that were removed meanwhile, while another scan was shown."""
    removed = {part.old.id for part in step.parts if isinstance(part, LabelChange) and part.old and not part.new}
    for needed in {one.label_id for one in objects} - set(labels):
        if needed in removed or needed not in retired:
            name = retired[needed].name if needed in retired else str(needed)
            raise AnnotationError(
                f'the label "{name}" is in use', hint="Delete its objects or give them another label first."
            )
        label, names = retired.pop(needed), {one.name.casefold() for one in labels.values()}
        name, count = label.name, 2
        while name.casefold() in names:
            name, count = f"{label.name} {count}", count + 1
        labels[needed] = replace(label, name=name)


def _change_object(
    objects: dict[int, AnnotationObject], masks: dict[int, dict[View, Mask]], part: ObjectChange
) -> None:
    known = part.old or part.new
    assert known is not None
    if (part.old is None) == (known.id in objects):
        raise AnnotationError(f"object {known.id} has changed since", hint="It was left as it is.")
    if part.new is None:
        del objects[known.id]
        masks.pop(known.id, None)
        return
    kept = objects[known.id].masks if known.id in objects else {}
    objects[known.id] = AnnotationObject(part.new.id, part.new.label_id, kept, part.new.visible, part.new.score)


def _change_mask(objects: dict[int, AnnotationObject], masks: dict[int, dict[View, Mask]], edit: Edit) -> None:
    if edit.object_id not in objects:
        raise AnnotationError(f"object {edit.object_id} is no longer there", hint="Nothing was changed.")
    views = masks.setdefault(edit.object_id, dict(objects[edit.object_id].masks))
    try:
        after = edit.apply(views.get(edit.view))
    except ValueError as error:
        raise AnnotationError(f"object {edit.object_id} has changed since", hint="It was left as it is.") from error
    views.pop(edit.view, None)
    if not after.is_empty:
        views[edit.view] = after


def _inverse(part: Part) -> Part:
    match part:
        case Edit():
            return part.inverse()
        case DraftChange():
            return DraftChange(part.view, part.new, part.old)
        case LabelChange():
            return LabelChange(part.new, part.old)
        case ObjectChange():
            return ObjectChange(part.new, part.old)
        case DoneChange():
            return DoneChange(part.new, part.old)


# What the journal keeps. A draft is written as what its two versions share, which is nearly all, and how they go on.


def _to_json(part: LabelChange | ObjectChange | DraftChange | DoneChange) -> dict[str, Any]:
    match part:
        case LabelChange():
            return {"label": [None if one is None else one.to_json() for one in (part.old, part.new)]}
        case ObjectChange():
            return {"object": [head_to_json(part.old), head_to_json(part.new)]}
        case DoneChange():
            return {"done": [part.old, part.new]}
        case DraftChange():
            pairs = zip(part.old, part.new, strict=False)
            shared = next(
                (i for i, (one, other) in enumerate(pairs) if one != other), min(len(part.old), len(part.new))
            )
            common, old, new = part.old.items[:shared], part.old.items[shared:], part.new.items[shared:]
            return {"draft": [[part.view.axis, part.view.index], *map(prompts_to_json, (common, old, new))]}


def _from_json(value: Mapping[str, Any]) -> Part:
    if "label" in value:
        old, new = (None if one is None else Label.from_json(one) for one in value["label"])
        return LabelChange(old, new)
    if "object" in value:
        before, after = map(head_from_json, value["object"])
        return ObjectChange(before, after)
    if "done" in value:
        return DoneChange(*value["done"])
    (axis, index), *parts = value["draft"]
    common, before, after = (prompts_from_json(one).items for one in parts)
    return DraftChange(View(axis, index), Prompts(common + before), Prompts(common + after))


def head_to_json(head: Head | None) -> list[Any] | None:
    """Plain values of a head."""
    return None if head is None else [head.id, head.label_id, head.visible, head.score]


def head_from_json(value: list[Any] | None) -> Head | None:
    """Reverse of `head_to_json`."""
    return None if value is None else Head(int(value[0]), int(value[1]), bool(value[2]), value[3])


def prompts_to_json(prompts: Iterable[Prompt]) -> list[dict[str, Any]]:
    """Plain values of prompts."""
    return [prompt_to_json(one) for one in prompts]


def prompts_from_json(values: list[dict[str, Any]]) -> Prompts:
    """Reverse of `prompts_to_json`."""
    return Prompts(tuple(prompt_from_json(one) for one in values))
