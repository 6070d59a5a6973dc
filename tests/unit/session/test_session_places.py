"""Scans that moved or changed on disk, and projects that nobody chose: no annotation is ever lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import MaskwrightError, ScanError, StoreError
from maskwright.core.geometry import Geometry
from maskwright.core.prompts import Point
from maskwright.core.volume import View
from maskwright.session import Project
from maskwright.session.project import default_folder

from .conftest import Desk, commit, statuses, write_photo, write_scan

A = Point(20, 20)


# Moved and changed scans.


def test_a_scan_that_was_moved_is_found_again(desk: Desk, scan: Path, tmp_path: Path):
    session = desk.session()
    session.open(scan)
    commit(desk, session)
    session.close()
    moved = tmp_path / "elsewhere" / "other name.nrrd"
    moved.parent.mkdir()
    scan.rename(moved)
    again = desk.session()
    changes = again.open(moved)
    assert changes.message == "scan.nrrd was moved since last time; its annotation is kept."
    assert [one.path for one in again.scans] == [moved] and len(again.annotation.objects) == 1
    assert again.undo_text == "commit Object"


def test_a_folder_that_was_moved_is_found_again_as_a_whole(desk: Desk, folder: Path, tmp_path: Path):
    session = desk.session()
    session.open(folder)
    commit(desk, session)
    session.show_scan(2)
    commit(desk, session)
    session.show_scan(0)
    session.close()
    moved = tmp_path / "archive" / "photos"
    moved.parent.mkdir()
    folder.rename(moved)
    again = desk.session()
    assert "was moved" in again.open(moved).message
    assert [(one.path.parent, one.name, one.status) for one in again.scans] == [
        (moved, "1.png", "started"),
        (moved, "2.png", "new"),
        (moved, "10.png", "started"),
    ]
    assert again.show_scan(2).message == "" and len(again.annotation.objects) == 1


def test_a_scan_that_changed_keeps_its_annotation_and_says_so_once(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    commit(desk, session)
    before = session.annotation
    session.close()
    write_scan(scan, seed=9)
    again = desk.session()
    message = again.open(scan).message
    assert message == "scan.nrrd changed on disk since last time; its annotation is kept as it was. Please check it."
    assert again.annotation == before and len(again.scans) == 1
    assert again.scan is not None and len(again.scan.earlier) == 1
    desk.settle(again)
    assert len(desk.stores.opened) == 2  # features of the changed scan are made anew
    again.close()
    assert desk.session().open(scan).message == ""


def test_a_scan_of_another_size_at_the_same_place_is_another_scan(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    commit(desk, session)
    session.close()
    original = scan.read_bytes()
    write_scan(scan, shape=(4, 20, 22))
    again = desk.session()
    message = again.open(scan).message
    assert "another scan than last time" in message and '"scan.nrrd (before it changed)"' in message
    assert statuses(again) == [("scan.nrrd (before it changed)", "started"), ("scan.nrrd", "new")]
    assert again.annotation.objects == () and not again.can_undo and again.view == View(0, 2)
    with pytest.raises(ScanError, match="no longer there"):
        again.show_scan(0)
    assert again.scan is not None and again.scan.id == 2
    again.close()

    scan.write_bytes(original)  # it is put back
    last = desk.session()
    assert last.open(scan).message == ""
    assert last.scan is not None and last.scan.id == 1 and len(last.annotation.objects) == 1


def test_a_scan_that_changed_before_anything_was_done_to_it_is_no_news(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    session.close()
    write_scan(scan, shape=(4, 20, 22))
    again = desk.session()
    assert again.open(scan).message == "" and len(again.scans) == 1


# Projects of their own.


def test_each_path_has_a_project_of_its_own_when_none_is_given(desk: Desk, scan: Path, photo: Path):
    session = desk.session(fixed=False)
    assert session.project is None
    session.open(scan)
    commit(desk, session)
    first = session.project
    assert first is not None and first.folder == default_folder(scan)
    session.open(photo)
    assert session.project is not None and session.project.folder == default_folder(photo) != first.folder
    assert session.annotation.objects == () and len(session.scans) == 1
    Project.open(first.folder).close()  # given back
    session.open(scan)
    assert len(session.annotation.objects) == 1 and session.undo_text == "commit Object"
    session.open(scan)  # the same again
    assert len(session.annotation.objects) == 1


def test_a_photo_of_a_folder_that_was_opened_before_is_shown_in_the_folders_project(desk: Desk, folder: Path):
    session = desk.session(fixed=False)
    session.open(folder)
    commit(desk, session)
    session.open(folder / "10.png")
    assert session.scan is not None and session.scan.name == "10.png" and len(session.scans) == 3
    session.close()
    again = desk.session(fixed=False)
    again.open(folder / "1.png")
    assert len(again.annotation.objects) == 1


def test_a_scan_that_was_moved_finds_the_project_it_had(desk: Desk, scan: Path, tmp_path: Path):
    session = desk.session(fixed=False)
    session.open(scan)
    commit(desk, session)
    folder = session.project.folder  # type: ignore[union-attr]
    session.close()
    moved = scan.rename(tmp_path / "moved.nrrd")
    again = desk.session(fixed=False)
    assert "was moved" in again.open(moved).message
    assert again.project is not None and again.project.folder == folder and len(again.annotation.objects) == 1
    again.close()
    assert default_folder(moved) == folder
    write_scan(moved, seed=5)  # also when it changes afterwards
    last = desk.session(fixed=False)
    assert "changed on disk" in last.open(moved).message and len(last.annotation.objects) == 1


def test_a_copy_of_a_scan_gets_a_project_of_its_own(desk: Desk, scan: Path, tmp_path: Path):
    session = desk.session(fixed=False)
    session.open(scan)
    commit(desk, session)
    copy = Path(shutil.copy(scan, tmp_path / "copy.nrrd"))
    session.open(copy)
    assert session.project is not None and session.project.folder == default_folder(copy)
    assert session.annotation.objects == ()


@pytest.mark.parametrize("how", ["open", "open_async"])
def test_a_project_that_is_open_elsewhere_is_said_and_what_was_open_stays(
    desk: Desk, scan: Path, photo: Path, how: str
):
    session = desk.session(fixed=False)
    session.open(photo)
    other = Project.for_path(scan)
    with pytest.raises(StoreError, match="open in another maskwright"):
        getattr(session, how)(scan)
    assert session.scan is not None and session.scan.path == photo and session.opening is None
    desk.click(session, A)
    other.close()
    session.open(scan)


def test_a_path_that_cannot_be_read_leaves_no_project_behind(desk: Desk, scan: Path, tmp_path: Path):
    session = desk.session(fixed=False)
    bad = tmp_path / "bad.nii"
    bad.write_bytes(b"")
    with pytest.raises(ScanError):
        session.open(bad)
    assert session.project is None and not default_folder(bad).exists()
    session.open(scan)
    with pytest.raises(MaskwrightError):
        session.open(bad)
    assert session.scan is not None and session.scan.path == scan


def test_opening_the_same_path_twice_in_the_background_shares_one_project(desk: Desk, scan: Path, photo: Path):
    first = desk.session(fixed=False)
    first.open(scan)
    first.close()
    session = desk.session(fixed=False)
    session.open_async(scan)
    session.open_async(scan)
    desk.main.run_until(lambda: session.volume is not None)
    desk.settle(session)
    assert session.project is not None and session.project.folder == default_folder(scan)
    commit(desk, session)
    session.open_async(photo)
    session.close()  # while it is being read
    Project.for_path(scan).close()
    Project.for_path(photo).close()


def test_a_damaged_annotation_is_said_and_what_was_open_stays(desk: Desk, folder: Path):
    session = desk.session()
    session.open(folder)
    commit(desk, session)
    session.next_scan()
    session.project.journal.put({(1, "mask/1/0/0"): b"nonsense"})  # type: ignore[union-attr]
    with pytest.raises(StoreError, match="annotation in the journal is damaged"):
        session.previous_scan()
    assert session.scan is not None and session.scan.name == "2.png"
    commit(desk, session)


def test_entries_remember_the_grid(desk: Desk, scan: Path):
    import SimpleITK as sitk

    image = sitk.ReadImage(str(scan))
    image.SetSpacing((0.5, 0.75, 3.0))
    image.SetOrigin((-10, 20, 30.5))
    sitk.WriteImage(image, str(scan))
    session = desk.session()
    session.open(scan)
    session.close()
    (entry,) = Project.open(desk.project).worklist()
    expected = Geometry.from_parts((7, 40, 50), spacing_zyx_mm=(3.0, 0.75, 0.5), origin_mm=(-10, 20, 30.5))
    assert entry.geometry is not None and np.array_equal(entry.geometry.affine, expected.affine)


def test_a_folder_that_became_another_scan_is_not_shown_in_place_of_the_first(desk: Desk, folder: Path):
    session = desk.session()
    session.open(folder)
    commit(desk, session)
    session.next_scan()
    first = folder / "1.png"
    first.unlink()
    write_photo(first / "inside.png", seed=4)  # a folder of the same name
    with pytest.raises(ScanError, match="no longer there"):
        session.show_scan(0)
    assert session.scan is not None and session.scan.name == "2.png" and len(session.scans) == 3
