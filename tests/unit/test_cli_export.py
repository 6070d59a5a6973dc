"""`maskwright export` and `import`: from a project to a dataset and back, voxel by voxel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskwright.cli import main
from maskwright.core.annotation import AnnotationObject
from maskwright.core.mask import Mask
from maskwright.core.volume import View
from maskwright.session.project import Project
from maskwright.session.session import Session
from tests.fakes import FakeSegmenter
from tests.unit.test_cli_segment import make_volume

SHAPE = (5, 40, 50)


def disk(x: int, y: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


MASKS = {View(0, 1): disk(20, 15, 6), View(0, 2): disk(22, 16, 8), View(0, 4): disk(40, 30, 3)}


def open_session(project: Path | None, tmp_path: Path) -> Session:
    return Session(
        project=None if project is None else Project.open(project),
        segmenter=FakeSegmenter(),
        store_root=tmp_path / "store",
        post=lambda work: None,
        on_changes=lambda changes: None,
        encode_ahead=False,
    )


def annotate(project: Path | None, scan: Path, tmp_path: Path) -> None:
    """A project with this scan and one object called Liver on three of its slices."""
    session = open_session(project, tmp_path)
    session.open(scan)
    session.rename_label(1, "Liver")
    session.import_objects([AnnotationObject(1, 1, {view: Mask.from_array(mask) for view, mask in MASKS.items()})])
    session.close()


def objects_in(project: Path) -> list[tuple[str, dict[View, np.ndarray]]]:
    """Label name and masks of every object of the only scan of a project."""
    opened = Project.open(project)
    try:
        ((_, annotation),) = opened.annotations()
        return [
            (annotation.labels.get(one.label_id).name, {view: mask.to_array() for view, mask in one.masks.items()})
            for one in annotation.objects
        ]
    finally:
        opened.close()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return make_volume(tmp_path / "CT Müller.nii.gz", SHAPE)


@pytest.mark.parametrize("form", ["coco", "png", "nifti"])
def test_what_is_exported_comes_back_equal(
    form: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(tmp_path / "work", scan, tmp_path)
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "work"), "--format", form, "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["format"], report["scans"], report["objects"], report["out"]) == (form, 1, 1, str(out))
    assert report["files"] == sum(path.is_file() for path in out.rglob("*"))

    fresh = tmp_path / "fresh"
    session = open_session(fresh, tmp_path)
    session.open(scan)
    session.close()
    assert main(["import", str(fresh), str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "format": form,
        "imported": {"CT Müller.nii.gz": 1},
        "unmatched": [],
        "failed": [],
    }
    found = objects_in(fresh)
    assert {name for name, _ in found} == {"Liver"}
    together = {view: mask for _, masks in found for view, mask in masks.items()}
    assert set(together) == set(MASKS)
    assert all(np.array_equal(together[view], mask) for view, mask in MASKS.items())


def test_a_scan_stands_for_its_project(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    annotate(None, scan, tmp_path)
    assert main(["export", str(scan), "--format", "nifti", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith("Exported 1 object of 1 scan as NIfTI label maps to ")


def test_a_label_map_is_imported_into_a_scan_that_was_never_opened(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK as sitk

    labels = np.zeros(SHAPE, np.uint8)
    labels[2] = disk(25, 20, 5) * 7
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / "anything.nii.gz"))
    assert main(["import", str(scan), str(tmp_path / "anything.nii.gz")]) == 0
    assert capsys.readouterr().out == "CT Müller.nii.gz: 1 object imported\n"
    session = open_session(None, tmp_path)
    session.open(scan)
    try:
        (one,) = session.annotation.objects
        assert list(one.masks) == [View(0, 2)]
        assert np.array_equal(one.masks[View(0, 2)].to_array(), labels[2] == 7)
        assert session.undo_text == "import 1 object"
    finally:
        session.close()


def test_an_export_is_not_overwritten_unless_asked(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(tmp_path / "work", scan, tmp_path)
    words = ["export", str(tmp_path / "work"), "--format", "png", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(words) == 1
    assert capsys.readouterr().err == (
        f"maskwright: error: there is already an export: {tmp_path / 'out'}. Choose another name, or overwrite it.\n"
    )
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    assert main([*words, "--overwrite"]) == 0


def test_options_reach_the_writer_or_are_refused(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(tmp_path / "work", scan, tmp_path)
    words = ["export", str(tmp_path / "work"), "--format", "coco", "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    assert main([*words, str(tmp_path / "b"), "--no-pictures", "--polygons"]) == 0
    names_a, names_b = ({path.suffix for path in (tmp_path / name).rglob("*")} for name in "ab")
    assert ".png" in names_a and ".png" not in names_b
    capsys.readouterr()
    assert (
        main(["export", str(tmp_path / "work"), "--format", "nifti", "--out", str(tmp_path / "c"), "--polygons"]) == 2
    )
    assert capsys.readouterr().err == "maskwright export: error: --polygons means nothing for nifti\n"
    assert not (tmp_path / "c").exists()


def test_an_empty_project_and_no_project_are_named(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = open_session(tmp_path / "work", tmp_path)
    session.open(scan)
    session.close()
    for path, what in ((tmp_path / "work", "nothing is annotated in this project"), (scan, "there is no project")):
        assert main(["export", str(path), "--format", "coco", "--out", str(tmp_path / "out")]) == 1
        assert f"{what}: {path}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_project_that_is_open_elsewhere_is_left_alone(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(tmp_path / "work", scan, tmp_path)
    holder = Project.open(tmp_path / "work")
    try:
        assert main(["export", str(tmp_path / "work"), "--format", "coco", "--out", str(tmp_path / "out")]) == 1
    finally:
        holder.close()
    assert "the project is open in another maskwright" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "there is no such file or folder"),
        (lambda path: path.write_text("{]"), "not a dataset that can be imported"),
        (lambda path: path.mkdir(), "not a dataset that can be imported"),
    ],
    ids=["missing", "no json", "empty folder"],
)
def test_what_is_no_dataset_is_named(
    make: object, what: str, scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotate(tmp_path / "work", scan, tmp_path)
    make(tmp_path / "data.json")  # type: ignore[operator]
    assert main(["import", str(tmp_path / "work"), str(tmp_path / "data.json")]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and what in err and str(tmp_path / "data.json") in err


def test_a_map_on_another_grid_is_refused_and_nothing_changes(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import SimpleITK as sitk

    annotate(tmp_path / "work", scan, tmp_path)
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((5, 40, 51), np.uint8)), str(tmp_path / "other.nii.gz"))
    assert main(["import", str(tmp_path / "work"), str(tmp_path / "other.nii.gz")]) == 1
    assert "maskwright: error: " in capsys.readouterr().err
    assert len(objects_in(tmp_path / "work")) == 1
