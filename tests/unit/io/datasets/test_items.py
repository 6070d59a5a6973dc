"""Items: names that stay apart on every file system, and masks that fit their scan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.annotation import Annotation, AnnotationObject
from maskwright.core.errors import ExportError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.core.volume import View
from maskwright.io.datasets import Item
from maskwright.io.datasets.items import (
    dataset_names,
    labels_of,
    object_voxels,
    objects_from_labels,
    path_stem,
    safe_name,
    slice_name,
    slices_of,
    split_slice_name,
    stem,
)
from tests.dataset_items import ct_item, photo_item, voxels_of

GRID = Geometry((3, 4, 5), np.eye(4))


def named(*names: str) -> list[Item]:
    return [Item(name, Path(name), GRID, Annotation()) for name in names]


@pytest.mark.parametrize(
    ("name", "short"),
    [("a/CT 1.nii.gz", "CT 1"), ("x.y.PNG", "x.y"), ("series", "series"), ("a\\b.dcm", "b"), (".png", ".png")],
)
def test_stem_drops_folders_and_the_ending_of_a_scan(name: str, short: str) -> None:
    assert stem(name) == short


def test_path_stem_keeps_the_folders() -> None:
    assert path_stem("a/CT 1.nii.gz") == "a/CT 1"
    assert path_stem("CT 1.5mm") == "CT 1.5mm"


def test_names_of_a_dataset_are_the_stems() -> None:
    assert dataset_names(named("a/x.png", "Übung 2.nii.gz")) == ["x", "Übung 2"]


def test_equal_stems_get_their_folder_then_their_ending_then_a_number() -> None:
    assert dataset_names(named("a/x.png", "b/x.png", "y.png")) == ["a_x", "b_x", "y"]
    assert dataset_names(named("x.png", "x.jpg")) == ["x.png", "x.jpg"]
    assert dataset_names(named("x.png", "X.PNG")) == ["x.png", "X.PNG (2)"]
    assert dataset_names(named("x.png", "x.png", "x.png (2)")) == ["x.png", "x.png (3)", "x.png (2)"]


def test_safe_name_takes_what_some_system_refuses_out() -> None:
    assert safe_name('a/b:c*?"<>|#d\n') == "a_b_c_______d_"
    assert safe_name(" . ") == "_"


def test_slice_names_count_from_zero_and_photos_have_none() -> None:
    assert slice_name("liver", 12, GRID) == "liver#z0012"
    assert slice_name("photo", 0, Geometry.photo(4, 4)) == "photo"
    assert split_slice_name("liver#z0012") == ("liver", 12)
    assert split_slice_name("photo") == ("photo", 0)


def test_labels_of_one_project_agree() -> None:
    one, two = LabelSet((Label(1, "A", (1, 1, 1)),)), LabelSet((Label(2, "B", (2, 2, 2)),))
    items = [
        replace(item, annotation=Annotation(labels)) for item, labels in zip(named("x", "y"), (one, two), strict=True)
    ]
    assert [label.name for label in labels_of(items)] == ["A", "B"]
    other = replace(items[0], annotation=Annotation(LabelSet((Label(1, "Z", (1, 1, 1)),))))
    with pytest.raises(ExportError, match='label 1 is "Z"'):
        labels_of([*items, other])


def test_photo_is_told_by_modality_then_by_grid(tmp_path: Path) -> None:
    photo = photo_item(tmp_path)
    assert photo.is_photo
    assert not replace(photo, modality="xray").is_photo
    assert not ct_item(tmp_path).is_photo
    assert not replace(photo, geometry=Geometry.from_parts((1, 40, 60), spacing_zyx_mm=(1, 0.2, 0.2))).is_photo


def test_cuts_along_other_axes_reach_the_acquired_slices(tmp_path: Path) -> None:
    item = ct_item(tmp_path)
    for one, per_slice in slices_of(item):
        expected = voxels_of(item, one.id)
        assert np.array_equal(object_voxels(one, item.geometry), expected)
        assert list(per_slice) == np.flatnonzero(expected.any(axis=(1, 2))).tolist()
        for z, mask in per_slice.items():
            assert np.array_equal(mask.to_array(), expected[z])


@pytest.mark.parametrize(
    "view, shape", [(View(0, 0), (5, 4)), (View(0, 3), (4, 5)), (View(1, 0), (4, 5)), (View(2, 5), (3, 4))]
)
def test_a_mask_that_does_not_fit_its_slice_is_refused(view: View, shape: tuple[int, int]) -> None:
    one = AnnotationObject(1, 1, {view: Mask.from_array(np.ones(shape))})
    item = replace(named("x")[0], annotation=Annotation(objects=(one,)))
    with pytest.raises(ExportError, match="object 1 of x has a mask"):
        slices_of(item)


def test_objects_from_labels_makes_one_object_a_value() -> None:
    values = np.zeros((3, 4, 5), np.uint16)
    values[0, 1, 1:3] = 2
    values[2, 3, 4] = 2
    values[1, 0, 0] = 700
    objects, labels = objects_from_labels(values, LabelSet((Label(2, "Liver", (1, 2, 3)),)))
    assert [(one.id, one.label_id, one.area) for one in objects] == [(1, 2, 3), (2, 700, 1)]
    assert list(objects[0].masks) == [View(0, 0), View(0, 2)]
    assert [label.name for label in labels] == ["Liver", "Label 700"]
