"""Opening and the worklist: what was open stays open when something else cannot be."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from maskwright.core.errors import ScanError
from maskwright.core.prompts import Point, Prompts
from maskwright.core.volume import View
from maskwright.io.scans import open_scan
from tests.unit.io.dicom_files import write_series

from .conftest import Desk, commit, statuses, write_photo, write_scan

A = Point(20, 20)


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


def test_paths_that_are_opened_together_become_one_list(desk: Desk, photo: Path, scan: Path, folder: Path):
    session = desk.session(fixed=False)
    session.open_async(photo, also=[scan, folder, photo])
    desk.main.run_until(lambda: session.opening is None)
    assert [one.name for one in session.scans] == [photo.name, scan.name, "1.png", "2.png", "10.png"]
    assert session.scan is not None and session.scan.path == photo
    session.next_scan()
    assert session.scan.path == scan


def test_of_several_series_in_a_folder_the_longest_is_shown_first_as_when_it_is_opened_without_a_window(
    desk: Desk, tmp_path: Path
):
    home = tmp_path / "study"
    scout = write_series(tmp_path / "1", [4.0, 0.0], SeriesInstanceUID="1.1", SeriesNumber=1)
    long = write_series(tmp_path / "2", [0.0, 1.0, 2.0, 3.0], SeriesInstanceUID="1.2", SeriesNumber=2)
    home.mkdir()
    for path in (*scout, *long):
        path.rename(home / f"{path.parent.name}-{path.name}")
    session = desk.session(fixed=False, encode_ahead=False)
    session.open(home)
    assert [entry.name for entry in session.scans] == ["1-IM0001.dcm", "2-IM0000.dcm"]
    assert session.worklist.shown == 1 and session.volume is not None
    assert session.volume.source == open_scan(home).source and session.volume.n_slices() == 4
    session.show_scan(0)
    session.close()
    again = desk.session(fixed=False, encode_ahead=False)
    again.open(home)
    assert again.worklist.shown == 0  # what was shown last comes first
