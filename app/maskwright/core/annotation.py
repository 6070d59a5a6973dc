"""Annotation = labels + objects of one scan; an object has one label and one mask per slice; objects may overlap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from maskwright.core.errors import AnnotationError
from maskwright.core.labels import LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View


@dataclass(frozen=True, slots=True)
class AnnotationObject:
    """One thing in a scan.

    Parameters
    ----------
    id
        1 or more, unique in its annotation.
    label_id
        Label in the annotation's set.
    masks
        Mask per slice, none of them empty: a slice without foreground is not listed. Kept as a read-only copy.
    visible
        Whether the object is shown.
    score
        Predicted IoU of the model that made it, 0 to 1, or None when it was drawn or is not known.
    """

    id: int
    label_id: int
    masks: Mapping[View, Mask] = field(default_factory=dict)
    visible: bool = True
    score: float | None = None

    def __post_init__(self) -> None:
        if self.id < 1 or self.label_id < 1:
            raise ValueError(f"object and label ids start at 1, not {self.id} and {self.label_id}")
        kept = {view: self.masks[view] for view in sorted(self.masks) if not self.masks[view].is_empty}
        object.__setattr__(self, "masks", MappingProxyType(kept))

    @property
    def is_empty(self) -> bool:
        """True when no slice has foreground."""
        return not self.masks

    @property
    def area(self) -> int:
        """Foreground pixels over all slices."""
        return sum(mask.area for mask in self.masks.values())

    @property
    def nbytes(self) -> int:
        """Memory that the masks take, in bytes."""
        return sum(mask.nbytes for mask in self.masks.values())

    def with_mask(self, view: View, mask: Mask | None) -> AnnotationObject:
        """Object with another mask on one slice; None or an empty mask takes the slice away."""
        masks = dict(self.masks)
        masks.pop(view, None)
        if mask is not None:
            masks[view] = mask
        return replace(self, masks=masks)


@dataclass(frozen=True, slots=True)
class Annotation:
    """Labels and objects, drawn in the order they are listed: later ones lie on top.

    Raises
    ------
    ValueError
        If two objects have the same id.
    AnnotationError
        If an object has a label that is not in the set.
    """

    labels: LabelSet = field(default_factory=LabelSet.default)
    objects: tuple[AnnotationObject, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", tuple(self.objects))
        if len({one.id for one in self.objects}) != len(self.objects):
            raise ValueError("two objects have the same id")
        known = {label.id for label in self.labels}
        for one in self.objects:
            if one.label_id not in known:
                raise AnnotationError(f"object {one.id} has the unknown label {one.label_id}")

    @property
    def next_id(self) -> int:
        """Id for a new object."""
        return max((one.id for one in self.objects), default=0) + 1

    def get(self, object_id: int) -> AnnotationObject:
        """Object with this id.

        Raises
        ------
        KeyError
            If there is none.
        """
        for one in self.objects:
            if one.id == object_id:
                return one
        raise KeyError(object_id)

    def __contains__(self, object_id: object) -> bool:
        return any(one.id == object_id for one in self.objects)

    def at(self, view: View) -> list[tuple[AnnotationObject, Mask]]:
        """Objects with foreground on one slice, and their masks there, bottom to top."""
        return [(one, one.masks[view]) for one in self.objects if view in one.masks]

    def views(self) -> list[View]:
        """Slices on which any object has foreground, in order."""
        return sorted({view for one in self.objects for view in one.masks})

    def with_object(self, one: AnnotationObject) -> Annotation:
        """Annotation in which this object replaces the one of its id, or lies on top when its id is new."""
        if one.id not in self:
            return replace(self, objects=(*self.objects, one))
        return replace(self, objects=tuple(one if old.id == one.id else old for old in self.objects))

    def without(self, object_id: int) -> Annotation:
        """Annotation without one object; KeyError if there is none of this id."""
        gone = self.get(object_id)
        return replace(self, objects=tuple(one for one in self.objects if one is not gone))

    def with_labels(self, labels: LabelSet) -> Annotation:
        """Annotation with another set of labels; AnnotationError if an object's label is not in it."""
        return replace(self, labels=labels)
