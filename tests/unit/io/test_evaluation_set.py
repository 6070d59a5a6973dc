"""Evaluation sets: which image a mask belongs to, in which order, and what is said of a broken one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskwright.core.errors import ScanError
from maskwright.io.evaluation_set import labels_under, modality_of, read_evaluation_set


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "Prüfung 1"
    blue_green_red = np.zeros((6, 8, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    save(root / "images" / "ä.png", blue_green_red)
    save(root / "images" / "b.jpg", np.full((6, 8), 77, np.uint8))
    save(root / "images" / "c.png", np.dstack([blue_green_red, np.full((6, 8), 99, np.uint8)]))
    save(root / "images" / "d.png", np.full((6, 8), 3000, np.uint16))
    for number, name in enumerate(["b#10", "b#2", "c", "d", "ä#1"]):
        mask = np.zeros((6, 8), np.uint8)
        mask[number] = 255
        mask[5] = 128
        save(root / "masks" / f"{name}.png", mask)
    return root


def test_masks_are_read_in_the_order_of_their_names(folder: Path) -> None:
    items = read_evaluation_set(folder)
    assert [(i.image_name, i.mask_name) for i in items] == [
        ("b.jpg", "b#10.png"),
        ("b.jpg", "b#2.png"),
        ("c.png", "c.png"),
        ("d.png", "d.png"),
        ("ä.png", "ä#1.png"),
    ]
    for number, item in enumerate(items):
        mask = item.mask()
        assert (mask.shape, mask.dtype) == ((6, 8), np.uint8)
        assert np.unique(mask[number]).tolist() == [255] and np.unique(mask[5]).tolist() == [128]
        assert int((mask == 255).sum()) == 8
    assert {i.text for i in items} == {""}


def test_pictures_are_red_green_blue_or_grey(folder: Path) -> None:
    grey, _, with_alpha, deep, colour = (item.image() for item in read_evaluation_set(folder))
    assert grey.shape == (6, 8) and abs(int(grey[0, 0]) - 77) <= 1
    assert (deep.dtype, deep.shape, deep[0, 0]) == (np.uint16, (6, 8), 3000)
    for image in (with_alpha, colour):
        assert image.shape == (6, 8, 3) and image[0, 0].tolist() == [30, 20, 10] and image.flags.c_contiguous


@pytest.mark.parametrize(
    ("limit", "taken"), [(None, [0, 1, 2, 3, 4]), (1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (9, [0, 1, 2, 3, 4])]
)
def test_a_limit_takes_objects_evenly(folder: Path, limit: int | None, taken: list[int]) -> None:
    names = [i.mask_name for i in read_evaluation_set(folder)]
    assert [i.mask_name for i in read_evaluation_set(folder, limit=limit)] == [names[i] for i in taken]


def test_labels_come_from_their_table(folder: Path) -> None:
    (folder / "labels.csv").write_text('b#2.png,"kidney, left"\nä#1.png,Öl\n\nc.png\n', "utf-8")
    assert [i.text for i in read_evaluation_set(folder)] == ["", "kidney, left", "", "", "Öl"]


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_folder_that_lacks_a_part(tmp_path: Path, part: str) -> None:
    (tmp_path / ("masks" if part == "images" else "images")).mkdir()
    with pytest.raises(ScanError, match=f"there is no {part} folder") as caught:
        read_evaluation_set(tmp_path)
    assert caught.value.path == tmp_path


def test_a_mask_without_an_image(folder: Path) -> None:
    save(folder / "masks" / "stray#1.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(ScanError, match="no image has the name of this mask") as caught:
        read_evaluation_set(folder)
    assert caught.value.path == folder / "masks" / "stray#1.png"


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_files_are_read_when_they_are_asked_for_and_a_broken_one_is_named(folder: Path, content: bytes) -> None:
    for path in (folder / "images" / "ä.png", folder / "masks" / "c.png"):
        path.write_bytes(content)
    items = read_evaluation_set(folder)
    with pytest.raises(ScanError, match="not a readable image") as caught:
        items[4].image()
    assert caught.value.path == folder / "images" / "ä.png"
    with pytest.raises(ScanError, match="not a readable image"):
        items[2].mask()
    (folder / "masks" / "d.png").unlink()
    with pytest.raises(ScanError, match=r"cannot be read \(No such file or directory\)"):
        items[3].mask()


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("berkeley", "photo"),
        ("coco_mval", "photo"),
        ("medical_btcv_ct_abdomen", "ct"),
        ("medical_covid_cxr", "xray"),
        ("medical_ct_head_hemorrhage_bhsd", "ct"),
        ("medical_dental_panoramic", "xray"),
        ("medical_derm_ham10000", "dermoscopy"),
        ("medical_em_membrane_isbi2012", "em"),
        ("medical_endo_polyp_kvasir", "endoscopy"),
        ("medical_fundus_vessels", "fundus"),
        ("medical_mr_spine_spider", "mr"),
        ("medical_nuclei_dsb2018", "microscopy"),
        ("medical_us_fetal_head", "ultrasound"),
        ("medical_histo_glas_glands", "histology"),
    ],
)
def test_the_name_of_a_set_tells_its_modality_unless_a_file_does(tmp_path: Path, name: str, modality: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    assert modality_of(folder) == modality
    (folder / "modality.txt").write_text(" PET\n", "utf-8")
    assert modality_of(folder) == "pet"


def test_items_know_their_modality(folder: Path) -> None:
    assert {i.modality for i in read_evaluation_set(folder)} == {"photo"}
    (folder / "modality.txt").write_text("ct", "utf-8")
    assert {i.modality for i in read_evaluation_set(folder)} == {"ct"}


def test_objects_of_given_labels_alone_are_spread_over_the_folder(folder: Path) -> None:
    (folder / "labels.csv").write_text("b#10.png,Left  Kidney\nb#2.png,liver\nd.png,left kidney\nä#1.png,\n", "utf-8")
    found = read_evaluation_set(folder, labels={"left kidney"})
    assert [i.mask_name for i in found] == ["b#10.png", "d.png"]
    assert [i.mask_name for i in read_evaluation_set(folder, labels={"left kidney"}, limit=1)] == ["b#10.png"]
    assert read_evaluation_set(folder, labels={"spleen"}) == []


def test_the_labels_of_training_data_of_every_layout(tmp_path: Path) -> None:
    for name, text in {
        "natural/A/labels.csv": "file,index,label\na.png,1,Cat\na.png,2,\n",
        "medical/B/labels.csv": "m#1.png,left  kidney\n\n",
        "volumes/C/meta.json": '{"classes": {"1": "Spleen", "2": "cat"}}',
        "volumes/D/meta.json": "{}",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text, "utf-8")
    assert labels_under(tmp_path) == {"cat", "left kidney", "spleen"}
    with pytest.raises(ScanError, match="no data with labels"):
        labels_under(tmp_path / "volumes" / "D")
    (tmp_path / "volumes/D/meta.json").write_text("{", "utf-8")
    with pytest.raises(ScanError, match="not readable"):
        labels_under(tmp_path)
