"""Import: what a dataset is, and which scan each part of it belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import AnnotationError
from maskwright.core.geometry import Geometry
from maskwright.core.labels import LabelSet
from maskwright.io.datasets import FORMATS, ImportedItem, Loaded
from maskwright.session.export_job import export
from maskwright.session.import_job import load_for, match, read_dataset
from tests.dataset_items import PHOTO_YX, ct_item, photo_item


def named(*names: str) -> list[ImportedItem]:
    empty = Loaded(LabelSet.default(), ())
    return [ImportedItem(name, Path(f"{name}.png"), lambda _: empty) for name in names]


def pairs(items: tuple[str, ...], scans: tuple[str, ...]) -> dict[str, str]:
    return {scans[i]: item.name for i, item in match(named(*items), scans).items()}


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_the_format_of_an_export_is_found_out_and_all_scans_are_matched(tmp_path: Path, format: str) -> None:
    items = [photo_item(tmp_path, "a/x.png"), photo_item(tmp_path, "b/x.png"), ct_item(tmp_path)]
    export(items, format=format, out=tmp_path / "out")
    found, read = read_dataset(tmp_path / "out")
    assert found == format
    expected = {2} if format == "nifti" else {0, 1, 2}
    matched = match(read, [item.name for item in items])
    assert matched.keys() == expected
    for i, item in matched.items():
        area = sum(one.area for one in item.load(items[i].geometry).objects)
        assert area > 0
    if format != "nifti":
        assert {matched[0].name.replace("/", "_"), matched[1].name.replace("/", "_")} == {"a_x", "b_x"}


def test_a_single_file_is_told_by_what_it_holds(tmp_path: Path) -> None:
    Image.fromarray(np.ones(PHOTO_YX, np.uint8)).save(tmp_path / "x", format="PNG")
    assert read_dataset(tmp_path / "x")[0] == "png"
    export([ct_item(tmp_path)], format="nifti", out=tmp_path / "out")
    assert read_dataset(tmp_path / "out/CT 1.nii.gz")[0] == "nifti"
    with pytest.raises(AnnotationError, match="not a PNG file"):
        read_dataset(tmp_path / "out/CT 1.nii.gz", format="png")


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="no such file or folder"):
        read_dataset(tmp_path / "nothing")
    with pytest.raises(AnnotationError, match="not a dataset that can be imported"):
        read_dataset(tmp_path)
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(AnnotationError, match="not a dataset that can be imported"):
        read_dataset(tmp_path / "x.txt")


def test_names_match_with_and_without_ending_folder_and_case() -> None:
    scans = ("a/CT 1.nii.gz", "b/CT 1.nii.gz", "Photo.JPG")
    assert pairs(("b_CT 1", "a/CT 1", "photo"), scans) == {
        "a/CT 1.nii.gz": "a/CT 1",
        "b/CT 1.nii.gz": "b_CT 1",
        "Photo.JPG": "photo",
    }


def test_a_name_that_fits_several_decides_nothing() -> None:
    assert pairs(("CT 1",), ("a/CT 1.nii.gz", "b/CT 1.nii.gz")) == {}
    assert pairs(("train/x", "test/x"), ("x.png", "y.png")) == {}
    assert pairs(("x.png", "x.jpg"), ("x.png", "x.jpg")) == {"x.png": "x.png", "x.jpg": "x.jpg"}


def test_label_maps_carry_something_behind_the_name_of_their_scan() -> None:
    assert pairs(("case1_label", "case2_label"), ("case1_image.nii.gz", "case2.nii.gz")) == {
        "case1_image.nii.gz": "case1_label",
        "case2.nii.gz": "case2_label",
    }


def test_one_item_and_one_scan_belong_together() -> None:
    assert pairs(("whatever",), ("photo.png",)) == {"photo.png": "whatever"}
    assert pairs(("whatever", "other"), ("photo.png",)) == {}


def test_load_for_names_the_scan_it_has_nothing_for() -> None:
    grid = Geometry.photo(*PHOTO_YX)
    assert load_for(named("x", "y"), name="x.png", geometry=grid, path=Path("set")).objects == ()
    with pytest.raises(AnnotationError, match=r"has nothing for z\.png: set\."):
        load_for(named("x", "y"), name="z.png", geometry=grid, path=Path("set"))
