"""Slices of labelled volumes as 2-D training sets: which, how turned, what grey, which objects; and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import SimpleITK as sitk

from maskwright.core.errors import ScanError
from maskwright.core.geometry import Geometry
from maskwright.core.volume import Volume
from maskwright_models.__main__ import main
from maskwright_models.data.licences import LICENCES
from maskwright_models.data.volumes import (
    VolumeItem,
    index_with_volumes,
    materialise_volumes,
    read_volume_set,
    slices_of,
)

CLASSES = {1: "liver", 2: "tumor"}


def volume(voxels: np.ndarray, spacing_zyx: tuple[float, ...] = (1, 1, 1)) -> Volume:
    """A volume whose rows lead to the front and whose columns lead to the right: stored turned half round."""
    affine = np.diag([-spacing_zyx[2], -spacing_zyx[1], spacing_zyx[0], 1.0])
    affine[:3, 3] = 5
    return Volume(voxels, Geometry(voxels.shape[:3], affine), "", Path("x"))  # type: ignore[arg-type]


def item(modality: str = "mr", classes: dict[int, str] = CLASSES) -> VolumeItem:
    return VolumeItem("a", Path("a"), Path("a"), modality, classes)


def block(shape: tuple[int, int, int] = (12, 140, 130)) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    labels[2:10, 10:50, 20:60] = 1
    labels[4:8, 20:30, 30:40] = 2
    return labels


def write_set(folder: Path, labels: np.ndarray, voxels: np.ndarray, **meta: Any) -> Path:
    folder.mkdir(parents=True)
    for part, array in (("image", voxels), ("label", labels)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(meta.pop("spacing_xyz", (1.0, 1.0, 3.0)))
        sitk.WriteImage(image, str(folder / f"a_{part}.nii.gz"))
    known = {"modality": "mr", "classes": {"1": "liver", "2": "tumor"}, "items": [{"id": "a"}]}
    (folder / "meta.json").write_text(json.dumps({**known, **meta}), "utf-8")
    return folder


def test_thick_slices_are_taken_along_z_only_and_near_cubes_along_all_axes() -> None:
    labels = block((60, 64, 64))
    labels[10:50, 20:40, 20:40] = 1
    scan = np.zeros(labels.shape, np.uint8)
    names = [n for n, _ in slices_of(volume(scan, (3, 1, 1)), labels, item(), count=6)]
    assert len(names) == 6 and all("_z" in n for n in names)
    names = [n for n, _ in slices_of(volume(scan, (1.5, 1, 1)), labels, item(), count=6)]
    assert [n[2] for n in names] == list("zzyyxx")
    one_each = {n[2] for k in range(3) for n, _ in slices_of(volume(scan), labels, item(), count=1, number=k)}
    assert one_each == set("xyz"), "volumes of a set take turns"


def test_slices_are_spread_over_the_labelled_part() -> None:
    labels = np.zeros((100, 20, 20), np.uint8)
    labels[20:80, 5:15, 5:15] = 1
    names = [n for n, _ in slices_of(volume(labels * 9, (3, 1, 1)), labels, item(), count=4)]
    assert names == ["a_z027", "a_z042", "a_z057", "a_z072"]
    few = labels.copy()
    few[22:] = 0
    assert len(list(slices_of(volume(few, (3, 1, 1)), few, item(), count=4))) == 2
    assert list(slices_of(volume(few, (3, 1, 1)), np.zeros_like(few), item(), count=4)) == []


def test_every_other_slice_is_turned_as_it_is_shown_with_its_map() -> None:
    labels = block()
    found = [s for _, s in slices_of(volume(labels * 100, (3, 1, 1)), labels, item(), count=4)]
    assert [tuple(np.argwhere(s.maps[0] > 0).min(0)) for s in found] == [(10, 20), (90, 70)] * 2
    for s in found:
        assert np.array_equal(s.pixels, s.maps[0] * 100) and s.pixels.flags.c_contiguous


def test_grey_values_are_those_the_app_encodes_with_ct_known_and_unknown() -> None:
    labels = block()
    scan = np.where(labels > 0, 40, -1000).astype(np.int16)
    scan[:, 100:, :] = 1000
    ct = [s.pixels for _, s in slices_of(volume(scan, (3, 1, 1)), labels, item("ct"), count=2)]
    assert ct[0][20, 25] == round(200 / 400 * 255) and ct[0][120, 0] == 255
    assert ct[1][::-1, ::-1][20, 25] == round(1040 / 2000 * 255)
    mr = [s.pixels for _, s in slices_of(volume(scan, (3, 1, 1)), labels, item("mr"), count=2)]
    assert [int(mr[0][20, 25]), int(mr[1][::-1, ::-1][20, 25])] == [133, 133]


def test_pixels_become_square_and_small_slices_large() -> None:
    labels = block((24, 64, 30))
    scan = labels * 50
    shapes = {n[2]: s.pixels.shape for n, s in slices_of(volume(scan, (1.5, 1, 1)), labels, item(), count=3)}
    assert shapes == {"z": (128, 60), "y": (36 * 4, 30 * 4), "x": (72, 128)}
    for _, s in slices_of(volume(scan, (1.5, 1, 1)), labels, item(), count=3):
        assert s.maps[0].shape == s.pixels.shape


def test_an_enlarged_border_is_not_a_stair() -> None:
    labels = np.zeros((3, 32, 32), np.uint8)
    labels[:, :, :] = np.tri(32, dtype=np.uint8)
    ((_, found),) = slices_of(volume(labels, (3, 1, 1)), labels, item(), count=1)
    assert found.maps[0].shape == (128, 128)
    ends = np.argmin(found.maps[0], axis=1)[8:-8]  # where each row's object ends
    assert np.abs(ends - (ends[0] + np.arange(len(ends)))).max() <= 1


def test_objects_are_numbered_from_one_and_specks_are_left_out() -> None:
    labels = block()
    labels[:, 120:123, 120:123] = 7  # not in the table of classes
    labels[:, 100:103, 100:103] = 2
    first, *_ = [s for _, s in slices_of(volume(labels, (3, 1, 1)), labels, item(), count=4)]
    assert first.labels == ({1: "liver"},), "a tumor of 9 pixels of 18200 is a speck"
    assert set(np.unique(first.maps[0])) == {0, 1} and first.maps[0].dtype == np.uint8
    assert first.maps[0][101, 101] == 0 and first.maps[0][121, 121] == 0


def test_a_union_has_a_map_of_its_own_and_takes_the_place_of_its_rest() -> None:
    labels = block()
    unions = (("liver", frozenset({1, 2})),)
    found = [s for _, s in slices_of(volume(labels, (3, 1, 1)), labels, item(), count=4, unions=unions)]
    assert found[0].labels == ({1: "liver"},)
    assert found[1].labels == ({1: "tumor"}, {1: "liver"})
    assert [int(m.sum()) for m in found[1].maps] == [100, 1600]


def test_a_set_is_written_so_that_the_index_reads_it(tmp_path: Path) -> None:
    write_set(tmp_path / "volumes" / "livers", block(), block() * 100)
    out = tmp_path / "out"
    assert main(["volumes", str(tmp_path), "--out", str(out)]) == 0
    (folder,) = materialise_volumes(tmp_path / "volumes", out)  # again: replaced, not doubled
    assert folder == out / "medical" / "livers" and [p.name for p in folder.parent.iterdir()] == ["livers"]
    for part in ("images", "objects"):
        (tmp_path / "natural" / "photos" / part).mkdir(parents=True)
    (tmp_path / "natural" / "photos" / "labels.csv").write_text("file,index,label\n")
    photos, slices = index_with_volumes(tmp_path, out)
    assert (photos.name, slices.name, slices.group, slices.modality) == ("photos", "livers", "medical", "mr")
    assert len(slices.images) == 8, "every labelled slice, since there are fewer than ten"
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for entry in slices.images:
        (path,) = entry.maps
        index = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert index is not None
        named = {int(r["index"]): r["label"] for r in rows if r["file"] == path.name}
        assert set(named) == set(np.unique(index)) - {0} and set(named.values()) <= {"liver", "tumor"}
    assert index_with_volumes(tmp_path, None)[0].name == "photos"


def test_a_set_of_several_modalities_becomes_several(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "v" / "s", block(), block() * 100, items=[{"id": "a", "modality": "ct"}, {"id": "b"}])
    for part in ("image", "label"):
        (folder / f"b_{part}.nii.gz").write_bytes((folder / f"a_{part}.nii.gz").read_bytes())
    found = materialise_volumes(tmp_path / "v", tmp_path / "out")
    assert [(f.name, (f / "modality.txt").read_text()) for f in found] == [("s_ct", "ct\n"), ("s_mr", "mr\n")]


def test_labels_that_a_model_made_are_left_out(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "v" / "s", block(), block(), ground_truth="model output")
    assert read_volume_set(folder) == []
    with pytest.raises(ScanError, match="no labelled volumes here"):
        materialise_volumes(tmp_path / "v", tmp_path / "out")
    with pytest.raises(ScanError, match="no labelled volumes here"):
        materialise_volumes(tmp_path / "nowhere", tmp_path / "out")


def test_a_set_that_is_not_whole_is_refused_and_nothing_is_put_in_place(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "v" / "s", block()[:, :-1], block())
    with pytest.raises(ScanError, match="on the grid of its image"):
        materialise_volumes(tmp_path / "v", tmp_path / "out")
    assert not (tmp_path / "out" / "medical" / "s").exists()
    (folder / "a_label.nii.gz").unlink()
    with pytest.raises(ScanError, match="names a volume that is not there"):
        read_volume_set(folder)
    (folder / "meta.json").write_text('{"classes": []}')
    with pytest.raises(ScanError, match="does not have classes, modality and items"):
        read_volume_set(folder)


def test_terms_of_the_volumes_are_known() -> None:
    assert LICENCES["acdc_cardiac_mr"].restricted and LICENCES["miccai2012_brain"].restricted
    assert not LICENCES["openms_flair"].restricted and not LICENCES["sts_sarcoma_pet"].restricted
