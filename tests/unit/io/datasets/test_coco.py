"""COCO as written: what pycocotools and a reader of the JSON find, and that the check sees every kind of difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import ExportError
from maskwright.io.datasets import FORMATS, Item, Options
from maskwright.io.datasets.coco import open_with_pycocotools
from tests.dataset_items import ct_item, photo_item, voxels_of

COCO = FORMATS["coco"]


def written(items: list[Item], folder: Path, options: Options) -> tuple[dict[str, Any], list[str]]:
    folder.mkdir()
    notes = COCO.write(items, folder, options)
    COCO.check(items, folder, options)
    return json.loads((folder / "annotations.json").read_text(encoding="utf-8")), notes


def test_photo_with_run_lengths(tmp_path: Path) -> None:
    item = photo_item(tmp_path)
    data, notes = written([item], tmp_path / "out", Options())
    assert notes == []
    assert data["images"] == [{"id": 1, "file_name": "ein Foto.png", "width": 60, "height": 40}]
    assert [(one["id"], one["name"], one["code"]) for one in data["categories"]] == [
        (1, "Object", ""),
        (2, "Liver", "SCT:10200004"),
        (3, 'Läsion "links"', ""),
    ]
    box = data["annotations"][1]
    assert (box["id"], box["image_id"], box["category_id"], box["iscrowd"]) == (2, 1, 2, 0)
    assert (box["bbox"], box["area"]) == ([30, 10, 20, 20], 400)
    assert isinstance(box["segmentation"]["counts"], str)
    assert [one["attributes"] for one in data["annotations"]] == [
        {"object_id": 1, "score": 0.875},
        {"object_id": 2},
        {"object_id": 4},
    ]
    coco = open_with_pycocotools(tmp_path / "out" / "annotations.json")
    for entry in data["annotations"]:
        mask = coco.annToMask(entry).astype(np.bool_)
        assert np.array_equal(mask, voxels_of(item, entry["attributes"]["object_id"])[0])


def test_the_photo_is_copied_byte_by_byte(tmp_path: Path) -> None:
    item = photo_item(tmp_path)
    written([item], tmp_path / "out", Options())
    assert (tmp_path / "out/images/ein Foto.png").read_bytes() == item.source.read_bytes()


def test_a_turned_photo_is_written_upright(tmp_path: Path) -> None:
    item = photo_item(tmp_path)
    pixels = np.array(Image.open(item.source))
    turned = Image.fromarray(np.rot90(pixels))  # stored lying, 60 x 40
    exif = turned.getexif()
    exif[274] = 6  # turn right to see it
    turned.save(item.source, exif=exif)
    data, _ = written([item], tmp_path / "out", Options())
    assert np.array_equal(np.array(Image.open(tmp_path / "out/images" / data["images"][0]["file_name"])), pixels)


def test_polygons_hold_what_has_no_hole_and_the_rest_is_told(tmp_path: Path) -> None:
    data, notes = written([photo_item(tmp_path)], tmp_path / "out", Options(polygons=True))
    ring, box, corner = (entry["segmentation"] for entry in data["annotations"])
    assert set(ring) == {"size", "counts"}
    assert box == [[30.0, 10.0, 50.0, 10.0, 50.0, 30.0, 30.0, 30.0]]
    assert corner == [[0.0, 38.0, 3.0, 38.0, 3.0, 40.0, 0.0, 40.0]]
    assert notes == ["1 of 3 masks stays run lengths: they have holes, which COCO polygons cannot hold"]


def test_volume_has_an_image_for_each_annotated_slice(tmp_path: Path) -> None:
    item = ct_item(tmp_path)
    data, _ = written([item], tmp_path / "out", Options())
    assert [(one["file_name"], one["scan"], one["slice"]) for one in data["images"]] == [
        (f"CT 1#z{z:04d}.png", "CT 1", z) for z in range(5)
    ]
    total = {object_id: 0 for object_id in (1, 2, 3)}
    for entry in data["annotations"]:
        total[entry["attributes"]["object_id"]] += entry["area"]
    assert total == {object_id: int(voxels_of(item, object_id).sum()) for object_id in (1, 2, 3)}
    picture = np.array(Image.open(tmp_path / "out/images/CT 1#z0002.png"))
    assert (picture.shape, picture.dtype) == ((24, 30), np.uint8)
    assert item.volume is not None
    hounsfield = item.volume.voxels[2]
    assert (picture[hounsfield <= -150] == 0).all()  # abdomen window, 50 +- 200 HU
    assert (picture[hounsfield >= 250] == 255).all()


def test_without_pictures_photos_keep_their_own_path(tmp_path: Path) -> None:
    data, _ = written([photo_item(tmp_path, "a/x.png"), ct_item(tmp_path)], tmp_path / "out", Options(pictures=False))
    assert data["images"][0]["file_name"] == "a/x.png"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["annotations.json"]


def test_pictures_need_the_scan_that_was_annotated(tmp_path: Path) -> None:
    item = ct_item(tmp_path)
    moved = Item(item.name, item.source, photo_item(tmp_path).geometry, item.annotation, volume=item.volume)
    (tmp_path / "out").mkdir()
    with pytest.raises(ExportError):
        COCO.write([moved], tmp_path / "out", Options())


def change_pixel(data: dict[str, Any]) -> None:
    data["annotations"][2]["segmentation"]["counts"] = data["annotations"][1]["segmentation"]["counts"]


def change_polygon(data: dict[str, Any]) -> None:
    data["annotations"][1]["segmentation"][0][0] += 1


CHANGES: list[Callable[[dict[str, Any]], Any]] = [
    change_pixel,
    lambda data: data["annotations"].pop(),
    lambda data: data["annotations"].append({**data["annotations"][0], "id": 9}),
    lambda data: data["images"].append({**data["images"][0], "id": 9}),
    lambda data: data["images"].clear(),
    lambda data: data["categories"][1].update(name="Spleen"),
    lambda data: data["annotations"][0].update(category_id=2),
    lambda data: data["annotations"][0].update(area=1),
    lambda data: data["annotations"][0]["bbox"].__setitem__(0, 0),
    lambda data: data["annotations"][0]["attributes"].update(object_id=77),
    lambda data: data.pop("annotations"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_check_sees_every_difference(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    items = [photo_item(tmp_path)]
    data, _ = written(items, tmp_path / "out", Options())
    change(data)
    (tmp_path / "out/annotations.json").write_text(json.dumps(data))
    with pytest.raises(ExportError) as caught:
        COCO.check(items, tmp_path / "out", Options())
    assert caught.value.path == tmp_path / "out/annotations.json"


def test_check_sees_a_moved_corner_of_a_polygon(tmp_path: Path) -> None:
    items, options = [photo_item(tmp_path)], Options(polygons=True)
    data, _ = written(items, tmp_path / "out", options)
    change_polygon(data)
    (tmp_path / "out/annotations.json").write_text(json.dumps(data))
    with pytest.raises(ExportError, match="object 2 of ein Foto.png, slice 0 reads back differently"):
        COCO.check(items, tmp_path / "out", options)


def test_check_sees_a_short_a_wrong_and_a_missing_picture(tmp_path: Path) -> None:
    items = [photo_item(tmp_path)]
    written(items, tmp_path / "out", Options())
    picture = tmp_path / "out/images/ein Foto.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:2000])
    with pytest.raises(ExportError, match="cannot be read back"):
        COCO.check(items, tmp_path / "out", Options())
    Image.new("RGB", (60, 41)).save(picture)
    with pytest.raises(ExportError, match="60 x 41 pixels, its mask 60 x 40"):
        COCO.check(items, tmp_path / "out", Options())
    picture.unlink()
    with pytest.raises(ExportError, match="0 pictures instead of 1"):
        COCO.check(items, tmp_path / "out", Options())
