"""COCO made by others: polygons, run lengths, missing fields, and files that are broken in every usual way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maskwright.core.errors import AnnotationError
from maskwright.core.geometry import Geometry
from maskwright.core.mask import Mask, rle
from maskwright.core.rle import decode_string
from maskwright.core.volume import View
from maskwright.io.datasets import FORMATS, Loaded, Options
from tests.dataset_items import PHOTO_YX, box, ct_item, disk, photo_item, voxels_of

READ = FORMATS["coco"].read
GRID = Geometry.photo(*PHOTO_YX)
SQUARE = [10, 5, 20, 5, 20, 15, 10, 15]
SQUARE_MASK = Mask.from_array(box(PHOTO_YX, 5, 10, 15, 20))


def one_image(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    image = {"id": 7, "file_name": "x.jpg", "width": 60, "height": 40}
    numbered = [{"id": i, "image_id": 7, "category_id": 3, **one} for i, one in enumerate(annotations, start=1)]
    return {"images": [image], "annotations": numbered, "categories": [{"id": 3, "name": "cat"}], **more}


def load(data: dict[str, Any], folder: Path) -> Loaded:
    path = folder / "x.json"
    path.write_text(json.dumps(data))
    (item,) = READ(path)
    return item.load(GRID)


@pytest.mark.parametrize("options", [Options(), Options(polygons=True), Options(pictures=False)])
def test_what_was_exported_comes_back_whole(tmp_path: Path, options: Options) -> None:
    items = [photo_item(tmp_path), ct_item(tmp_path)]
    out = tmp_path / "out"
    out.mkdir()
    FORMATS["coco"].write(items, out, options)
    photo, ct = READ(out)
    assert (photo.name, ct.name) == ("ein Foto", "CT 1")
    for one, item in ((photo, items[0]), (ct, items[1])):
        loaded = one.load(item.geometry)
        assert loaded.labels == item.annotation.labels
        assert loaded.notes == ()
        assert len(loaded.objects) == len(item.annotation.objects)
        for mine, theirs in zip(loaded.objects, item.annotation.objects, strict=True):
            assert (mine.label_id, mine.score) == (theirs.label_id, theirs.score)
            voxels = np.zeros(item.geometry.shape_zyx, np.bool_)
            for view, mask in mine.masks.items():
                voxels[view.index] = mask.to_array()
            assert np.array_equal(voxels, voxels_of(item, theirs.id))


def test_polygon_uncompressed_and_compressed_runs_mean_the_same(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    counts = rle(SQUARE_MASK)
    packed = coco.frPyObjects({"size": [40, 60], "counts": counts}, 40, 60)["counts"].decode()
    segmentations = [[SQUARE], SQUARE, {"size": [40, 60], "counts": counts}, {"size": [40, 60], "counts": packed}]
    loaded = load(one_image(*({"segmentation": one} for one in segmentations)), tmp_path)
    assert [dict(one.masks) for one in loaded.objects] == [{View(0, 0): SQUARE_MASK}] * 4
    assert [one.label_id for one in loaded.objects] == [3] * 4
    assert loaded.labels.get(3).name == "cat"


def test_several_polygons_of_an_annotation_are_one_object(tmp_path: Path) -> None:
    loaded = load(one_image({"segmentation": [SQUARE, [30, 5, 32, 5, 32, 7, 30, 7]]}), tmp_path)
    (one,) = loaded.objects
    assert one.area == 104


def test_only_what_masks_depend_on_has_to_be_there(tmp_path: Path) -> None:
    data = {"images": [{"id": "a", "file_name": "x.png"}], "annotations": [{"image_id": "a", "segmentation": [SQUARE]}]}
    loaded = load(data, tmp_path)
    (one,) = loaded.objects
    assert dict(one.masks) == {View(0, 0): SQUARE_MASK}
    assert [label.name for label in loaded.labels] == ["Object"]
    assert one.score is None


def test_crowds_boxes_and_odd_polygons_are_told(tmp_path: Path) -> None:
    crowd = {"segmentation": {"size": [40, 60], "counts": rle(SQUARE_MASK)}, "iscrowd": 1}
    boxes = [{"bbox": [1, 2, 3, 4]}, {"segmentation": []}]
    odd = [{"segmentation": [SQUARE, [1, 2, 3, 4]]}, {"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}]
    loaded = load(one_image(crowd, *boxes, *odd), tmp_path)
    assert [one.area for one in loaded.objects] == [100, 100]
    assert loaded.notes == (
        "1 annotation has a crowd, which was read as one object",
        "2 annotations have a polygon of fewer than three points or far outside its image",
        "2 annotations have only a box and no mask",
    )


def test_polygons_may_leave_the_image(tmp_path: Path) -> None:
    (one,) = load(one_image({"segmentation": [[-5, -5, 10, -5, 10, 10, -5, 10]]}), tmp_path).objects
    assert one.area == 100


def test_category_ids_that_are_no_label_ids_get_new_ones(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "zero"}, {"id": 5, "name": "five"}, {"id": 6, "name": "FIVE"}, {"id": 8}]
    data = one_image(*({"segmentation": [SQUARE], "category_id": n} for n in (0, 5, 6, 8, 99)), categories=categories)
    loaded = load(data, tmp_path)
    names = [loaded.labels.get(one.label_id).name for one in loaded.objects]
    assert names == ["zero", "five", "FIVE (2)", "Category 8", "Category 99"]


def test_slices_of_a_volume_are_one_item_and_object_ids_join_them(tmp_path: Path) -> None:
    images = [{"id": z, "file_name": f"imgs/ct#z{z:04d}.png", "width": 60, "height": 40} for z in (1, 4)]
    annotations = [
        {"id": z, "image_id": z, "category_id": 3, "segmentation": [SQUARE], "attributes": {"object_id": 5}}
        for z in (1, 4)
    ]
    path = tmp_path / "x.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}]})
    )
    (item,) = READ(path)
    assert item.name == "imgs/ct"
    (one,) = item.load(Geometry((5, 40, 60), np.eye(4))).objects
    assert list(one.masks) == [View(0, 1), View(0, 4)]
    with pytest.raises(AnnotationError, match="is slice 4 of a scan with 4 slices"):
        item.load(Geometry((4, 40, 60), np.eye(4)))


def test_photos_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{folder}/1.png"} for i, folder in enumerate("ab")]
    annotations = [{"image_id": i, "segmentation": [SQUARE]} for i in range(2)]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    assert [item.name for item in READ(path)] == ["a/1", "b/1"]


def test_images_without_annotations_are_no_items(tmp_path: Path) -> None:
    data = one_image({"segmentation": [SQUARE]})
    data["images"].append({"id": 8, "file_name": "empty.png"})
    path = tmp_path / "x.json"
    path.write_text(json.dumps(data))
    assert [item.name for item in READ(path)] == ["x"]


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [40, 60], "counts": [5]},
        {"size": [40, 60], "counts": "\x7f\x7f"},
        {"size": [40, 60], "counts": "o"},
        {"size": [40, 60], "counts": ["x"]},
        {"size": [40, 60]},
        {"size": [60, 40], "counts": [2400]},
        {"counts": [2400]},
        [["a", "b", "c", "d", "e", "f"]],
        [[None] * 6],
        "rle",
    ],
)
def test_a_damaged_mask_names_its_annotation_and_file(tmp_path: Path, segmentation: Any) -> None:
    with pytest.raises(AnnotationError, match=r"mask of annotation 2 cannot be read .*x\.json"):
        load(one_image({"segmentation": [SQUARE]}, {"segmentation": segmentation}), tmp_path)


def test_an_image_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    data = one_image({"segmentation": [SQUARE]})
    data["images"][0]["width"] = 61
    with pytest.raises(AnnotationError, match="x.jpg has 61 x 40 pixels in the file, the scan 60 x 40"):
        load(data, tmp_path)


def test_annotations_without_their_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="1 annotations belong to images that are not in the file, such as 9"):
        load(one_image({"segmentation": [SQUARE], "image_id": 9}), tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"images": [], "annotations": 3}', '{"images": [3], "annotations": []}', "[" * 100_000],
)
def test_files_that_are_not_coco_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(AnnotationError, match="COCO file"):
        READ(tmp_path / "x.json")


@pytest.mark.parametrize(
    "broken", [{"annotations": [{"id": 1}]}, {"images": [{"file_name": "x"}]}, {"categories": [{}]}]
)
def test_ids_that_are_needed_and_missing_are_told(tmp_path: Path, broken: dict[str, Any]) -> None:
    with pytest.raises(AnnotationError, match=r"has no (image_)?id"):
        load(one_image({"segmentation": [SQUARE]}) | broken, tmp_path)


def test_in_a_folder_the_one_coco_file_is_found(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no COCO file"):
        READ(tmp_path)
    (tmp_path / "other.json").write_text('{"labels": []}')
    (tmp_path / "annotations").mkdir()
    text = json.dumps(one_image({"segmentation": [SQUARE]}))
    (tmp_path / "annotations/instances.json").write_text(text)
    assert [item.name for item in READ(tmp_path)] == ["x"]
    (tmp_path / "more.json").write_text(text)
    with pytest.raises(AnnotationError, match="2 COCO files"):
        READ(tmp_path)


def test_strings_of_run_lengths_are_those_of_pycocotools() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(5)
    arrays = [rng.random(rng.integers(1, 80, 2)) < p for p in (0, 0.02, 0.5, 0.98, 1) for _ in range(12)]
    arrays.append(disk((900, 700), (400, 300), 250))
    for array in arrays:
        packed = coco.encode(np.asfortranarray(array.astype(np.uint8)))["counts"].decode()
        assert decode_string(packed) == rle(Mask.from_array(array))
