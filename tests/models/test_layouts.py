"""Sets in the layouts of others, read pixel by pixel, and damaged ones."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import ScanError
from maskwright.io.datasets import FORMATS, Options
from maskwright_models.data.index import LazyMap, read_index, read_map
from maskwright_models.data.layouts import LAYOUTS, read_layout
from maskwright_models.data.layouts.files import apart
from maskwright_models.data.layouts.items import as_evaluation_items
from maskwright_models.data.licences import LICENCES
from tests.dataset_items import ct_item, photo_item, voxels_of
from tests.models.layout_cases import (
    KIDNEY,
    LIVER,
    SHAPE,
    TUMOR,
    box,
    by_text,
    coco,
    coco_lvis,
    imed,
    numbered,
    panoptic,
    picture,
    same,
    sbd,
)

# IMed-361M.


def test_imed_keeps_overlapping_classes_whole_and_takes_regions_for_training(tmp_path: Path) -> None:
    (dataset,) = read_index(imed(tmp_path / "BTCV"))
    assert (dataset.name, dataset.group, dataset.modality) == ("BTCV", "medical", "mr")
    found = by_text(dataset)
    assert set(found) == {"liver", "liver tumor", "left kidney"}, "the empty row is no object"
    assert same(found["liver"], LIVER) and same(found["liver tumor"], TUMOR) and same(found["left kidney"], KIDNEY)
    (entry,) = dataset.images
    assert len(entry.maps) == 3, "liver and kidney, the tumor in the liver, regions"
    regions = read_map(entry.maps[2])
    assert regions.min() == 0 and set(np.unique(regions)) == {0, 1, 31} and same(regions == 31, LIVER)
    assert not any(name == "x___a.npy" for name, _ in entry.labels)


def test_imed_test_items_are_the_other_split(tmp_path: Path) -> None:
    folder = imed(tmp_path / "BTCV", test=[])
    assert len(read_index(folder)[0].images) == 1
    assert read_index(folder, split="val")[0].images == ()


def test_imed_that_is_damaged_is_refused(tmp_path: Path) -> None:
    folder = imed(tmp_path / "a")
    (label,) = (folder / "label").iterdir()
    whole = label.read_bytes()
    label.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ScanError, match="not a readable sparse label file"):
        read_index(folder)
    label.write_bytes(whole)
    other = label.rename(label.with_name("x___a.(4, 41, 60, 1).npz"))
    data = json.loads((folder / "dataset.json").read_text())
    for name, error in ((other.name, "another shape than its name"), ("nothing.npz", "does not end in its shape")):
        data["training"][0]["label"] = f"label/{name}"
        (folder / "dataset.json").write_text(json.dumps(data))
        with pytest.raises(ScanError, match=error):
            read_index(folder)
    with pytest.raises(ScanError, match="4 rows, dataset.json 1 labels"):
        read_index(imed(tmp_path / "b", labels={"0": "background", "1": "liver"}))
    with pytest.raises(ScanError, match="lacks modality"):
        read_index(imed(tmp_path / "c", modality={}))
    (folder := imed(tmp_path / "d")).joinpath("image", "a.png").unlink()
    with pytest.raises(ScanError, match="an image that is not there"):
        read_index(folder)
    np.save((folder := imed(tmp_path / "e")) / "imask" / "x___a.npy", np.zeros((3, 3, 1)))
    with pytest.raises(ScanError, match="regions of the size"):
        read_map(read_index(folder)[0].images[0].maps[-1])


# COCO and LVIS.


@pytest.mark.parametrize(
    ("file", "image", "place"),
    [
        ("annotations/instances_train2017.json", {"file_name": "a.jpg"}, "train2017/a.jpg"),
        ("lvis_v1_train.json", {"coco_url": "http://images.cocodataset.org/val2017/a.jpg"}, "val2017/a.jpg"),
        ("train/_annotations.coco.json", {"file_name": "a.jpg"}, "train/a.jpg"),
        ("annotations.json", {"file_name": "images/a.jpg"}, "images/a.jpg"),
        ("annotations/train.json", {"file_name": "x/a.jpg"}, "images/train/x/a.jpg"),
    ],
)
def test_coco_and_its_relatives(tmp_path: Path, file: str, image: dict[str, Any], place: str) -> None:
    picture(tmp_path / "set" / place)
    coco(tmp_path / "set" / file, image)
    (dataset,) = read_index(tmp_path / "set")
    assert (dataset.name, dataset.group, dataset.modality) == ("set", "natural", "photo")
    (entry,) = dataset.images
    assert entry.image == tmp_path / "set" / place
    found = by_text(dataset)
    assert set(found) == {"traffic light", "dog", "cat"}, "a crowd is no object"
    assert same(found["traffic light"], LIVER) and same(found["dog"], TUMOR) and same(found["cat"], KIDNEY)
    assert len(entry.maps) == 2, "the first and the third do not touch and share a map"


def test_coco_takes_the_split_it_is_asked_for_and_leaves_out_what_interformer_does(tmp_path: Path) -> None:
    root = tmp_path / "coco2017"
    for split in ("train", "val"):
        coco(root / "annotations" / f"instances_{split}2017.json", {"file_name": f"{split}.jpg"})
        picture(root / f"{split}2017" / f"{split}.jpg")
    assert read_index(root)[0].images[0].image.name == "train.jpg"
    assert read_index(root, split="val")[0].images[0].image.name == "val.jpg"
    (tmp_path / "interformer").mkdir()
    (tmp_path / "interformer" / "ignore_prefix.json").write_text('{"train": ["train"]}')
    assert read_index(root, split="val")[0].images[0].image.name == "val.jpg"
    with pytest.raises(ScanError, match="none of the 2 images"):
        read_index(root)


def test_coco_that_is_damaged_or_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "outside.jpg")
    coco(tmp_path / "a" / "annotations.json", {"file_name": "../outside.jpg"})
    with pytest.raises(ScanError, match="none of the 2 images of this annotation file is here"):
        read_index(tmp_path / "a")
    picture(tmp_path / "b" / "a.jpg")
    file = coco(tmp_path / "b" / "annotations.json", {"file_name": "a.jpg"}, annotations=[{"image_id": 7}])
    with pytest.raises(ScanError, match="none of the 2 images"):
        read_index(tmp_path / "b")
    odd = [{"image_id": 7, "segmentation": {"size": [2, 2], "counts": "0"}}]
    coco(file, {"file_name": "a.jpg"}, annotations=odd)
    (dataset,) = read_index(tmp_path / "b")
    with pytest.raises(ScanError, match="cannot be read"):
        read_map(dataset.images[0].maps[0])
    for text, error in (("{", "cannot be read"), ("[]", "a list instead"), ('{"images": []}', "not annotations")):
        file.write_text(text)
        with pytest.raises(ScanError, match=error):
            read_index(tmp_path / "b")


def test_what_the_app_exports_as_coco_can_be_trained_on(tmp_path: Path) -> None:
    items = [photo_item(tmp_path), ct_item(tmp_path)]
    (tmp_path / "out").mkdir()
    FORMATS["coco"].write(items, tmp_path / "out", Options())
    (dataset,) = read_index(tmp_path / "out")
    assert [e.image.name for e in dataset.images] == ["ein Foto.png", *(f"CT 1#z{z:04d}.png" for z in range(5))]
    drawn = as_evaluation_items(dataset)
    photo = [i.mask() == 255 for i in drawn if i.image_name == "ein Foto.png"]
    wanted = [voxels_of(items[0], number)[0] for number in (1, 2, 4)]
    assert len(photo) == 3 and all(any(same(mask, one) for mask in photo) for one in wanted)
    total = sum(int((i.mask() == 255).sum()) for i in drawn if i.image_name.startswith("CT"))
    assert total == sum(int(voxels_of(items[1], number).sum()) for number in (1, 2, 3))
    assert "liver" in {i.text for i in drawn}
    (tmp_path / "out" / "modality.txt").write_text("ct\n")
    (scans,) = read_index(tmp_path / "out")
    assert (scans.group, scans.modality) == ("medical", "ct")


def test_boxes_that_do_not_touch_share_a_group() -> None:
    assert apart([(0, 0, 9, 9), (20, 0, 30, 9), (5, 5, 25, 25), None, (0, 20, 3, 30)]) == [[0, 1, 4], [2], [3]]
    assert apart([(0, 0, 9, 9), (10, 0, 19, 9)]) == [[0], [1]], "neighbours may share a pixel once drawn"


# COCO panoptic.


def test_panoptic_pictures_become_things_and_stuff_without_crowds(tmp_path: Path) -> None:
    folder = panoptic(tmp_path / "coco2017")
    coco(folder / "annotations" / "instances_train2017.json", {"file_name": "000000000009.jpg"})
    (dataset,) = read_index(folder)
    found = by_text(dataset)
    assert set(found) == {"person", "wall"}, "panoptic is what InterFormer trains on, where both are there"
    assert same(found["person"], LIVER & ~TUMOR) and same(found["wall"], TUMOR)
    (entry,) = dataset.images
    (one,) = entry.maps
    assert isinstance(one, LazyMap) and same(one.decode() == -1, KIDNEY), "a crowd is ignored, not background"
    assert set(by_text(read_index(folder, layout="coco")[0])) == {"traffic light", "dog", "cat"}


def test_panoptic_without_its_images_is_refused(tmp_path: Path) -> None:
    folder = panoptic(tmp_path / "coco2017")
    next((folder / "train2017").iterdir()).unlink()
    with pytest.raises(ScanError, match="none of the 2 images of this list"):
        read_index(folder)


# RITM's COCO+LVIS.


def test_coco_lvis_keeps_an_object_and_its_part(tmp_path: Path) -> None:
    (dataset,) = read_index(coco_lvis(tmp_path / "COCO_LVIS"))
    (entry,) = dataset.images
    first, second = (read_map(m) for m in entry.maps)
    assert set(entry.labels) == {("a@1", 1), ("a@1", 3), ("a@2", 2)}
    assert same(first == 1, LIVER) and same(first == 3, KIDNEY) and same(second == 2, TUMOR)
    assert int((first == 4).sum()) == 100 and int((second == 4).sum()) == 0, "stuff is on the first map"


class _Trap:
    def __reduce__(self) -> Any:
        return os.mkdir, ("sprung",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, name in (("a", "hannotation.pickle"), ("b", "masks/a.pickle")):
        (coco_lvis(tmp_path / folder) / "train" / name).write_bytes(pickle.dumps({"a": _Trap()}))
        with pytest.raises(ScanError, match=r"more than data \(it would run (posix|nt)\.mkdir\)"):
            read_map(read_index(tmp_path / folder)[0].images[0].maps[0])
    assert not (tmp_path / "sprung").exists()
    folder = coco_lvis(tmp_path / "c")
    (folder / "train" / "masks" / "a.pickle").write_bytes(pickle.dumps(([np.zeros(5, np.uint8)], [(0, 1)])))
    with pytest.raises(ScanError, match="masks of this image are damaged"):
        read_map(read_index(folder)[0].images[0].maps[0])
    (folder / "train" / "hannotation.pickle").write_bytes(b"\x80\x05nothing")
    with pytest.raises(ScanError, match="damaged or holds more than data"):
        read_index(folder)


# SBD.


def test_sbd_has_the_classes_of_its_objects_and_no_outlines_in_training(tmp_path: Path) -> None:
    (dataset,) = read_index(sbd(tmp_path / "sbd"))
    found = by_text(dataset)
    assert set(found) == {"person", "tv monitor"} and dataset.name == "sbd"
    assert same(found["person"], LIVER) and same(found["tv monitor"], KIDNEY)
    assert read_map(dataset.images[0].maps[0])[0, 0] == 0
    (tests,) = read_index(tmp_path / "sbd", split="val")
    assert set(by_text(tests)) == {"person", "tv monitor", "car"}


def test_sbd_that_is_incomplete_is_refused(tmp_path: Path) -> None:
    place = sbd(tmp_path / "sbd") / "benchmark_RELEASE" / "dataset"
    (place / "inst" / "2008_000051.mat").write_bytes(b"MATLAB" * 50)
    with pytest.raises(ScanError, match="not an instance map of SBD"):
        read_index(tmp_path / "sbd")
    (place / "train.txt").write_text("2008_000051\nother\n")
    (place / "img" / "2008_000051.jpg").unlink()
    with pytest.raises(ScanError, match=r"train.txt names an image that is not there: 2008_000051"):
        read_index(tmp_path / "sbd")


# GrabCut, Berkeley, DAVIS.


def test_masks_of_the_click_tests_in_all_their_ways(tmp_path: Path) -> None:
    rim = box(3, 3, 27, 32) & ~LIVER
    for folder, images in (("GrabCut", "img/a.png"), ("DAVIS", "img/a.jpg"), ("Berkeley", "images/a.jpg")):
        picture(tmp_path / folder / images)
    picture(tmp_path / "ritm_grabcut" / "data_GT" / "a.bmp")
    values = np.where(LIVER, 1, np.where(rim, 255, 0))
    numbered(tmp_path / "GrabCut" / "gt" / "a#001.png", values)
    colours = np.zeros((*SHAPE, 3), np.uint8)
    colours[LIVER], colours[5:8, 5:30] = (128, 0, 0), (0, 128, 0)
    (tmp_path / "DAVIS" / "gt").mkdir()
    Image.fromarray(colours).save(tmp_path / "DAVIS" / "gt" / "a.png")
    for place in ("Berkeley/masks/a#1.png", "ritm_grabcut/boundary_GT/a.bmp"):
        (tmp_path / place).parent.mkdir()
        Image.fromarray(np.where(LIVER, 255, np.where(rim, 128, 0)).astype(np.uint8)).save(tmp_path / place)
    found = read_index(tmp_path, split="val")
    assert [d.name for d in found] == ["Berkeley", "DAVIS", "GrabCut", "ritm_grabcut"]
    for dataset in found:
        (item,) = as_evaluation_items(dataset)
        mask = item.mask()
        assert mask.dtype == np.uint8 and same(mask == 255, LIVER), dataset.name
        assert same(mask == 128, rim if dataset.name != "DAVIS" else np.zeros(SHAPE, bool)), dataset.name
        assert item.image().shape == (*SHAPE, 3) and item.image_name == dataset.images[0].image.name
    with pytest.raises(ScanError, match="no training sets here"):
        read_index(tmp_path)


def test_a_click_test_image_without_a_mask_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "DAVIS" / "img" / "a.jpg")
    (tmp_path / "DAVIS" / "gt").mkdir()
    with pytest.raises(ScanError, match="no mask has the name of this image"):
        read_index(tmp_path / "DAVIS", split="val")
    (tmp_path / "DAVIS" / "gt" / "a.png").write_bytes(b"no picture")
    (dataset,) = read_index(tmp_path / "DAVIS", split="val")
    with pytest.raises(ScanError, match="not a readable mask"):
        as_evaluation_items(dataset)[0].mask()


# All of them.


def test_a_folder_of_sets_gives_all_of_them_and_a_named_layout_only_its_own(tmp_path: Path) -> None:
    imed(tmp_path / "imed")
    panoptic(tmp_path / "coco2017")
    sbd(tmp_path / "sbd")
    coco_lvis(tmp_path / "lvis")
    assert [d.name for d in read_index(tmp_path)] == ["coco2017", "imed", "lvis", "sbd"]
    assert [d.name for d in read_index(tmp_path, layout="sbd")] == ["sbd"]
    assert [d.name for d in read_index(tmp_path, only=("imed",))] == ["imed"]
    assert read_index(tmp_path, licences="open") == [] and "imed" not in LICENCES, "unknown terms are not open"


def test_a_layout_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="there is no layout named cocoo") as error:
        read_index(tmp_path, layout="cocoo")
    assert "imed" in error.value.hint
    for layout in LAYOUTS:
        with pytest.raises(ScanError, match="nothing here looks like"):
            read_index(tmp_path, layout=layout)
    for layout in ("auto", "maskwright"):
        with pytest.raises(ScanError, match="there are no training sets here"):
            read_index(tmp_path, layout=layout)
    with pytest.raises(ScanError, match="no such folder"):
        read_layout(tmp_path / "gone")
    with pytest.raises(ValueError, match="split"):
        read_layout(tmp_path, split="test")


def test_every_object_becomes_an_item_with_its_own_mask(tmp_path: Path) -> None:
    (dataset,) = read_index(imed(tmp_path / "BTCV"))
    items = as_evaluation_items(dataset)
    assert {i.text for i in items} == {"liver", "liver tumor", "left kidney"} and {i.modality for i in items} == {"mr"}
    assert len({i.mask_name for i in items}) == 3 and {i.image_name for i in items} == {"a.png"}
    masks = {i.text: i.mask() for i in items}
    assert same(masks["liver tumor"] == 255, TUMOR) and not (masks["liver"] == 128).any()
    assert len(as_evaluation_items(dataset, limit=2)) == 2


def test_items_of_our_own_layout_carry_their_labels(tmp_path: Path) -> None:
    folder = tmp_path / "medical" / "ct_x"
    picture(folder / "images" / "a.png")
    (folder / "objects").mkdir()
    cv2.imwrite(str(folder / "objects" / "a.png"), LIVER.astype(np.uint8) + 2 * KIDNEY.astype(np.uint8))
    (folder / "labels.csv").write_text("file,index,label\na.png,1,liver\na.png,2,left kidney\n")
    items = as_evaluation_items(read_index(tmp_path)[0])
    assert [i.text for i in items] == ["liver", "left kidney"] and same(items[1].mask() == 255, KIDNEY)


def test_a_lazy_map_can_be_trained_on(tmp_path: Path) -> None:
    from maskwright_models.data.views import input_of

    (dataset,) = read_index(imed(tmp_path / "BTCV"))
    for round_ in range(3):
        rgb, crop, _ = input_of(dataset, 0, round_, 64)
        assert rgb.shape == (64, 64, 3) and crop.apply(read_map(dataset.images[0].maps[0])).size > 0
    assert len(dataset.fingerprint) == 64
