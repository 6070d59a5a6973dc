"""Opening, the worklist, and scans that moved or changed: what was open stays open, and no annotation is ever lost."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from maskwright.core.errors import MaskwrightError, ScanError, StoreError
from maskwright.core.geometry import Geometry
from maskwright.core.prompts import Point, Prompts
from maskwright.core.volume import View
from maskwright.session import Project, Session
from maskwright.session.project import default_folder

from .conftest import Desk, write_photo, write_scan

A = Point(20, 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in (1, 2, 10):
        write_photo(tmp_path / "photos" / f"{i}.png", seed=i)
    return tmp_path / "photos"


def statuses(session: Session) -> list[tuple[str, str]]:
    return [(one.name, one.status) for one in session.scans]


def commit(desk: Desk, session: Session) -> None:
    desk.click(session, A)
    session.commit()


# Opening.


def test_open_shows_the_middle_slice_and_takes_the_scan_into_the_project(desk: Desk, scan: Path):
    session = desk.session()
    assert session.volume is None and session.view is None and session.scan is None and session.ready.size == 0
    changes = session.open(scan)
    assert changes.scan and changes.scans and changes.view and changes.error is None
    assert session.view == View(0, 3) and session.volume is not None and session.volume.n_slices() == 7
    assert session.scan is not None
    assert (session.scan.path, session.scan.name, session.scan.status) == (scan, "scan.nrrd", "new")
    assert session.scan.geometry is not None and session.scan.geometry.shape_zyx == (7, 40, 50)
    assert len(session.scan.fingerprint) == 64


def test_a_relative_path_is_kept_as_an_absolute_one(desk: Desk, scan: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(scan.parent)
    session = desk.session()
    session.open(scan.name)
    assert session.scan is not None and session.scan.path == scan


def test_the_slice_shown_last_is_shown_again(desk: Desk, scan: Path):
    session = desk.session()
    session.open(scan)
    session.set_view(View(0, 1))
    session.close()
    again = desk.session()
    again.open(scan)
    assert again.view == View(0, 1)


@pytest.mark.parametrize("how", ["open", "open_async"])
def test_what_cannot_be_read_leaves_everything_as_it_was(desk: Desk, scan: Path, tmp_path: Path, how: str):
    session = desk.session()
    session.open(scan)
    desk.click(session, A)
    desk.settle(session)
    desk.changes.clear()
    bad, empty = tmp_path / "kaputt.png", tmp_path / "empty"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    empty.mkdir()
    shown, annotation, scans = session.volume, session.annotation, session.scans
    for path in (bad, empty, tmp_path / "nowhere.nii"):
        if how == "open":
            with pytest.raises(ScanError) as caught:
                session.open(path)
            error = caught.value
        else:
            assert session.open_async(path).busy and session.opening == path
            desk.main.run_until(lambda: bool(desk.changes))
            found = desk.merged()
            assert found.error is not None and found.busy and not found.scan
            error = found.error
        assert isinstance(error, ScanError) and error.hint and "\n" not in str(error)
        assert session.volume is shown and session.annotation is annotation and session.scans == scans
        assert session.opening is None and session.prompts == Prompts((A,)) and session.preview is not None
    session.commit()
    assert len(session.annotation.objects) == 1


def test_opening_in_the_background_does_not_hold_up_the_main_thread(desk: Desk, scan: Path, photo: Path):
    session = desk.session()
    session.open(photo)
    desk.click(session, A)
    assert session.open_async(scan).busy
    assert session.scan is not None and session.scan.path == photo and session.opening == scan
    session.add_prompt(Point(40, 40))  # what is shown can be worked on meanwhile
    desk.main.run_until(lambda: session.opening is None)
    assert session.scan.path == scan and session.view == View(0, 3)
    assert desk.merged().scan
    session.previous_scan()
    assert len(session.prompts) == 2


def test_of_two_opened_at_once_the_newer_is_shown(desk: Desk, scan: Path, photo: Path, monkeypatch: pytest.MonkeyPatch):
    from maskwright.io import scans

    gate, real = threading.Event(), scans.open_scan

    def slow(path: Path):
        assert gate.wait(10)
        return real(path)

    monkeypatch.setattr(scans, "open_scan", slow)
    session = desk.session()
    session.open_async(scan)
    session.open_async(photo)
    gate.set()
    desk.main.run_until(lambda: session.volume is not None)
    assert session.scan is not None and session.scan.path == photo and [one.path for one in session.scans] == [photo]
    desk.settle(session)
    assert session.scan.path == photo and session.opening is None


def test_reading_happens_in_a_worker_and_the_model_is_loaded_there(desk: Desk, scan: Path):
    threads: list[threading.Thread] = []

    def load():
        threads.append(threading.current_thread())
        return desk.segmenter

    session = desk.session(segmenter=load)
    session.open_async(scan)
    desk.main.run_until(lambda: session.volume is not None)
    desk.settle(session)
    assert len(threads) == 1 and threads[0] is not threading.current_thread()
    assert session.model_card is desk.segmenter.card


# Worklist.


def test_a_folder_of_photos_is_a_worklist(desk: Desk, folder: Path):
    session = desk.session()
    session.open(folder)
    assert statuses(session) == [("1.png", "new"), ("2.png", "new"), ("10.png", "new")]
    assert session.previous_scan().message == "This is the first scan."
    desk.click(session, A)
    assert session.scan is not None and session.scan.status == "started"
    changes = session.next_scan()
    assert changes.scan and session.scan.name == "2.png" and session.prompts == Prompts()
    commit(desk, session)
    changes = session.set_scan_done(done=True)
    assert changes.scans and not session.set_scan_done(done=True)
    assert session.worklist.next_open() == 2
    session.next_scan(wait=False)
    desk.main.run_until(lambda: session.opening is None)
    assert session.scan.name == "10.png" and session.next_scan().message == "This is the last scan."
    assert statuses(session) == [("1.png", "started"), ("2.png", "done"), ("10.png", "new")]
    session.show_scan(1)
    assert session.undo_text == "mark as done" and len(session.annotation.objects) == 1
    session.undo()
    assert session.scan.status == "started"
    session.undo()
    session.undo()
    assert session.scan.status == "new"
    session.redo()
    session.close()

    again = desk.session()
    assert statuses(again) == [("1.png", "started"), ("2.png", "started"), ("10.png", "new")]
    again.open(folder)
    assert again.scan is not None and again.scan.name == "2.png"  # the one shown last


def test_new_files_of_a_folder_join_and_files_that_went_stay_in_the_list(desk: Desk, folder: Path):
    session = desk.session()
    session.open(folder)
    commit(desk, session)
    session.close()
    (folder / "1.png").unlink()
    write_photo(folder / "3.png", seed=3)
    again = desk.session()
    again.open(folder)
    assert [name for name, _ in statuses(again)] == ["1.png", "2.png", "10.png", "3.png"]
    assert again.scan is not None and again.scan.name == "2.png"
    with pytest.raises(ScanError) as caught:
        again.show_scan(0)
    assert caught.value.path == folder / "1.png" and again.scan.name == "2.png"
    found = {entry.name: annotation for entry, annotation in again.project.annotations()}  # type: ignore[union-attr]
    assert len(found["1.png"].objects) == 1


def test_two_copies_of_a_photo_have_annotations_of_their_own(desk: Desk, folder: Path):
    shutil.copy(folder / "1.png", folder / "1 copy.png")
    session = desk.session()
    session.open(folder)
    commit(desk, session)
    session.next_scan()
    assert session.scan is not None and session.annotation.objects == ()


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


def test_features_on_disk_are_read_after_a_restart_and_nothing_is_encoded_again(desk: Desk, scan: Path):
    from maskwright.session.precompute import open_store

    session = desk.session(open_store=open_store)
    session.open(scan)
    desk.settle(session)
    desk.click(session, A)
    assert desk.segmenter.encoded == 7 and session.ready.all()
    session.close()
    again = desk.session(open_store=open_store)
    again.open(scan)
    assert again.ready.all() and not again.waiting
    desk.main.run_until(lambda: again.preview_is_current)
    for index in range(7):
        again.set_view(View(0, index))
        desk.click(again, A)
        assert again.preview_mask is not None and again.preview_mask.any()
    assert desk.segmenter.encoded == 7
    again.set_view(View(2, 3))  # an axis that the store does not have yet
    desk.click(again, Point(4, 4))
    desk.settle(again)
    assert desk.segmenter.encoded == 8
    folders = [p for p in (desk.folder / "features").iterdir() if p.is_dir()]
    assert len(folders) == 1


def test_slices_encoded_while_the_scan_is_open_can_be_read_back_from_disk(desk: Desk, tmp_path: Path):
    from maskwright.session.precompute import open_store

    session = desk.session(open_store=open_store)
    session.open(write_scan(tmp_path / "long.nrrd", shape=(12, 30, 30)))
    desk.settle(session)
    for index in range(12):  # more than are kept in memory
        session.set_view(View(0, index))
        desk.click(session, Point(10, 10))
    assert desk.segmenter.encoded == 12 and not any(one.error or one.message for one in desk.changes)
