"""Annotations: frozen, consistent, and ordered bottom to top."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.errors import AnnotationError
from maskwright.core.labels import LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View


def square(y: int, x: int, size: int = 2) -> Mask:
    array = np.zeros((10, 10), np.bool_)
    array[y : y + size, x : x + size] = True
    return Mask.from_array(array)


def test_an_object_keeps_only_slices_with_foreground_in_order() -> None:
    masks = {View(0, 5): square(1, 1), View(0, 2): square(3, 3, 3), View(0, 3): Mask.empty((10, 10))}
    one = AnnotationObject(1, 1, masks)
    masks.clear()
    assert list(one.masks) == [View(0, 2), View(0, 5)]
    assert (one.area, one.nbytes, one.is_empty) == (13, 13, False)
    with pytest.raises(TypeError):
        one.masks[View(0, 9)] = square(0, 0)  # type: ignore[index]


def test_with_mask_adds_replaces_and_takes_away() -> None:
    one = AnnotationObject(1, 1)
    assert one.is_empty
    one = one.with_mask(View(0, 1), square(0, 0)).with_mask(View(0, 1), square(5, 5))
    assert one.masks[View(0, 1)] == square(5, 5)
    assert one.with_mask(View(0, 1), None).is_empty
    assert one.with_mask(View(0, 1), Mask.empty((10, 10))).is_empty
    assert one.with_mask(View(0, 9), None) == one


def test_equality_is_by_value_down_to_the_pixels() -> None:
    one = AnnotationObject(1, 1, {View(0, 1): square(0, 0)})
    assert one == AnnotationObject(1, 1, {View(0, 1): square(0, 0)})
    assert one != AnnotationObject(1, 1, {View(0, 1): square(0, 1)})
    assert Annotation(objects=(one,)) == Annotation(objects=(one,))


def test_objects_are_added_replaced_in_place_and_removed() -> None:
    first = AnnotationObject(1, 1, {View(0, 0): square(0, 0)})
    second = AnnotationObject(2, 1, {View(0, 0): square(1, 1), View(0, 3): square(2, 2)})
    annotation = Annotation().with_object(first).with_object(second)
    assert annotation.next_id == 3
    assert [(one.id, mask.box) for one, mask in annotation.at(View(0, 0))] == [(1, (0, 0, 2, 2)), (2, (1, 1, 3, 3))]
    assert annotation.at(View(1, 0)) == []
    assert annotation.views() == [View(0, 0), View(0, 3)]
    moved = annotation.with_object(first.with_mask(View(0, 0), square(7, 7)))
    assert [one.id for one in moved.objects] == [1, 2]
    assert moved.get(1).masks[View(0, 0)].box == (7, 7, 9, 9)
    assert 1 not in annotation.without(1)
    for verb in (annotation.get, annotation.without):
        with pytest.raises(KeyError):
            verb(9)


def test_what_does_not_fit_together_is_refused() -> None:
    one = AnnotationObject(1, 2)
    with pytest.raises(AnnotationError, match="unknown label 2"):
        Annotation(objects=(one,))
    labels, _ = LabelSet.default().add("Liver")
    annotation = Annotation(labels, (one,))
    with pytest.raises(AnnotationError, match="unknown label 2"):
        annotation.with_labels(LabelSet.default())
    with pytest.raises(ValueError, match="same id"):
        Annotation(labels, (one, one))
    with pytest.raises(ValueError, match="start at 1"):
        AnnotationObject(0, 1)
